"""The truth `repair`: the loss that each weight's change mends."""
