"""Step 4: neuron / ig - integrated gradients of the true class's probability."""

from utils.methods import localisation

STEP = 4

if __name__ == "__main__":
    localisation.main(STEP, __doc__)
