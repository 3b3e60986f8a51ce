"""Step 4: neurons by their gradients: ig and its relatives."""

from utils.methods import fold as localisation

STEP = 4

if __name__ == "__main__":
    localisation.main(STEP, __doc__)
