"""Step 6: methods that look at activations alone: vdiff and its combinations, spectra."""

from utils.methods import localisation

STEP = 6

if __name__ == "__main__":
    localisation.main(STEP, __doc__)
