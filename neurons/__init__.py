"""Floor 1: spiking populations, their kernels and traces, and the encodings of images as currents and spikes."""
