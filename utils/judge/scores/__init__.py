"""Every ranking compared with every truth: the scores tables of step 7."""
