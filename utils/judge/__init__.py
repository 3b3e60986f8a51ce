"""One fold: rankings compared with a truth."""
