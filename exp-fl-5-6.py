"""Step 6: vdiff, vdiff+mean_act (neurons), vdiff, vdiff+mean_act+grad_loss (weights)."""

from utils.methods import localisation

STEP = 6

if __name__ == "__main__":
    localisation.main(STEP, __doc__)
