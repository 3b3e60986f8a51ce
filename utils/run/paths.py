"""Every file and folder name of a fold (docs/definitions.md 2 and 4); utils.run.summary_paths has
those of the summary, and nowhere else is a name of one.
"""

from dataclasses import dataclass
from pathlib import Path

RESULTS_DIR = "exp-fl-5"
TEMPORARY_PREFIX = ".tmp-"


@dataclass(frozen=True)
class FoldPaths:
    """Where one fold's inputs and results live, below `root`.

    data_root, training_root : where the folder `dataset` and the trainings are; None: `root`.
    repair_split : what the fold calls its split `repair`, where the user says so.
    """

    root: Path
    ds: str
    fold: int
    data_root: Path | None = None
    training_root: Path | None = None
    repair_split: str | None = None

    @property
    def name(self) -> str:
        return f"{self.ds}_fold{self.fold}"

    @property
    def dataset(self) -> Path:
        return (self.data_root or self.root) / "dataset" / self.name

    @property
    def training(self) -> Path:
        return (self.training_root or self.root) / f"out_vit_{self.name}"

    @property
    def inputs(self) -> dict[str, str]:
        """The folders that a fold is made from, as they are called on this machine."""
        return {"dataset": str(self.dataset.resolve()), "training": str(self.training.resolve())}

    @property
    def training_staging(self) -> Path:
        """Where the Trainer writes a checkpoint until it is complete."""
        return self.training / f"{TEMPORARY_PREFIX}training"

    @property
    def training_record(self) -> Path:
        """What the fold was trained with; absent where it was trained elsewhere."""
        return self.training / "training.json"

    def replay(self, number: int) -> Path:
        """The last epoch again from M1; its checkpoint lies inside."""
        return self.training / f"replay-{number}"

    @property
    def replay_check(self) -> Path:
        """Where replay 0 lies while it is compared with M2."""
        return self.training / f"{TEMPORARY_PREFIX}replay"

    def replay_record(self, number: int) -> Path:
        """What a replay of ours was made from; absent where it was made elsewhere."""
        return self.replay(number) / "replay.json"

    def log(self, step: int) -> Path:
        return self.training / "logs" / f"exp-fl-5-{step}.log"

    def log_in_results(self, step: int) -> Path:
        """Where the log is if the training folder may only be read."""
        return self.results / "logs" / f"exp-fl-5-{step}.log"

    @property
    def results(self) -> Path:
        return self.root / RESULTS_DIR / self.name

    @property
    def lock(self) -> Path:
        return self.root / RESULTS_DIR / f".{self.name}.lock"

    def stamp(self, step: int) -> Path:
        """What tells a workflow manager that a step is finished, and with what."""
        return self.root / RESULTS_DIR / ".stamps" / f"{self.name}_step{step}"

    def manager_log(self, step: int) -> Path:
        """What a step says when a workflow manager calls it."""
        return self.root / RESULTS_DIR / ".stamps" / f"{self.name}_step{step}.log"

    @property
    def provenance(self) -> Path:
        return self.results / "provenance.json"

    @property
    def hash_cache(self) -> Path:
        return self.results / ".hashes.json"

    def times(self, step: int) -> Path:
        return self.results / f"exp-fl-5-{step}_time.csv"

    def judged(self, kind: str, truth: str = "change") -> Path:
        """A table of step 7 about one truth.

        `kind` is "scores", or one of those made for the summary: "stratified",
        "permutation", "locations", "curves", "relabelled".
        """
        return self.results / f"exp-fl-5-7_{kind}{_of_truth(truth)}.csv"

    def relabelled_lifts(self, truth: str) -> Path:
        """Lift of each row of the table "relabelled" under every relabelling of the neurons."""
        return self.results / f"exp-fl-5-7_relabelled{_of_truth(truth)}.npy"

    @property
    def replay_lifts(self) -> Path:
        """Each method's lift against the change of each replay."""
        return self.results / "exp-fl-5-7_replay_lifts.csv"

    @property
    def specificity(self) -> Path:
        return self.results / "exp-fl-5-7_specificity.csv"

    @property
    def transplants(self) -> Path:
        """What M2's values in the first weights of each ranking do to M1."""
        return self.transplant_table()

    @property
    def transplants_back(self) -> Path:
        """What M1's values in the first weights of each ranking do to M2, under `all`."""
        return self.transplant_table("_back")

    def transplant_table(self, way: str = "") -> Path:
        """`way` is "", or "_back": what M1's values in the first weights do to M2."""
        return self.results / f"exp-fl-5-8_transplant{way}.csv"

    def transplant_ends(self, way: str = "") -> Path:
        """The receiver itself, and it with both matrices of the donor, on the test split."""
        return self.results / f"exp-fl-5-8_ends{way}.csv"

    def transplant(self, setting: str, level: str, method: str, way: str = "") -> Path:
        """The rows of one ranking, of which the table of the fold is made."""
        return self.setting(setting) / f"{level}_{method}_transplant{way}.csv"

    @property
    def m2_hidden(self) -> Path:
        """M2's h of the test split, which M1's cache has not."""
        return self.results / "cache_states_test_m2" / "hidden_before_layernorm.npy"

    @property
    def layers(self) -> Path:
        """What the change of each block of the network does, put in and put back."""
        return self.results / "exp-fl-5-8_layers.csv"

    def layers_of(self, direction: str) -> Path:
        """The rows of one direction, of which the table of layers is made."""
        return self.results / f"exp-fl-5-8_layers_{direction}.csv"

    @property
    def planted_table(self) -> Path:
        """How well each method finds faults whose place is known."""
        return self.results / "exp-fl-5-9_planted.csv"

    def planted(self, fault: str, what: str) -> Path:
        """`fault` is "<kind><i>", with its percent where that is not 1; `what` is "weights" or
        "delta", or "fault": what it does, or why there is none.
        """
        suffix = "csv" if what == "fault" else "npy"
        return self.results / "planted" / f"{fault}_{what}.{suffix}"

    def planted_row(self, fault: str, level: str, method: str) -> Path:
        """How well a method finds one fault."""
        return self.results / "planted" / f"{fault}_{level}_{method}.csv"

    @property
    def retrained_table(self) -> Path:
        """What M1 gains that is retrained where a ranking points, and nowhere else."""
        return self.results / "exp-fl-5-10_retrained.csv"

    def retrained(self, name: str) -> Path:
        """`name` is "held_out", "<setting>_fit" or "<level>_<method>_<optimizer>_delta"."""
        return self.results / "retrained" / f"{name}.npy"

    def retrained_rows(self, setting: str, level: str, method: str) -> Path:
        """The rows of one ranking, of which the table of the fold is made."""
        return self.results / "retrained" / f"{setting}_{level}_{method}.csv"

    @property
    def given_inputs(self) -> list[Path]:
        """Every file of the data set, of the checkpoints and of the replays."""
        found = [*self.dataset.rglob("*"), *self.training.glob("**/checkpoint-*/*")]
        return sorted(path for path in found if path.is_file())

    @property
    def dropped_in(self) -> list[Path]:
        """Scores and seconds in the settings' folders, ours and a user's."""
        return sorted([*self.every_score(), *self.results.glob("*/*_time.txt")])

    # ground_truth/
    @property
    def abs_diff(self) -> Path:
        return self.results / "ground_truth" / "abs_diff.npy"

    @property
    def truth_ranking(self) -> Path:
        return self.results / "ground_truth" / "ranking.npy"

    def truth_top(self, n: int) -> Path:
        return self.results / "ground_truth" / f"top_n{n}.csv"

    @property
    def truth_summary(self) -> Path:
        return self.results / "ground_truth" / "summary.csv"

    @property
    def truth_histogram(self) -> Path:
        return self.results / "ground_truth" / "hist_abs_diff.png"

    def replay_change(self, number: int) -> Path:
        return self.results / "ground_truth" / f"replay{number}_abs_diff.npy"

    @property
    def pooled_change(self) -> Path:
        return self.results / "ground_truth" / "pooled_abs_diff.npy"

    @property
    def agreement(self) -> Path:
        """How far M2 and its replays agree about which weights changed."""
        return self.results / "ground_truth" / "agreement.csv"

    @property
    def optimizer_step(self) -> Path:
        """What M1's optimizer would do next to each weight: a reference, no method."""
        return self.results / "ground_truth" / "optimizer_step.npy"

    @property
    def repair_table(self) -> Path:
        """What the layer's change mends of each setting's failures."""
        return self.results / "ground_truth" / "repair.csv"

    # misclf_info/
    @property
    def misclf_info(self) -> Path:
        return self.results / "misclf_info"

    @property
    def predictions(self) -> Path:
        return self.misclf_info / "predictions.csv"

    @property
    def confusion_matrix(self) -> Path:
        return self.misclf_info / "confusion_matrix.csv"

    @property
    def mis_ranking(self) -> Path:
        return self.misclf_info / "mis_ranking.csv"

    @property
    def class_metrics(self) -> Path:
        return self.misclf_info / "class_metrics.csv"

    @property
    def settings(self) -> Path:
        return self.misclf_info / "settings.csv"

    def neg(self, setting: str) -> Path:
        return self.misclf_info / f"{setting}_neg.npy"

    def pos(self, setting: str) -> Path:
        return self.misclf_info / f"{setting}_pos.npy"

    def neg_test(self, setting: str) -> Path:
        return self.misclf_info / f"{setting}_neg_test.npy"

    # cache_states_<split>/
    def caches(self, split: str) -> Path:
        return self.results / f"cache_states_{split}"

    def cache(self, name: str, split: str = "repair") -> Path:
        """`name` is a key of `utils.model.caches.CACHES`, the stem of the file."""
        return self.caches(split) / f"{name}.npy"

    def cache_proof(self, split: str = "repair") -> Path:
        return self.caches(split) / "proof.csv"

    # <setting>/
    def setting(self, setting: str) -> Path:
        return self.results / setting

    def score(self, setting: str, level: str, method: str, n: int | None = None) -> Path:
        return self.setting(setting) / f"{level}_{method}{_budget(n)}_score.npy"

    def ranking(
        self, setting: str, level: str, method: str, n: int | None = None, suffix: str = "npy"
    ) -> Path:
        return self.setting(setting) / f"{level}_{method}{_budget(n)}_ranking.{suffix}"

    def extra(self, setting: str, name: str) -> Path:
        """An array beside the scores: vscore_cor, grad_loss, weight_bl_pareto, ..."""
        return self.setting(setting) / f"{name}.npy"

    def repair_credit(self, setting: str) -> Path:
        return self.extra(setting, "repair_credit")

    def user_scores(self, setting: str) -> list[Path]:
        return sorted(self.setting(setting).glob("*_score.npy"))

    def every_score(self) -> list[Path]:
        """The score files of all settings."""
        return sorted(self.results.glob("*/*_score.npy"))

    def given_seconds(self, score: Path) -> Path:
        """Where the author of a score file says how long it took, in seconds."""
        return score.with_name(f"{score.name.removesuffix('_score.npy')}_time.txt")

    def all_given_seconds(self, setting: str) -> list[Path]:
        return sorted(self.setting(setting).glob("*_time.txt"))


def _of_truth(truth: str) -> str:
    return "" if truth == "change" else f"_{truth}"


def _budget(n: int | None) -> str:
    return "" if n is None else f"_n{n}"
