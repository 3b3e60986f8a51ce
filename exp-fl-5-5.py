"""Step 5: weight / bl (Arachne) and the trivial baselines that a method has to beat."""

from utils import cli, localisation

STEP = 5

if __name__ == "__main__":
    cli.run(
        STEP,
        __doc__,
        localisation.run_methods,
        add_options=localisation.add_options,
        needs=("training",),
        after=localisation.show,
    )
