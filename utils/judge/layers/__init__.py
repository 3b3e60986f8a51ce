"""Step 8: blocks of M2 in M1, and of M1 in M2."""
