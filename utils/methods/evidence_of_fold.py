"""What the methods look at, from the caches of a fold."""

from typing import Any

from utils.data.settings import read_samples
from utils.methods.evidence import Evidence
from utils.model.caches import load_states, load_tail
from utils.model.inputs import Inputs
from utils.model.states import States
from utils.model.tail import Tail
from utils.run.cli import Job
from utils.run.devices import pick_device


def load_states_of_m1(job: Job, inputs: Inputs) -> tuple[Tail, States]:
    """M1 behind the target layer, on the device, and the cached states of the repair split."""
    device = pick_device(job.args.device)
    inputs.ledger.device = str(device)
    tail = load_tail(inputs.pair.m1).to(device)
    states = load_states(job.paths, tail)
    job.log.info(
        "reads cache_states_repair/ (%d samples), the tail of %s; n: %s; device: %s",
        states.n_samples, inputs.pair.m1.name, job.budgets(inputs.d, inputs.m), device,
    )  # fmt: skip
    return tail, states


def evidence_of(
    job: Job, setting: str, tail: Tail, states: States, fold_memo: dict[Any, Any]
) -> Evidence:
    """M1, the cached states and the samples of one setting.

    fold_memo : what methods keep for all settings of the fold.
    """
    samples = read_samples(job.paths, setting, states.n_samples)
    return Evidence(tail, states, *samples, job.seed, job.constants["IG_POINTS"], fold_memo)
