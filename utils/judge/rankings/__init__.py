"""The rankings of a fold that are compared: ours, and those that users drop in."""
