"""Notes, workbook and LaTeX are made again when steps 8 to 10 have run; folds of one size alone."""

import folds_of_step7 as given
import numpy as np
import pandas as pd
import pytest
from test_recovery import planted_of, transplants_of
from test_report import current_files
from test_verdicts import retrained_of

from utils.errors import UserError
from utils.run import storage
from utils.run.paths import FoldPaths
from utils.summary.effects import summarise as effects
from utils.summary.figures import catalogue
from utils.summary.figures import effects as effect_figures
from utils.summary.page import refresh as report
from utils.summary.scores import summarise
from utils.summary.scores.write import refuse_other_sizes


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """Two folds with two replays, step 7 done; nothing is drawn."""
    given.without_models(monkeypatch)
    monkeypatch.setattr(effects, "current_files", all_of(current_files))
    for module in (catalogue, effect_figures):
        monkeypatch.setattr(module, "every_figure", lambda *_: iter(()))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    jobs = []
    for fold in (0, 1):
        rng = np.random.default_rng(fold)
        replays = [rng.random(given.N) for _ in range(3)]
        given.drop_methods(tmp_path, fold, given.write_fold(tmp_path, fold, replays=replays))
        jobs.append(given.evaluate(tmp_path, fold))
    return jobs


def all_of(some):
    def files(jobs):
        found, stale = some(jobs)
        for job in jobs:
            more = (job.paths.transplants_back, job.paths.retrained_table)
            found[job.paths.name] += [path for path in more if path.is_file()]
        return found, stale

    return files


def write_later(jobs):
    for job in jobs:
        fold, paths = job.paths.fold, job.paths
        tables = {
            paths.transplants: transplants_of((fold,)),
            paths.transplants_back: transplants_of((fold,), ("all",)),
            paths.planted_table: planted_of([5, 3, 1]).query("fold == @fold"),
            paths.retrained_table: retrained_of((3, 2, 1), (1, 2, 3), (fold,)),
        }
        for path, table in tables.items():
            table.to_csv(path, index=False)


def test_documents_follow_the_later_steps(jobs):
    paths = summarise.summarise(jobs, False)
    before = paths.notes.read_text()
    assert before.startswith("Which truth predicts repair? Not known yet: run exp-fl-5-10.py")
    resolved = pd.read_csv(paths.table("resolution")).set_index("verdict")
    assert list(resolved.index) == ["change", "pooled"]
    write_later(jobs)
    report.refresh(jobs)
    after = paths.notes.read_text()
    assert after.startswith("Which truth predicts repair? retrained (adam): ")
    assert after.partition("\n\n")[2] == before.partition("\n\n")[2]
    resolved = pd.read_csv(paths.table("resolution")).set_index("verdict")
    assert resolved.loc["retrained (adam)", "metric"] == "loss_mended"
    assert {"transplant back", "planted neurons", "planted weights"} <= set(resolved.index)
    assert "tab:verdicts" in paths.latex.read_text()


def test_what_replays_alone_move(jobs):
    """sd over replays of a method's lift, from each ranking and each replay by hand."""
    paths = jobs[0].paths
    table = pd.read_csv(paths.replay_lifts)
    assert set(table["replay"]) == {1, 2, 3}
    k = given.N * 5 // 100
    lifts = []
    for setting in given.SETTINGS:
        scores = np.load(paths.setting(setting) / "weight_B_score.npy")
        top = np.argsort(-scores, kind="stable")[:k]
        change = np.load(paths.replay_change(2))
        lifts.append(np.isin(top, np.argsort(-change)[:k]).mean() / (k / given.N))
    row = table[(table["method"] == "B") & (table["replay"] == 2)]
    assert row["lift@5%"].item() == pytest.approx(np.mean(lifts))
    summary = summarise.summarise(jobs, False)
    sds = []
    for job in jobs:
        one = pd.read_csv(job.paths.replay_lifts)
        by_method = one.groupby(["level", "method"])["lift@5%"].std(ddof=1)
        sds.append(by_method.mean())
    resolved = pd.read_csv(summary.table("resolution")).set_index("verdict")["sd_of_replays"]
    assert resolved["change"] == pytest.approx(np.mean(sds)) and np.isnan(resolved["pooled"])


class View:
    def __init__(self, sizes):
        rows = [{"fold": f, "level": "neuron", "n_items": m} for f, m in enumerate(sizes)]
        self.tables = self
        self.scores = pd.DataFrame(rows)


def test_folds_of_other_sizes_are_refused():
    refuse_other_sizes([View([40, 40])])
    with pytest.raises(UserError, match="40 neurons in fold 0, 1 and 48 neurons in fold 2"):
        refuse_other_sizes([View([40, 40, 48])])


def test_a_class_called_001_stays_so(tmp_path):
    """In the settings that the workbook shows."""

    path = FoldPaths(tmp_path, "digits", 0).settings
    storage.save_table(path, pd.DataFrame({"setting": ["all"], "true_name": ["001"], "n_neg": [3]}))
    table = storage.read_table(path, ["setting"], 2)
    assert table["true_name"].item() == "001" and table["n_neg"].item() == 3
