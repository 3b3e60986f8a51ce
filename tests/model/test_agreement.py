"""M1's classes are the data's, and what is assumed about pictures is said."""

import json
import logging

import pytest
from transformers import ViTConfig

from utils.errors import UserError
from utils.model import agreement
from utils.model.inputs import Pair

CONFIG = {
    "model_type": "vit",
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
PROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "size": {"height": 8, "width": 8},
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}
IMAGENET = PROCESSOR | {"image_mean": [0.485, 0.456, 0.406]}


@pytest.fixture
def pair(tmp_path):
    pair = Pair(tmp_path / "out" / "checkpoint-10", tmp_path / "out" / "checkpoint-20")
    for folder in (pair.m1, pair.m2):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(CONFIG))
    return pair


def write_config(folder, **values):
    (folder / "config.json").write_text(json.dumps(CONFIG | values))


def write_processor(folder, content):
    folder.mkdir(exist_ok=True)
    (folder / "preprocessor_config.json").write_text(json.dumps(content))


# -- classes -----------------------------------------------------------------------------------


def id2label(names):
    return {str(i): name for i, name in enumerate(names)}


DATA = [f"c{i}" for i in range(12)]


@pytest.mark.parametrize("names", [DATA, [f"LABEL_{i}" for i in range(12)], None])
def test_the_datas_names_and_no_names_are_taken(pair, names):
    write_config(pair.m1, **({} if names is None else {"id2label": id2label(names)}))
    agreement.require_same_classes(pair.m1, DATA, "dataset/x")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (DATA[::-1], "in another order: class 0 is 'c11' and 'c0'"),
        ([*DATA[:10], "c11", "c10"], "in another order: class 10 is 'c11' and 'c10'"),
        ([*DATA[:11], "other"], "dataset/x: class 11 is 'other' and 'c11'"),
        (DATA[:11], "dataset/x: there are 11 and 12"),
        ([*DATA, "c12"], "dataset/x: there are 13 and 12"),
        ([*DATA[:10], "c10 ", "c11"], "class 10 is 'c10 ' and 'c10'"),
        (["LABEL_0", *DATA[1:]], "class 0 is 'LABEL_0' and 'c0'"),
    ],
)
def test_other_names_are_refused(pair, names, said):
    write_config(pair.m1, id2label=id2label(names))
    with pytest.raises(UserError) as caught:
        agreement.require_same_classes(pair.m1, DATA, "dataset/x")
    assert said in str(caught.value)
    assert "checkpoint-10 (id2label)" in str(caught.value)
    assert "\n" not in str(caught.value)


# -- pictures ----------------------------------------------------------------------------------


@pytest.fixture
def said(pair, caplog):
    """The lines that are logged about the pair's pictures, each with its level."""

    def say(image_size=8):
        caplog.clear()
        caplog.set_level(logging.DEBUG)
        config = ViTConfig(image_size=image_size)
        agreement.say_preprocessing(logging.getLogger("test"), pair, config)
        return [(record.levelname, record.getMessage()) for record in caplog.records]

    return say


ASSUMED = (
    "INFO",
    "checkpoint-10 has no preprocessor_config.json: assumes pictures resized to 8 x 8, mean and "
    "std 0.5",
)


def test_the_assumption_is_said_once(said):
    assert said() == [ASSUMED]


def test_nothing_is_said_of_a_file_that_is_there(pair, said):
    write_processor(pair.m1, IMAGENET)
    assert said() == []
    write_processor(pair.m2, IMAGENET)
    assert said() == []


@pytest.mark.parametrize("where", ["M2", "the training folder", "the base model"])
def test_a_file_that_contradicts_is_warned_of(pair, said, tmp_path, where):
    base = tmp_path / "base"
    write_config(pair.m1, _name_or_path=str(base))
    folder = {"M2": pair.m2, "the training folder": pair.m1.parent, "the base model": base}[where]
    write_processor(folder, PROCESSOR)
    assert said() == [ASSUMED]
    write_processor(folder, IMAGENET)
    first, (level, line) = said()
    assert first == ASSUMED
    assert level == "WARNING"
    assert f"{folder}/preprocessor_config.json" in line
    assert "image_mean is 0.5 and [0.485, 0.456, 0.406]" in line


def test_m2s_file_that_differs_from_m1s_is_warned_of(pair, said):
    write_processor(pair.m1, PROCESSOR)
    write_processor(pair.m2, IMAGENET)
    ((level, line),) = said()
    assert level == "WARNING" and "image_mean" in line


def test_a_broken_file_beside_m2_is_warned_of(pair, said):
    write_processor(pair.m2, ["x"])
    assert said()[1][0] == "WARNING"
    assert "not a readable image processor" in said()[1][1]


def test_a_base_model_of_the_hub_says_nothing(pair, said):
    write_config(pair.m1, _name_or_path="google/vit-base-patch16-224-in21k")
    assert said() == [ASSUMED]
