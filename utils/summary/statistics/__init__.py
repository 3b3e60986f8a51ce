"""What may be said from a handful of folds: tests, intervals and ranks, of arrays."""
