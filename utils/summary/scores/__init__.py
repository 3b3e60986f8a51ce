"""Step 7 across folds: means, comparisons, the verdict, and what is said of them."""
