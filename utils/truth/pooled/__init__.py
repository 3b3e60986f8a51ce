"""The truth `pooled`: the change that replays of the last epoch share."""
