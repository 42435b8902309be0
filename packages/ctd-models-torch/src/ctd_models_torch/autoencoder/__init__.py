"""Sequential autoencoders: an encoder of the initial state, dynamics, a readout."""
