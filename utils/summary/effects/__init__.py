"""Steps 8 and 9 across folds: transplants, blocks of the network, planted faults."""
