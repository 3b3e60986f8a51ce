"""Rankings of step 7's own: random ones, and references that know the training."""
