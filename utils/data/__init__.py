"""Folds, pictures, what M1 misclassifies and the settings made of it."""
