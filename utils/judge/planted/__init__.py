"""Step 9: faults whose place is known."""
