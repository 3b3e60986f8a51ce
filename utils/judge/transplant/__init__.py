"""Step 8: M2's values in the first weights of a ranking."""
