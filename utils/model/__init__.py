"""Checkpoints, training, and the tail of the network from the last FFN on."""
