"""Score files that a user drops in, and the seconds beside them: good ones, and ones left out."""

import io
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pipeline
import pytest

from utils.errors import UserError
from utils.judge.names import GIVEN
from utils.judge.rankings.users import read_seconds
from utils.run.cli import left_out

D, M = pipeline.SIZES["hidden_size"], pipeline.SIZES["intermediate_size"]
N = 2 * D * M
F32 = np.float32
SCORES = np.linspace(0, 1, N, dtype=F32)
RESULTS = Path("exp-fl-5") / pipeline.NAME
ALL = RESULTS / "all"
SOME = RESULTS / "tgt_top1"
MARKER = "pwned.txt"


@pytest.fixture
def root(stages, tmp_path) -> Path:
    """A copy of a fold on which steps 1 to 6 have run."""
    return shutil.copytree(stages[7].before, tmp_path / "root")


class Exploit:
    """Unpickling it writes a file that gives it away."""

    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.write_text, (Path(self.marker), "code ran")


def header(text: str, rest: bytes = b"") -> bytes:
    """An .npy file whose header is `text`."""
    line = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line + rest


def array(values: np.ndarray) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, values, allow_pickle=True)

    return write


def content(new: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(new)


def npy(values: np.ndarray) -> bytes:
    sink = io.BytesIO()
    np.save(sink, values)
    return sink.getvalue()


FLOATS = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({N},)}}"
# file -> (how it is made, what its line says, in this order)
BAD: dict[Path, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    ALL / "weight_truncated_score.npy": (content(npy(SCORES)[:-9]), ("not whole",)),
    ALL / "weight_tail_score.npy": (content(header(FLOATS, bytes(4 * N + 1))), ("not whole",)),
    ALL / "weight_whole_score.npy": (array(np.arange(N)), ("dtype int64", "float32")),
    ALL / "weight_big_score.npy": (array(SCORES.astype(">f4")), ("dtype >f4",)),
    ALL / "weight_objects_score.npy": (array(np.array([None] * N)), ("dtype object",)),
    ALL / "weight_records_score.npy": (array(np.zeros(N, [("a", "f4")])), ("dtype",)),
    ALL / "weight_sizeless_score.npy": (content(header(FLOATS.replace("f4", "U0"))), ("<U0",)),
    ALL / "weight_endless_score.npy": (content(header("{" * 20000)), ("not a .npy",)),
    ALL / "weight_short_score.npy": (array(SCORES[1:]), (f"shape ({N - 1},)", f"({N},)")),
    ALL / "weight_square_score.npy": (array(SCORES.reshape(2, -1)), ("shape (2,",)),
    SOME / "neuron_long_score.npy": (array(SCORES), (f"shape ({N},)", f"({M},)")),
    ALL / "weight_nan_score.npy": (
        array(np.where(SCORES > 0.5, np.nan, SCORES).astype(F32)),
        ("NaN or infinite", "save it again"),
    ),
    SOME / "neuron_inf_score.npy": (array(np.full(M, np.inf)), ("32 values that are NaN",)),
    ALL / "weight_empty_score.npy": (content(b""), ("not a .npy",)),
    ALL / "weight_text_score.npy": (content(b"0.1\n0.2\n"), ("not a .npy",)),
    ALL / "weight_npz_score.npy": (
        lambda path: np.savez(path.open("wb"), SCORES),
        ("not a .npy",),
    ),
    ALL / "weight_pickle_score.npy": (
        lambda path: path.write_bytes(pickle.dumps(Exploit(str(path.parents[3] / MARKER)))),
        ("not a .npy",),
    ),
    ALL / "weight_code_score.npy": (
        lambda path: array(np.array([Exploit(str(path.parents[3] / MARKER))] * N))(path),
        ("dtype object",),
    ),
    ALL / os.fsdecode(b"weight_\xff_score.npy"): (array(SCORES), ("file name", "rename it")),
    ALL / "weight_random (expected)_score.npy": (array(SCORES), ("name", "rename it")),
    ALL / "neuron_neuron oracle_score.npy": (array(SCORES[:M]), ("rename it",)),
    ALL / "weight_ideal_score.npy": (array(SCORES), ("rename it",)),
    ALL / "weight_mine (n=3)_score.npy": (array(SCORES), ("rename it",)),
    ALL / "weight_random (stratified as bl)_score.npy": (array(SCORES), ("rename it",)),
    SOME / "neuron_ig_score.npy": (array(SCORES[:M]), ("rename it",)),
    SOME / "weight_random_score.npy": (array(SCORES), ("rename it",)),
    ALL / "weight_folder_score.npy": (Path.mkdir, ("is not a file",)),
    ALL / "weight_circle_score.npy": (lambda path: path.symlink_to(path.name), ("cannot be read",)),
    ALL / "weight_nowhere_score.npy": (lambda path: path.symlink_to("absent"), ("cannot be read",)),
    ALL / "weight_pipe_score.npy": (os.mkfifo, ("is not a file",)),
    ALL / "weight_bl_time.txt": (content(b"3"), ("stands beside no score file", "take it away")),
    ALL / "weight_good_time.txt": (content(b"three"), ("no number of seconds", "one number")),
    SOME / "weight_good_time.txt": (content(b"-3"), ("says -3 seconds",)),
}


def test_bad_files_are_left_out_and_named_again_at_the_end(server, stages, root):
    """Everything else is done: the good file beside them is compared, the rest is as without."""
    for path, (make, _) in BAD.items():
        make(root / path)
    for folder in (ALL, SOME):
        np.save(root / folder / "weight_good_score.npy", SCORES)
    done = server.run(7, root, constants=pipeline.QUICK)
    assert done.status == 2
    lines = done.stderr.splitlines()
    assert len(lines) == len(BAD) and all(": left out: " in line for line in lines)
    for path, (_, said) in BAD.items():
        shown = ascii(f"{path.parent.name}/{path.name}")[1:-1]
        (line,) = [line for line in lines if shown in line]
        at = 0
        for words in said:
            assert words in line[at:], line
            at = line.index(words, at)
        assert line.split("left out: ")[1] in done.stdout  # where it was met
    assert not (root / MARKER).exists()
    methods = set(pd.read_csv(root / RESULTS / "exp-fl-5-7_scores.csv")["method"])
    expected = pd.read_csv(io.BytesIO(stages[7].after[str(RESULTS / "exp-fl-5-7_scores.csv")]))
    assert methods == set(expected["method"]) | {"good"}
    assert "good" in (next((root / "exp-fl-5").glob("*_summary*")) / "summary.csv").read_text()


def test_bad_files_do_not_make_the_step_start_again(server, root):
    np.save(root / ALL / "weight_short_score.npy", SCORES[1:])
    first = server.run(7, root, constants=pipeline.QUICK)
    before = pipeline.snapshot(root / RESULTS)
    again = server.run(7, root, constants=pipeline.QUICK)
    assert first.status == again.status == 2 and first.stderr == again.stderr
    assert pipeline.snapshot(root / RESULTS) == before
    np.save(root / ALL / "weight_short_score.npy", SCORES)
    assert server.run(7, root, constants=pipeline.QUICK).status == 0


def test_a_misnamed_file_is_pointed_at(server, root):
    np.save(root / RESULTS / "all" / "mine_score.npy", SCORES)
    done = server.run(7, root, constants=pipeline.QUICK, summary=False)
    assert done.status == 0
    assert "mine_score.npy is not compared: its name has to begin with" in done.stdout


def test_methods_of_the_user(server, root):
    """Any name, both precisions, and ties only; nothing of it can be a formula in the table."""
    np.save(root / RESULTS / "all" / "weight_=1+ü_score.npy", SCORES.astype(np.float64))
    np.save(root / RESULTS / "all" / "neuron_flat_score.npy", np.zeros(M, F32))
    assert server.run(7, root, constants=pipeline.QUICK).status == 0
    found = set(pd.read_csv(root / RESULTS / "exp-fl-5-7_scores.csv")["method"])
    assert {"'=1+ü", "flat"} <= found


@pytest.mark.parametrize(
    ("text", "expected"), [("3", 3), (" 2.5e-3\n", 0.0025), ("\ufeff7\n", 7), ("0", 0)]
)
def test_seconds_are_one_number(tmp_path, text, expected):
    (tmp_path / "t.txt").write_text(text, encoding="utf-8")
    assert read_seconds(tmp_path / "t.txt") == expected


@pytest.mark.parametrize("text", ["", "3 s", "nan", "inf", "-1", "1,5", "1\n2"])
def test_other_seconds_are_refused(tmp_path, text):
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(UserError, match=r"t\.txt .*seconds.*(one number|take the file away)"):
        read_seconds(tmp_path / "t.txt")


def test_given_seconds_are_summed_over_settings_and_shown(server, root):
    for folder, seconds in ((ALL, "2.5"), (SOME, "4")):
        np.save(root / folder / "neuron_mine_score.npy", SCORES[:M])
        (root / folder / "neuron_mine_time.txt").write_text(seconds)
    done = server.run(7, root, constants=pipeline.QUICK)
    assert done.status == 0, done.stderr
    times = pd.read_csv(root / RESULTS / "exp-fl-5-7_time.csv")
    rows = times[times["device"] == GIVEN]
    assert dict(zip(rows["setting"], rows["elapsed_s"], strict=True)) == {"all": 2.5, SOME.name: 4}
    assert set(rows["method"]) == {"neuron/mine"}
    (line,) = [x for x in done.stdout.splitlines() if " mine " in f" {x} " and "6.5" in x]
    assert line
    (root / SOME / "neuron_mine_time.txt").write_text("5")
    assert " 7.5" in server.run(7, root, constants=pipeline.QUICK).stdout
    for folder in (ALL, SOME):
        (root / folder / "neuron_mine_time.txt").unlink()
    assert server.run(7, root, constants=pipeline.QUICK).status == 0
    times = pd.read_csv(root / RESULTS / "exp-fl-5-7_time.csv")
    assert GIVEN not in set(times["device"])


def test_score_files_in_the_wrong_place_or_form_are_named_each_time(server, stages, root):
    """One line each, and step 7 goes on; nothing of ours is named, nor of a fold without them."""
    places = {
        "weight_root_score.npy": "has to lie in the folder of a setting, such as",
        "misclf_info/weight_there_score.npy": "has to lie in the folder of a setting",
        "tgt_top99/neuron_nowhere_score.npy": "has to lie in the folder of a setting",
        "all/deep/weight_deep_score.npy": "has to lie in the folder of a setting",
        "all/Neuron_mine_score.npy": "has to begin with neuron_ or weight_, in small letters",
        "all/WEIGHT_loud_SCORE.NPY": "has to end with _score.npy",
        "all/weight_packed_score.npz": "has to end with _score.npy",
        "all/weight_many_scores.npy": "has to end with _score.npy",
        "all/neuron_bare.npy": "has to end with _score.npy",
        f"../../out_vit_{pipeline.NAME}/weight_beside_score.npy": "has to lie in the folder",
        "../weight_above_score.npy": "has to lie in the folder of a setting",
    }
    for name in places:
        path = root / RESULTS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.save(file, SCORES)
    for _ in range(2):  # what is kept says it too
        done = server.run(7, root, constants=pipeline.QUICK, summary=False)
        assert done.status == 0, done.stderr
        lines = [x for x in done.stdout.splitlines() if "is not compared: " in x]
        assert len(lines) == len(places), lines
        for name, said in places.items():
            (line,) = [line for line in lines if f"{Path(name).name} is not" in line]
            assert said in line
    table = RESULTS / "exp-fl-5-7_scores.csv"
    assert (root / table).read_bytes() == stages[7].after[str(table)]


def test_one_bad_file_in_every_setting_is_one_line(server, root):
    settings = pd.read_csv(root / RESULTS / "misclf_info" / "settings.csv")
    settings = list(settings.loc[settings["status"] == "ok", "setting"])
    for number, name in enumerate(settings):
        np.save(root / RESULTS / name / "weight_mine_score.npy", SCORES[: number + 3])
        np.save(root / RESULTS / name / "neuron_flat_score.npy", np.zeros(M, F32))
        (root / RESULTS / name / "neuron_flat_time.txt").write_text("long")
        np.save(root / RESULTS / name / "Weight_odd_score.npy", SCORES)
    done = server.run(7, root, constants=pipeline.QUICK, summary=False)
    assert len(settings) > 1 and done.status == 2
    where = f"left out in the settings {', '.join(settings)}: "
    shape, seconds = sorted(done.stderr.splitlines(), key=lambda line: "seconds" in line)
    assert where in shape and "all/weight_mine_score.npy has shape (3,)" in shape
    assert where in seconds and "neuron_flat_time.txt holds no number of seconds" in seconds
    more = len(settings) - 1
    assert done.stdout.count("is constant: ") == 1
    assert f"neuron_flat_score.npy (and in {more} more settings) is constant" in done.stdout
    assert done.stdout.count(f"(and {more} more of its name) is not compared") == 1


def test_folds_and_settings_of_a_line_are_all_in_it():
    def job(fold: int, *settings: str) -> tuple:
        left = {"f.npy": (f"fold{fold}/f.npy has another shape", settings)}
        return SimpleNamespace(paths=SimpleNamespace(fold=fold), left_out=left), None

    (line,) = left_out([job(0, "all", "top1"), job(1, "all", "top1"), job(4, "top1")])
    assert line == (
        "left out in the settings all, top1 of folds 0, 1 and the settings top1 of fold 4: "
        "fold0/f.npy has another shape"
    )
    assert left_out([job(3)]) == ["left out: fold3/f.npy has another shape"]
