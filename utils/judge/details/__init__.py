"""What step 7 keeps of the setting `all`: permutation tests, places, curves."""
