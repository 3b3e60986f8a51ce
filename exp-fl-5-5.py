"""Step 5: weight / bl (Arachne) and the trivial baselines that a method has to beat."""

from utils.methods import localisation

STEP = 5

if __name__ == "__main__":
    localisation.main(STEP, __doc__)
