"""Step 4: neuron / ig - integrated gradients of the true class's probability."""

from utils import cli, localisation

STEP = 4

if __name__ == "__main__":
    cli.run(
        STEP,
        __doc__,
        localisation.run_methods,
        add_options=localisation.add_options,
        needs=("training",),
        after=localisation.show,
    )
