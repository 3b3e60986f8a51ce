"""Step 6: vdiff and its combinations, the difference of means, spectra."""

from utils.methods import fold as localisation

STEP = 6

if __name__ == "__main__":
    localisation.main(STEP, __doc__)
