"""Which checkpoints are M1 and M2, and that two of different runs or epochs are not taken."""

import json

import pytest

from utils.errors import UserError
from utils.model import trainer_state
from utils.model.families import FAMILIES
from utils.model.pair import Pair, find_pair, require_one_model
from utils.run.paths import FoldPaths

CONFIG = {"model_type": "vit", "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2}


def make_run(root, names):
    paths = FoldPaths(root, "digits", 0)
    for name in names:
        (paths.training / name).mkdir(parents=True)
    return paths


def refusal(call, *args):
    """The message of the UserError, which has to be one line."""
    with pytest.raises(UserError) as caught:
        call(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- by name -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "m1", "m2"),
    [
        (["900", "1000"], "900", "1000"),
        (["1000", "999", "2"], "999", "1000"),
        (["9", "10", "best", "11-old", ""], "9", "10"),
    ],
)
def test_m2_has_the_highest_step_and_m1_the_one_before(tmp_path, steps, m1, m2):
    pair = find_pair(make_run(tmp_path, [f"checkpoint-{step}" for step in steps]))
    assert (pair.m1.name, pair.m2.name) == (f"checkpoint-{m1}", f"checkpoint-{m2}")


@pytest.mark.parametrize(
    ("m1", "m2", "expected"),
    [
        (10, 30, (10, 30)),
        (10, 20, (10, 20)),
        (None, 20, (10, 20)),
        (10, None, (10, 40)),
        (None, None, (30, 40)),
    ],
)
def test_steps_that_are_named_are_taken(tmp_path, m1, m2, expected):
    paths = make_run(tmp_path, [f"checkpoint-{step}" for step in (10, 20, 30, 40)])
    pair = find_pair(paths, m1, m2)
    assert (pair.m1.name, pair.m2.name) == tuple(f"checkpoint-{step}" for step in expected)


@pytest.mark.parametrize(
    ("m1", "m2", "said"),
    [
        (15, None, "--m1 15: .* has checkpoints of the steps 10, 20"),
        (None, 0, "--m2 0: .* has checkpoints of the steps 10, 20"),
        (20, 10, "name the steps 20 and 10 .*M1 is the earlier one"),
        (20, None, "name the steps 20 and 20"),
        (None, 10, "no checkpoint before checkpoint-10; name another --m2"),
    ],
)
def test_steps_that_make_no_pair_are_refused(tmp_path, m1, m2, said):
    paths = make_run(tmp_path, ["checkpoint-10", "checkpoint-20"])
    with pytest.raises(UserError, match=said):
        find_pair(paths, m1, m2)


def test_every_entry_that_is_passed_over_is_named_with_the_reason(tmp_path):
    names = ["checkpoint-5", "checkpoint-10", "checkpoint-20", "checkpoint-best"]
    paths = make_run(tmp_path, [*names, "tmp-checkpoint-150", "runs", "my-checkpoint-7"])
    (paths.training / "checkpoint-100").symlink_to("nowhere")
    (paths.training / "checkpoint-30").write_text("")
    pair = find_pair(paths)
    assert (pair.m1.name, pair.m2.name) == ("checkpoint-10", "checkpoint-20")
    assert sorted(pair.passed_over) == [
        "checkpoint-100 (a link to nothing)",
        "checkpoint-30 (no folder)",
        "checkpoint-5 (another step)",
        "checkpoint-best (no step in its name)",
        "tmp-checkpoint-150 (left by a save that did not end)",
    ]


@pytest.mark.parametrize("names", [[], ["checkpoint-5"], ["checkpoint-5", "checkpoint-last"]])
def test_fewer_than_two_checkpoints_are_refused(tmp_path, names):
    message = refusal(find_pair, make_run(tmp_path, names))
    # Step 0 trains from the start; what another script began only that script goes on with.
    assert ("run exp-fl-5-0.py again" in message) == (not names)
    assert ("add the checkpoint of another epoch of the same run" in message) == bool(names)
    assert ("checkpoint-last is no step in its name" in message) == (len(names) == 2)


def test_two_folders_of_one_step_are_refused(tmp_path):
    paths = make_run(tmp_path, ["checkpoint-10", "checkpoint-010", "checkpoint-20"])
    assert "one step" in refusal(find_pair, paths)


# -- of one model ------------------------------------------------------------------------------


def names(*given):
    return {"id2label": {str(i): name for i, name in enumerate(given)}}


@pytest.fixture
def pair(tmp_path):
    return Pair(tmp_path / "checkpoint-10", tmp_path / "checkpoint-20")


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (names(*"abcdefg"), names(*"abcdefghij"), "differ in num_labels (7 and 10)"),
        ({}, names(*"abc"), "differ in num_labels (2 and 3)"),
        ({"hidden_act": "gelu"}, {"hidden_act": "relu"}, "differ in hidden_act (gelu and relu)"),
        ({}, {"hidden_act": "relu"}, "differ in hidden_act (gelu and relu)"),
        ({"intermediate_size": 16}, {}, "differ in intermediate_size (16 and 12)"),
        ({"num_hidden_layers": 3}, {}, "num_hidden_layers (3 and 2)"),
        ({"num_attention_heads": 2}, {"num_attention_heads": 4}, "num_attention_heads (2 and 4)"),
        ({"patch_size": 8}, {}, "patch_size (8 and 16)"),
        ({"image_size": 32}, {"image_size": 64}, "image_size (32 and 64)"),
        (names("a", "b"), names("b", "a"), "differ in the name of class 0 ('a' and 'b')"),
    ],
)
def test_two_models_are_refused(pair, first, second, said):
    message = refusal(require_one_model, pair, CONFIG | first, CONFIG | second)
    assert said in message
    assert "checkpoint-10 and checkpoint-20" in message


def test_one_model_is_taken(pair):
    """What a config leaves out is as ViTConfig has it; LABEL_<i> is no name."""
    require_one_model(pair, CONFIG, CONFIG | {"hidden_act": "gelu", "image_size": 224})
    require_one_model(pair, CONFIG | names("LABEL_0", "LABEL_1"), CONFIG | names("a", "b"))
    require_one_model(pair, CONFIG, CONFIG | {"num_labels": 2})


# -- neighbours --------------------------------------------------------------------------------


def logged(step, epoch, **values):
    return {"step": step, "epoch": epoch, "eval_loss": 1 / step} | values


def state(step, epoch, log, **values):
    """A trainer_state.json; `log` has the (step, epoch) of its entries."""
    return {
        "global_step": step,
        "epoch": epoch,
        "max_steps": 200,
        "num_train_epochs": 2,
        "train_batch_size": 16,
        "log_history": [logged(*entry) for entry in log],
    } | values


FIRST = state(100, 1.0, [(50, 0.5), (100, 1.0)])
SECOND = state(200, 2.0, [(50, 0.5), (100, 1.0), (150, 1.5), (200, 2.0)])


def write(pair, *states):
    for folder, content in zip((pair.m1, pair.m2), states, strict=True):
        folder.mkdir(parents=True, exist_ok=True)
        if content is not None:
            (folder / "trainer_state.json").write_text(json.dumps(content))
    return trainer_state.why_not_neighbours(pair)


OTHER_LOG = [(50, 0.5), (100, 1.0)]
NEIGHBOURS = {
    "two epochs": (FIRST, SECOND),
    "nothing logged": (FIRST | {"log_history": []}, SECOND | {"log_history": []}),
    "logged after M1 only": (
        state(100, 1.0, []), state(200, 2.0, [(150, 1.5)]),
    ),
    "evaluated at M1's step after the save": (
        state(100, 1.0, [(50, 0.5)]), state(200, 2.0, [(50, 0.5), (100, 1.0), (200, 2.0)]),
    ),
    "a loss that is NaN": (
        FIRST | {"log_history": [logged(50, 0.5, loss=float("nan"))]},
        SECOND | {"log_history": [logged(50, 0.5, loss=float("nan")), logged(150, 1.5)]},
    ),
    "the last two of five": (
        state(400, 4.0, OTHER_LOG, max_steps=500, num_train_epochs=5),
        state(500, 5.0, OTHER_LOG, max_steps=500, num_train_epochs=5),
    ),
    # 287 batches of which two make a step: 143.5 steps an epoch
    "an epoch that ends within a step": (
        state(143, 286 / 287, [], max_steps=287), state(287, 2.0, [], max_steps=287),
    ),
    "one step per epoch": (
        state(1, 1.0, [], max_steps=2), state(2, 2.0, [], max_steps=2),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_neighbours_are_taken(pair, name):
    assert write(pair, *NEIGHBOURS[name]) == []
    assert trainer_state.unchecked(pair) is None


STRANGERS = {
    "two runs of different length": (
        FIRST | {"max_steps": 300, "num_train_epochs": 3},
        SECOND,
        ["max_steps is 300 and 200", "num_train_epochs is 3 and 2"],
    ),
    "two runs of one length": (
        FIRST,
        SECOND | {"log_history": [logged(50, 0.5, loss=7.0), logged(200, 2.0)]},
        ["the log of checkpoint-20 does not continue that of checkpoint-10"],
    ),
    "M2's log has an entry that M1 should have": (
        FIRST | {"log_history": []}, SECOND, ["does not continue"],
    ),
    "M2's log is shorter": (FIRST, SECOND | {"log_history": [logged(50, 0.5)]}, ["not continue"]),
    "best and last": (
        state(200, 2.0, OTHER_LOG, max_steps=500, num_train_epochs=5),
        state(500, 5.0, OTHER_LOG, max_steps=500, num_train_epochs=5),
        ["they are 3 epochs apart (2 and 5)"],
    ),
    "saves by steps": (
        state(161, 1.61, OTHER_LOG), state(200, 2.0, OTHER_LOG),
        ["they are 0.39 epochs apart (1.61 and 2)"],
    ),
    "one step too early": (state(99, 0.99, []), state(200, 2.0, []), ["1.01 epochs apart"]),
    "one step per epoch, one left out": (
        state(1, 1.0, [], max_steps=3), state(3, 3.0, [], max_steps=3), ["2 epochs apart"],
    ),
    "swapped": (SECOND, FIRST, ["does not continue", "-1 epochs apart (2 and 1)"]),
    "the same twice": (FIRST, FIRST, ["0 epochs apart"]),
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGERS)
def test_strangers_are_told_by_what_differs(pair, name):
    first, second, said = STRANGERS[name]
    found = write(pair, first, second)
    assert len(found) == len(said)
    for words, reason in zip(said, found, strict=True):
        assert words in reason


def test_without_a_state_the_names_are_said_to_decide(pair):
    assert write(pair, None, None) == []
    assert "no trainer_state.json in checkpoint-10 and checkpoint-20" in trainer_state.unchecked(
        pair
    )


@pytest.mark.parametrize(("last", "ok"), [(200, True), (150, False), (300, False)])
@pytest.mark.parametrize("missing", ["M1", "M2"])
def test_one_state_gives_the_length_of_an_epoch(tmp_path, last, ok, missing):
    """M1 of step 100 and M2 of step `last`, of which only one says where its epochs end."""
    pair = Pair(tmp_path / "checkpoint-100", tmp_path / f"checkpoint-{last}")
    states = [FIRST, SECOND | {"global_step": last, "epoch": last / 100}]
    states[missing == "M2"] = None
    assert (write(pair, *states) == []) == ok
    assert (
        f"no trainer_state.json in {pair.m2.name if states[1] is None else 'checkpoint-100'}"
        in (trainer_state.unchecked(pair))
    )


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"global_step": 3}', json.dumps(FIRST | {"epoch": None}),
     json.dumps(FIRST | {"epoch": 0}), json.dumps(FIRST | {"log_history": [1]}),
     json.dumps(FIRST | {"global_step": "many"})],
)  # fmt: skip
def test_a_state_that_is_not_the_trainers_is_refused(pair, text):
    write(pair, FIRST, SECOND)
    (pair.m2 / "trainer_state.json").write_text(text)
    message = refusal(trainer_state.why_not_neighbours, pair)
    assert "checkpoint-20/trainer_state.json is not what the Trainer writes" in message


# -- the recipe --------------------------------------------------------------------------------


def optimizer(learning_rate=2e-4):
    """As Trainer saves it: a group with weight decay and one without."""
    import torch

    parts = [torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(2))]
    groups = [{"params": parts[:1], "weight_decay": 0.01}, {"params": parts[1:], "weight_decay": 0}]
    found = torch.optim.AdamW(groups, lr=learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(found, lambda step: 1 - step / 10)
    sum(part.sum() for part in parts).backward()
    for _ in range(3):
        found.step()
        schedule.step()
    return found.state_dict()


def test_the_recipe_is_read_from_what_lies_beside_the_weights(pair):
    import torch

    write(pair, FIRST, SECOND)
    for folder in (pair.m1, pair.m2):
        config = CONFIG | {"transformers_version": "4.44.2"}
        (folder / "config.json").write_text(json.dumps(config))
    torch.save(optimizer(), pair.m2 / "optimizer.pt")
    found = trainer_state.read_recipe(pair)
    assert found.values == {
        "num_train_epochs": 2, "train_batch_size": 16, "transformers": "4",
        "learning_rate": 2e-4, "weight_decay": 0.01,
    }  # fmt: skip
    assert (found.steps_per_epoch, found.transformers) == (100, "4.44.2")
    assert trainer_state.epochs_of(pair) == [1.0, 2.0]


def test_a_recipe_of_weights_and_config_alone_is_short(pair):
    write(pair, None, None)
    (pair.m2 / "config.json").write_text(json.dumps(CONFIG))
    (pair.m2 / "optimizer.pt").write_bytes(b"no optimizer")
    assert trainer_state.read_recipe(pair) == trainer_state.Recipe({})
    assert trainer_state.epochs_of(pair) is None


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_what_a_silent_config_means_is_what_transformers_takes(family):
    import transformers

    defaults = getattr(transformers, family.config_class)().to_dict()
    assert {name: defaults[name] for name in family.shared} == family.shared
