"""What is known about each fold: its tables, and how they were made."""
