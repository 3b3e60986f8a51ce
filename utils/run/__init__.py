"""How a step runs: command line, constants, paths, files, the ledger of what is done."""
