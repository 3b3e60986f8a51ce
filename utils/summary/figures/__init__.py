"""The pictures across folds: each takes tidy tables and returns a figure."""
