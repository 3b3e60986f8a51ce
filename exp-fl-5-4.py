"""Step 4: neurons by their gradients: ig and its relatives."""

from functools import partial

import pandas as pd

from utils.methods import METHODS
from utils.methods import fold as localisation
from utils.methods.evidence_of_fold import load_states_of_m1
from utils.run import cli

STEP = 4


def work(job: cli.Job) -> pd.DataFrame:
    # The chosen M1, and the ledger of what every result was made from.
    inputs = localisation.require_ready(job, METHODS)
    # What methods look at: M1 behind the target layer, and the states that step 3 cached.
    tail, states = load_states_of_m1(job, inputs)
    # The methods of this step under each setting of step 2.
    methods = localisation.methods_by_setting(job, METHODS)
    # Saves <setting>/<level>_<method>_score.npy, _ranking.npy and the first n or 8n² of it.
    made = localisation.localise_fold(job, inputs, methods, tail, states)
    # Saves exp-fl-5-4_time.csv.
    return localisation.close_fold(job, inputs, METHODS, methods, made)


if __name__ == "__main__":
    cli.run(
        STEP,
        __doc__,
        work,
        add_options=localisation.add_options,
        needs=("training",),
        ready=partial(localisation.require_ready, ours=METHODS),
        after=localisation.show,
    )
