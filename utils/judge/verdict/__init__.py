"""One fold's part of the verdict: lift under relabelled neurons, and specificity."""
