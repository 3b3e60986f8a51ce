"""The ground truths: which weights had to change."""
