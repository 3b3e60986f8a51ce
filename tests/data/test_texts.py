"""Texts: their columns, their tokens, and the padding that changes no number."""

import datasets
import family_nets
import numpy as np
import pytest
import text_folds
import torch
from family_nets import LONGEST, Whole
from transformers import BertConfig, RobertaConfig

from utils.constants import PROFILES, Profile
from utils.data import doubts, folds, originals, schema, texts
from utils.errors import UserError
from utils.model import feeding, training_data
from utils.model.class_token import forward_states
from utils.model.families import FAMILIES
from utils.run import profile_rules
from utils.run.hashing import HashCache
from utils.run.paths import FoldPaths

STRING, WHOLE = datasets.Value("string"), datasets.Value("int32")
CLASSES = datasets.ClassLabel(names=["no", "yes"])
FIELDS = {"source": "here", "base_model": "base", "batch_size": 4, "learning_rate": 1e-3}


def profile(**fields):
    return Profile(**FIELDS | fields)


def columns(names, **fields):
    return schema.texts_in(datasets.Features(names), profile(**fields) if fields else None, "here")


# -- columns -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "fields", "found"),
    [
        ({"anything": STRING, "label": CLASSES}, {}, ("anything", "label")),
        ({"id": STRING, "code": STRING, "label": CLASSES}, {}, ("code", "label")),
        ({"sentence": STRING, "idx": WHOLE, "label": CLASSES}, {}, ("sentence", "label")),
        ({"func": STRING, "project": STRING, "target": datasets.Value("bool"), "id": WHOLE},
         {"text_column": "func", "label_column": "target"}, ("func", "target")),
        ({"a": datasets.Value("large_string"), "b": STRING, "label": CLASSES},
         {"text_column": "b", "text_pair_column": "a"}, ("b", "a", "label")),
    ],
)  # fmt: skip
def test_columns_are_found_like_those_of_pictures(names, fields, found):
    assert columns(names, **fields) == found


@pytest.mark.parametrize(
    ("names", "fields", "words"),
    [
        ({"a": STRING, "b": STRING, "label": CLASSES}, {}, "expected one text column"),
        ({"text": STRING, "code": STRING, "label": CLASSES}, {}, "text and code could be meant"),
        ({"image": datasets.Image(), "label": CLASSES}, {}, "expected one text column"),
        ({"text": WHOLE, "label": CLASSES}, {"text_column": "text"},
         "column 'text' does not hold texts (strings); set text_column"),
        ({"text": STRING, "label": CLASSES}, {"text_column": "text", "text_pair_column": "other"},
         "expected 'other'; set text_pair_column"),
        ({"text": STRING, "label": datasets.Value("float32")}, {}, "expected one label column"),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_meant(names, fields, words):
    with pytest.raises(UserError) as caught:
        columns(names, **fields)
    assert words in str(caught.value)


def test_a_data_set_says_itself_what_it_holds():
    texts_, pictures = (
        datasets.Features({name: kind, "label": CLASSES})
        for name, kind in (("text", STRING), ("image", datasets.Image()))
    )
    both = datasets.Features({"text": STRING, "image": datasets.Image(), "label": CLASSES})
    assert schema.holds_texts(texts_, profile()) and not schema.holds_texts(pictures, profile())
    assert not schema.holds_texts(both, profile())
    assert schema.holds_texts(both, profile(text_column="text"))
    assert schema.columns_by_kind(both, profile(text_column="text"), "") == ("text", "label")


def test_what_is_taken_is_said():
    found = schema.taken_instead(("a", "b", "label"), profile(text_column="a"), texts=True)
    assert found == ""
    found = schema.taken_instead(("a", "y"), profile(text_column="t"), texts=True)
    assert found == "the only columns of their kind: 'a' for 't', 'y' for 'label'"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"text_pair_column": "b"}, "has a text_pair_column and no text_column"),
        ({"text_column": "a", "base_model": None}, "has texts and no base_model"),
        ({"text_column": 3}, "text_column of"),
    ],
)
def test_profiles_of_texts_that_cannot_be_meant(fields, words):
    with pytest.raises(UserError) as caught:
        profile_rules.check_profile("mine", profile(**fields))
    assert words in str(caught.value)


# -- data in the form of the hub's -------------------------------------------------------------


def save_source(folder, features, splits):
    whole = {
        name: datasets.Dataset.from_dict(rows, datasets.Features(features))
        for name, rows in splits.items()
    }
    datasets.DatasetDict(whole).save_to_disk(folder)


@pytest.fixture
def sst2(tmp_path):
    """stanfordnlp/sst2 in small; its test split has no labels."""

    def rows(n, label=None):
        labels = [i % 2 if label is None else label for i in range(n)]
        return {"idx": list(range(n)), "sentence": [f"w{i} w3 " for i in range(n)], "label": labels}

    names = datasets.ClassLabel(names=["negative", "positive"])
    save_source(
        tmp_path / "sst2", {"idx": WHOLE, "sentence": STRING, "label": names},
        {"train": rows(20), "validation": rows(6), "test": rows(5, -1)},
    )  # fmt: skip
    return tmp_path / "sst2", ("sentence", "label"), 6


@pytest.fixture
def defects(tmp_path):
    """google/code_x_glue_cc_defect_detection in small."""

    def rows(n):
        return {"id": list(range(n)), "func": [f"int w{i} (w1)\n{{ }}" for i in range(n)],
                "target": [i % 3 == 0 for i in range(n)], "project": ["qemu"] * n,
                "commit_id": ["aa"] * n}  # fmt: skip

    features = {"id": WHOLE, "func": STRING, "target": datasets.Value("bool"), "project": STRING,
                "commit_id": STRING}  # fmt: skip
    splits = {"train": rows(20), "validation": rows(5), "test": rows(7)}
    save_source(tmp_path / "defects", features, splits)
    return tmp_path / "defects", ("func", "target"), 7


@pytest.mark.parametrize("name", ["sst2", "defects"])
def test_the_hubs_data_become_folds(name, request, tmp_path):
    folder, expected, n_test = request.getfixturevalue(name)
    chosen = PROFILES[name]
    source = originals.load_source(chosen, folder, 777)
    paths = FoldPaths(tmp_path, name, 0)
    folds.make_fold(paths, source, chosen.test_split, 5, 777)
    assert folds.sizes(paths) == {"train": 16, "repair": 4, "test": n_test}
    dataset = folds.load_split(paths, "repair")
    assert schema.columns_by_kind(dataset.features, chosen, "here") == expected
    splits, classes = training_data.read_splits(paths, chosen)
    assert classes == (["negative", "positive"] if name == "sst2" else ["0", "1"])
    labels = schema.read_labels(dataset, expected[1])
    assert labels.dtype == np.int64 and set(labels) <= {0, 1}
    rows = texts.TextRows(splits["repair"], expected, "repair", tokens_of())
    assert [label for _, label in rows] == labels.tolist()


# -- tokens ------------------------------------------------------------------------------------


def tokens_of(most=LONGEST, types=True):
    return texts.Tokens(text_folds.make_tokenizer(), most, family_nets.PAD, types)


def rows_of(content, tokens=None, names=("text", "label")):
    dataset = datasets.Dataset.from_dict(content)
    return texts.TextRows(dataset, names, "repair", tokens or tokens_of())


def test_texts_are_cut_to_what_the_model_takes_and_counted():
    long = " ".join(f"w{i}" for i in range(20))
    rows = rows_of({"text": ["w0 w1", long, "unknown w2"], "label": [0, 1, 0]})
    ids = [row["input_ids"].tolist() for row, _ in rows]
    cls, sep, unknown, first = family_nets.CLS, family_nets.SEP, family_nets.UNKNOWN, 4
    assert ids[0] == [cls, first, first + 1, sep]
    assert ids[1] == [cls, *range(first, first + LONGEST - 2), sep]
    assert ids[2] == [cls, unknown, first + 2, sep]
    assert rows.cut == 1
    (note,) = feeding.notes_on(rows, profile(text_column="text"))
    said = "1 of 3 texts of the split 'repair' are longer than the 12 tokens"
    assert note.startswith(said)


def test_pairs_have_types_where_the_model_has_two():
    content = {"a": ["w0 w1", "w1"], "b": ["w2", " ".join(["w3"] * 20)], "label": [0, 1]}
    rows = rows_of(content, names=("a", "b", "label"))
    row, label = rows[0]
    assert row["token_type_ids"].tolist() == [0, 0, 0, 0, 1, 1] and label == 0
    assert rows.cut == 1 and len(rows[1][0]["input_ids"]) == LONGEST
    rows = rows_of(content, tokens_of(types=False), ("a", "b", "label"))
    assert list(rows[0][0]) == ["input_ids"]


def test_a_batch_is_padded_on_the_right_whatever_the_tokenizer_says():
    rows = rows_of({"text": ["w0", "w1 w2 w3"], "label": [1, 0]})
    batch = texts.CollateTexts(pad=9)([rows[0], rows[1]])
    assert batch["input_ids"][0].tolist() == [2, 4, 3, 9, 9]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1] * 5]
    assert batch["token_type_ids"].dtype == batch["labels"].dtype == torch.int64
    assert batch["labels"].tolist() == [1, 0]


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert", "electra"])
def test_padding_changes_no_number(name):
    """Not even where the tokenizer's own padding token is in a text."""
    model = family_nets.build(name)
    rows = rows_of({"text": ["w0", "w1 w2 w3 w4 w5", "w6 w7"], "label": [0, 0, 0]},
                   tokens_of(types=name in ("bert", "electra")))  # fmt: skip
    batch = dict(texts.CollateTexts(pad=0)([rows[i] for i in range(3)]))
    del batch["labels"]
    together = forward_states(model, batch)
    expected = Whole(name, model, batch).states(range(3))
    for i in range(3):
        alone = dict(texts.CollateTexts(pad=0)([rows[i]]))
        del alone["labels"]
        for one, all_ in zip(forward_states(model, alone), together, strict=True):
            assert torch.equal(one[0], all_[i])
    np.testing.assert_allclose(together[0].numpy(), expected["h"], atol=1e-5)


@pytest.mark.parametrize(
    ("config", "most"),
    [
        (BertConfig(max_position_embeddings=512), 512),
        (RobertaConfig(max_position_embeddings=514), 512),
        (RobertaConfig(max_position_embeddings=20, pad_token_id=0), 19),
    ],
)
def test_what_a_model_takes(config, most):
    assert FAMILIES[config.model_type].most_tokens(config) == most
    tokenizer = text_folds.make_tokenizer()
    tokens = texts.make_tokens(tokenizer, config, most, "here")
    assert tokens.most == most
    tokenizer.model_max_length = 7
    assert texts.make_tokens(tokenizer, config, most, "here").most == 7


def test_a_tokenizer_of_another_model_is_refused():
    with pytest.raises(UserError, match="has 44 tokens, the model 20; give the tokenizer"):
        texts.make_tokens(text_folds.make_tokenizer(), BertConfig(vocab_size=20), 512, "here")


def test_a_text_that_is_missing_or_without_a_token_is_named():
    with pytest.raises(UserError, match=r"text 1 of the split 'repair' is missing"):
        rows_of({"text": ["w0", None], "label": [0, 0]})
    tokenizer = text_folds.make_tokenizer()
    tokenizer.backend_tokenizer.post_processor = None
    bare = texts.Tokens(tokenizer, LONGEST, 0, True)
    with pytest.raises(UserError, match=r"text 1 of the split 'repair' has no token, not even"):
        rows_of({"text": ["w0", ""], "label": [0, 0]}, bare)


# -- whose tokenizer ---------------------------------------------------------------------------


def test_the_base_models_tokenizer_stands_in_and_is_on_record(tmp_path):
    m1, base = tmp_path / "checkpoint-1", tmp_path / "base"
    text_folds.save_model(m1, "bert", tokenizer=False)
    text_folds.save_model(base, "bert")
    asked = profile(base_model=str(base), text_column="text")
    assert feeding.find_tokenizer(base, asked) == (base, "")
    where, note = feeding.find_tokenizer(m1, asked)
    assert where == base and note == f"checkpoint-1 has no tokenizer: takes that of {base}"
    hashes = HashCache(tmp_path / "hashes.json")
    assert feeding.foreign_tokenizer(base, asked, hashes) == {}
    first = feeding.foreign_tokenizer(m1, asked, hashes)
    (base / "tokenizer.json").write_text((base / "tokenizer.json").read_text() + "\n")
    assert feeding.foreign_tokenizer(m1, asked, hashes) != first
    with pytest.raises(UserError, match=r"no tokenizer \(tokenizer.json, .* put the files of that"):
        feeding.find_tokenizer(m1, profile(base_model="no/such-model", text_column="text"))


def test_a_broken_tokenizer_is_refused(tmp_path):
    text_folds.save_model(tmp_path, "bert")
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match=r"the tokenizer in .* cannot be read"):
        texts.load_tokenizer(tmp_path)


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_tokenizers_in_old_files_are_read(name, tmp_path):
    """vocab.txt, or vocab.json and merges.txt, as base models of the hub have them."""
    family_nets.build(name).save_pretrained(tmp_path)
    if name == "bert":
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello"]
        (tmp_path / "vocab.txt").write_text("\n".join(words))
        text = "hello"
    else:
        names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "h", "i", "hi"]
        numbers = ", ".join(f'"{word}": {i}' for i, word in enumerate(names))
        (tmp_path / "vocab.json").write_text(f"{{{numbers}}}")
        (tmp_path / "merges.txt").write_text("#version: 0.2\nh i\n")
        text = "hi"
    assert texts.has_tokenizer(tmp_path)
    ids = texts.load_tokenizer(tmp_path)(text)["input_ids"]
    assert ids == ([2, 5, 3] if name == "bert" else [0, 7, 2])


def test_texts_that_splits_share_are_found():
    one = datasets.Dataset.from_dict({"a": ["x", "y", None], "b": ["1", "2", "3"]})
    other = datasets.Dataset.from_dict({"a": ["y", "x"], "b": ["2", "2"]})
    found = {name: texts.digests(d, ["a", "b"]) for name, d in (("p", one), ("q", other))}
    assert len(found["p"]) == 2
    assert doubts.shared(found, "text") == [
        "1 of the texts of 'q' are in 'p' as well (the first: text 0)"
    ]
