"""What is written comes back as it was, and what is read is what it says or is refused."""

import contextlib
import csv
import errno
import io
import json
import math
import os
import string
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from utils.data import settings as settings_file
from utils.errors import UserError
from utils.run import storage
from utils.run.paths import FoldPaths

# One folder serves all examples: each of them writes its file anew.
same_folder = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
KINDS = (np.float32, np.float64, np.int32, np.int64)
arrays = st.sampled_from(KINDS).flatmap(
    lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=7))
)
# Every character that can be in a file; text that is empty is a missing cell by design.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1)
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def read_back(path: Path, like: np.ndarray) -> np.ndarray:
    return storage.load_array(path, (like.dtype.type,), like.shape, "save it again")


# -- arrays ------------------------------------------------------------------------------------


@same_folder
@given(arrays, st.booleans())
def test_arrays_come_back_bit_by_bit(tmp_path, array, in_fortran_order):
    path = tmp_path / "a.npy"
    storage.save_array(path, np.asfortranarray(array) if in_fortran_order else array)
    found = read_back(path, array)
    assert found.dtype == array.dtype and found.shape == array.shape
    assert found.tobytes() == array.tobytes()
    sink = io.BytesIO()
    np.save(sink, array, allow_pickle=False)
    assert path.read_bytes() == sink.getvalue()


@same_folder
@given(arrays, st.data())
def test_an_array_of_another_kind_is_refused(tmp_path, array, data):
    path = tmp_path / "a.npy"
    storage.save_array(path, array)
    other = data.draw(st.sampled_from([kind for kind in KINDS if kind != array.dtype]))
    with pytest.raises(UserError, match="has dtype"):
        storage.load_array(path, (other,), array.shape, "x")
    with pytest.raises(UserError, match="has shape"):
        storage.load_array(path, (array.dtype.type,), (*array.shape, None), "x")
    longer = (array.shape[0] + 1, *array.shape[1:])
    with pytest.raises(UserError, match="has shape"):
        storage.load_array(path, (array.dtype.type,), longer, "x")


@same_folder
@given(arrays.filter(lambda a: a.size), st.floats(0, 1, exclude_max=True))
def test_a_truncated_array_is_refused(tmp_path, array, share):
    path = tmp_path / "a.npy"
    storage.save_array(path, array)
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(UserError, match=r"not whole|not a \.npy"):
        read_back(path, array)


HEADERS = st.builds(
    "{{'descr': {}, 'fortran_order': {}, 'shape': {}, }}\n".format,
    st.sampled_from(["'<f4'", "'<f8'", "'|O'", "'<U0'", "'V0'", "[('a', '<f4')]", "3", "'zz'"]),
    st.sampled_from(["False", "True", "1", "None"]),
    st.one_of(
        st.lists(st.integers(-2, 10**40), max_size=4).map(lambda s: str(tuple(s))),
        st.sampled_from(["None", "'a'", "[4]", "(True,)", "(2.5,)", "((4,),)"]),
    ),
).map(lambda text: b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode())


@settings(same_folder, max_examples=300)
@given(st.one_of(st.binary(max_size=200), HEADERS), st.binary(max_size=64))
@example(b"\x93NUMPY\x01\x00\x50\x00", b"(" * 80)
@example(b"\x93NUMPY\x03\x00\x50\x00", b"")
def test_any_bytes_are_an_array_of_the_right_kind_or_refused(tmp_path, head, tail):
    path = tmp_path / "a.npy"
    path.write_bytes(head + tail)
    with contextlib.suppress(UserError):
        found = storage.load_array(path, (np.float32,), (None,), "x")
        assert found.dtype == np.float32 and found.ndim == 1
        assert found.nbytes <= len(tail)


@same_folder
@given(hnp.arrays(np.float32, (3, 4), elements=st.floats(width=32)))
def test_values_that_are_not_finite_are_counted(array):
    bad = sum(not math.isfinite(v) for v in array.ravel().tolist())
    if bad == 0:
        assert storage.require_finite(array, Path("x.npy"), "mend it") is array
    else:
        with pytest.raises(UserError, match=f"x.npy has {bad} values .*; mend it"):
            storage.require_finite(array, Path("x.npy"), "mend it")


# -- tables ------------------------------------------------------------------------------------


def undefused(text: str) -> str:
    return text[1:] if text[:1] == "'" and text[1:2] in FORMULA else text


@same_folder
@given(st.lists(st.tuples(texts, st.none() | texts), min_size=1, max_size=8))
@example([("=1+1", "-2"), ("@a", None), ('a"b', "a,b"), ("a\nb", " x "), ("NA", "nan")])
@example([("'=1", "x"), ("None", "1")])
@pytest.mark.parametrize("kind", [object, "str"])
def test_text_comes_back(tmp_path, kind, rows):
    path = tmp_path / "t.csv"
    table = pd.DataFrame(rows, columns=["a", "b"]).astype(kind)
    storage.save_table(path, table)
    with path.open(encoding="utf-8-sig", newline="") as file:
        raw = list(csv.reader(file))
    assert not any(cell.startswith(FORMULA) for row in raw for cell in row)
    found = pd.read_csv(path, dtype=str, keep_default_na=False)
    for column in ("a", "b"):
        expected = ["" if pd.isna(text) else text for text in table[column]]
        safe = ["'" + text if text.startswith(FORMULA) else text for text in expected]
        assert list(found[column]) == safe


@same_folder
@given(
    st.lists(st.floats(), min_size=1, max_size=9),
    st.lists(st.floats(width=32), min_size=9, max_size=9),
    st.lists(st.none() | st.integers(-(2**53), 2**53), min_size=9, max_size=9),
)
def test_numbers_come_back_exactly(tmp_path, doubles, singles, integers):
    path = tmp_path / "t.csv"
    n = len(doubles)
    table = pd.DataFrame(
        {
            "double": doubles,
            "single": np.array(singles[:n], dtype=np.float32),
            "integer": pd.array(integers[:n], dtype="Int64"),
        }
    )
    storage.save_table(path, table)
    found = pd.read_csv(path, dtype={"integer": "Int64"})
    np.testing.assert_array_equal(found["double"].astype(float), table["double"])
    np.testing.assert_array_equal(found["single"].astype(np.float32), table["single"])
    pd.testing.assert_series_equal(found["integer"], table["integer"])


@same_folder
@given(st.lists(texts, min_size=1, max_size=5))
def test_headers_are_no_formulas_and_may_repeat(tmp_path, names):
    path = tmp_path / "t.csv"
    table = pd.DataFrame([[1] * len(names)], columns=names)
    storage.save_table(path, table)
    found = pd.read_csv(path, header=None, dtype=str, keep_default_na=False).iloc[0]
    assert [undefused(name) for name in found] == [undefused(name) for name in names]
    assert not any(name.startswith(FORMULA) for name in found)


def test_a_text_column_of_several_types_keeps_each(tmp_path):
    path = tmp_path / "t.csv"
    storage.save_table(path, pd.DataFrame({"a": [1, 1.0, True, "1", None]}, dtype=object))
    assert path.read_text() == '"a"\n"1"\n"1.0"\n"True"\n"1"\n\n'


@pytest.mark.parametrize(
    ("text", "begins"),
    [("abc", b'"a"\n'), ("猫", b'\xef\xbb\xbf"a"\n'), ("é", b'\xef\xbb\xbf"a"\n')],
)
def test_only_what_is_not_ascii_has_a_byte_order_mark(tmp_path, text, begins):
    """Excel on a Japanese Windows reads a file without one in its own encoding."""
    path = tmp_path / "t.csv"
    storage.save_table(path, pd.DataFrame({"a": [text]}))
    assert path.read_bytes() == begins + f'"{text}"\n'.encode()
    assert storage.read_table(path, ["a"], 2)["a"].tolist() == [text]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_tables_with_a_bom_or_crlf_are_read(tmp_path, newline, bom):
    path = tmp_path / "t.csv"
    path.write_bytes(newline.join([bom + "a,b", "1,x", "2,ü", ""]).encode())
    found = storage.read_table(path, ["a", "b"], 2)
    assert found["a"].tolist() == [1, 2] and found["b"].tolist() == ["x", "ü"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a readable CSV"),
        (b"\xff\xfe\x00", "not a readable CSV"),
        (b'a,b\n1,"x\n', "not a readable CSV"),
        (b"a;b\n1;2\n", "no column a, b"),
        (b"a\n1\n", "no column b"),
    ],
)
def test_broken_tables_are_refused(tmp_path, content, said):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said) as caught:
        storage.read_table(path, ["a", "b"], 2)
    assert "exp-fl-5-2.py" in str(caught.value)


@settings(same_folder, max_examples=200)
@given(st.binary(max_size=120))
def test_any_bytes_are_a_table_or_refused(tmp_path, content):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with contextlib.suppress(UserError):
        assert isinstance(storage.read_table(path, [], 2), pd.DataFrame)


def test_a_folder_in_place_of_a_table(tmp_path):
    with pytest.raises(UserError, match=r"exp-fl-5-2\.py"):
        storage.read_table(tmp_path, [], 2)


# -- json and files ----------------------------------------------------------------------------

json_leaves = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@same_folder
@given(st.dictionaries(st.text(string.printable) | texts, json_leaves, max_size=5))
def test_json_comes_back(tmp_path, value):
    path = tmp_path / "x.json"
    storage.save_json(path, value)
    assert json.loads(path.read_text(encoding="utf-8")) == value


def test_what_does_not_change_is_encoded_once(tmp_path, monkeypatch):
    """The file is that of a call without memory, also where an entry was replaced or taken out."""
    texts, path = storage.Texts(of=("tasks",)), tmp_path / "x.json"
    encoded = []
    dumps = json.dumps
    monkeypatch.setattr(
        storage.json, "dumps", lambda value, **how: (encoded.append(value), dumps(value, **how))[1]
    )
    old = {"ü": [1, 2]}
    value = {"ds": "x", "runs": {"run-1": {"end": None}}, "tasks": {"a": old, "b": {"c": 1}}}
    for change in (
        lambda: None,
        lambda: value["runs"]["run-1"].update(end=3),
        lambda: value["tasks"].update(b={"c": 2}, d={"e": 5}),
        lambda: value["tasks"].pop("a"),
    ):
        change()
        storage.save_json(path, value, texts)
        remembered = path.read_bytes()
        assert json.loads(remembered) == value
        assert encoded.count(old) <= 1 and encoded.count({"c": 1}) <= 1
        before = encoded[:]
        storage.save_json(path, value)
        assert path.read_bytes() == remembered
        encoded[:] = before


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "deep" / "x.bin"
    storage.save_bytes(path, b"old")

    def fail(file):
        file.write(b"new and lon")
        file.flush()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(UserError, match=r"x\.bin \(5,000 bytes\): No space left on device"):
        storage.write_atomic(path, fail, 5000)
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.bin"
    storage.save_bytes(path, b"old")

    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        storage.write_atomic(path, interrupt, 1)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_files_get_the_usual_permissions(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        storage.save_bytes(tmp_path / "x", b"")
        assert (tmp_path / "x").stat().st_mode & 0o777 == mode
        assert os.umask(mask) == mask
    finally:
        os.umask(before)


def test_a_folder_in_the_way_of_a_file(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*x \(1 bytes\): Is a directory"):
        storage.save_bytes(tmp_path / "x", b"1")
    assert list(tmp_path.iterdir()) == [tmp_path / "x"]


def test_a_link_is_replaced_not_followed(tmp_path):
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "x").symlink_to(tmp_path / "target")
    storage.save_bytes(tmp_path / "x", b"new")
    assert (tmp_path / "target").read_bytes() == b"precious"
    assert (tmp_path / "x").read_bytes() == b"new"


def test_only_temporaries_are_removed(tmp_path):
    kept = [tmp_path / "a" / "x.npy", tmp_path / "tmp-1", tmp_path / "a" / "b.tmp-"]
    for path in [*kept, tmp_path / "a" / ".tmp-abc", tmp_path / ".tmp-1"]:
        storage.save_bytes(path, b"1")
    storage.remove_temporaries(tmp_path)
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == sorted(kept)


# -- the samples of a setting ------------------------------------------------------------------


@same_folder
@given(
    st.lists(st.integers(-1, 12), max_size=6),
    st.lists(st.integers(-1, 12), max_size=6),
    st.integers(1, 12),
)
@example([0, 1], [2, 3], 4)
def test_samples_are_ascending_inside_and_apart_or_refused(tmp_path, neg, pos, n):
    paths = FoldPaths(tmp_path, "digits", 0)
    storage.save_array(paths.neg("all"), np.array(neg, dtype=np.int64))
    storage.save_array(paths.pos("all"), np.array(pos, dtype=np.int64))
    good = all(
        len(s) >= 2 and s == sorted(set(s)) and min(s) >= 0 and max(s) < n for s in (neg, pos)
    ) and not set(neg) & set(pos)
    if good:
        found = settings_file.read_samples(paths, "all", n)
        assert [list(s) for s in found] == [neg, pos]
    else:
        with pytest.raises(UserError, match=r"exp-fl-5-2\.py"):
            settings_file.read_samples(paths, "all", n)


@same_folder
@given(st.lists(texts | st.sampled_from(["..", ".", "a/b", "/x", "ok"]), min_size=1, max_size=3))
def test_a_setting_is_a_folder_name_or_refused(tmp_path, names):
    paths = FoldPaths(tmp_path, "digits", 0)
    table = pd.DataFrame(dict.fromkeys(settings_file.COLUMNS, "1"), index=range(1))
    rows = [table.assign(setting=name, status="ok") for name in ["all", *names]]
    storage.save_table(paths.settings, pd.concat(rows))
    with contextlib.suppress(UserError):
        for name in settings_file.read_settings(paths):
            assert paths.setting(name).parent == paths.results
            assert name not in ("", ".", "..")
