"""What a network costs: operations counted exactly, energies on named profiles, for inference and for learning."""
