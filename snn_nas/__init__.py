"""snn-nas: search the topology of a spiking network and the learning rule of every layer, together."""
