"""Step 6: vdiff, vdiff+mean_act (neurons), vdiff, vdiff+mean_act+grad_loss (weights)."""

from utils import cli, localisation

STEP = 6

if __name__ == "__main__":
    cli.run(
        STEP,
        __doc__,
        localisation.run_methods,
        add_options=localisation.add_options,
        needs=("training",),
        after=localisation.show,
    )
