"""Step 10: M1 retrained where a ranking points."""
