"""Across folds: tables, statistics, figures."""
