"""Step 5: bl (Arachne), other methods that ask the loss, and trivial baselines."""

from utils.methods import fold as localisation

STEP = 5

if __name__ == "__main__":
    localisation.main(STEP, __doc__)
