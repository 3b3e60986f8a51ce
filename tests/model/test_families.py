"""Every family against the whole model of transformers: hooks, autograd, float64."""

import copy
import json
import re
from pathlib import Path

import family_nets
import numpy as np
import pytest
import references
import torch
from family_nets import NAMED, PICTURES, TEXTS, Whole
from refusals import refusal
from safetensors.torch import load_file, save_file
from test_checkpoints import names_of_4x

from utils import ranking
from utils.judge.layers import swap
from utils.methods import METHODS
from utils.methods.evidence import Evidence
from utils.model import caches, checkpoints, configs, forward, names
from utils.model.class_token import forward_states, model_states
from utils.model.families import FAMILIES, REFUSED
from utils.model.gradients import mean_loss_gradient
from utils.model.states import States, states_from_h
from utils.truth.repair.credit import path_points, repair_credit

SAMPLES = 7
LABELS = np.array([0, 2, 1, 1, 0, 2, 2])
NEG, POS = np.array([0, 2, 3, 6]), np.array([1, 4, 5])


class Case:
    """A family's model in a folder, its tail and states, and the whole model beside them."""

    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        self.family = FAMILIES[name]
        self.model = family_nets.build(name, seed=3)
        self.model.save_pretrained(folder)
        self.batch = family_nets.batch_for(name, SAMPLES, pair=True)
        self.whole = Whole(name, self.model, self.batch)
        self.tail = caches.load_tail(folder)
        h, logits = forward_states(forward.load_model(folder), self.batch)
        a, y, _ = states_from_h(self.tail, h.numpy())
        self.states = States(h.numpy(), a, y, logits.numpy(), LABELS)

    def score(self, level, method):
        evidence = Evidence(self.tail, self.states, NEG, POS, 0, 20, fold_memo={})
        return METHODS[level, method].function(evidence).score


@pytest.fixture(scope="module", params=NAMED)
def case(request, tmp_path_factory):
    return Case(request.param, tmp_path_factory.mktemp(request.param))


def test_every_family_has_a_net_here():
    assert NAMED.keys() == FAMILIES.keys()
    assert {name for name, family in FAMILIES.items() if family.feeds == "text"} == set(TEXTS)
    assert not FAMILIES.keys() & REFUSED.keys()


def test_cached_states_are_the_whole_models(case):
    found = case.whole.states(range(SAMPLES))
    for key in ("h", "a", "y", "logits"):
        assert references.relative_error(getattr(case.states, key), found[key]) < 1e-5, key
    logits = states_from_h(case.tail, case.states.h)[2]
    assert references.relative_error(logits, found["logits"]) < 1e-5
    assert np.array_equal(logits.argmax(1), found["logits"].argmax(1))
    inside = model_states(case.model, case.batch)
    for key in ("a", "y"):
        assert references.relative_error(inside[key], found[key]) < 1e-5


def test_no_other_sample_of_a_batch_changes_a_number(case):
    model = forward.load_model(case.folder)
    for i in range(SAMPLES):
        alone = {key: values[i : i + 1] for key, values in case.batch.items()}
        h, logits = forward_states(model, alone)
        if case.name in TEXTS:  # pictures are taken through the model eight at a time
            assert np.array_equal(h.numpy()[0], case.states.h[i])
            assert np.array_equal(logits.numpy()[0], case.states.logits[i])
        assert references.relative_error(h.numpy()[0], case.states.h[i]) < 1e-5


def test_grad_loss_is_the_whole_models_gradient(case):
    whole = case.whole
    loss = whole.loss(NEG, LABELS)
    expected = [g.numpy().ravel() for g in torch.autograd.grad(loss, [whole.bef, whole.aft])]
    found = mean_loss_gradient(case.tail, case.states, NEG)  # of the first token alone
    assert references.relative_error(found, np.concatenate(expected)) < 1e-5


def test_ig_is_that_of_the_whole_model(case):
    points, score = 20, np.zeros(case.tail.m)
    for i in range(SAMPLES):
        a = torch.from_numpy(case.whole.states([i])["a"]).double()
        for t in range(1, points + 1):
            at = (t / points * a).requires_grad_(True)
            logits = case.whole.logits([i], lambda _, at=at: at)
            (gradient,) = torch.autograd.grad(logits.softmax(1)[0, LABELS[i]], at)
            score += (a * gradient).numpy()[0] / points / SAMPLES
    assert references.relative_error(case.score("neuron", "ig"), score) < 1e-5


@torch.no_grad()
def loss_with(case, j, value):
    def put(a):
        a[:, j] = value
        return a

    return float(case.whole.loss(NEG, LABELS, put))


def test_zero_out_is_the_whole_models_loss_without_the_neuron(case):
    with torch.no_grad():
        base = float(case.whole.loss(NEG, LABELS))
    expected = [abs(loss_with(case, j, 0.0) - base) for j in range(case.tail.m)]
    assert references.relative_error(case.score("neuron", "zero_out"), expected) < 1e-5


def test_care_is_the_spread_of_the_whole_models_loss(case):
    values = case.whole.states(range(SAMPLES))["a"]
    few = [0, 3, 7]
    expected = []
    for j in few:
        low, high = values[:, j].min(), values[:, j].max()
        effects = [loss_with(case, j, low + (k + 0.5) / 8 * (high - low)) for k in range(8)]
        expected.append(np.abs(np.array(effects) - np.mean(effects)).mean())
    assert references.relative_error(case.score("neuron", "care")[few], expected) < 1e-5


def test_repair_credit_is_the_whole_models_path_integral(case):
    rng = np.random.default_rng(5)
    start = [w.detach().clone() for w in (case.whole.bef, case.whole.aft)]
    m2 = [w.numpy().astype("f4") + rng.normal(0, 0.1, tuple(w.shape)).astype("f4") for w in start]
    deltas = [torch.from_numpy(b).double() - w for w, b in zip(start, m2, strict=True)]
    whole = Whole(case.name, case.model, case.batch)
    total = [torch.zeros_like(d) for d in deltas]
    for t, weight in zip(*path_points(), strict=True):
        with torch.no_grad():
            for w, begin, delta in zip((whole.bef, whole.aft), start, deltas, strict=True):
                w.copy_(begin + t * delta)
        loss = whole.loss(NEG, LABELS)
        gradients = torch.autograd.grad(loss, [whole.bef, whole.aft])
        for part, gradient in zip(total, gradients, strict=True):
            part += weight * gradient
    expected = ranking.flatten(*(-(d * g).numpy() for d, g in zip(deltas, total, strict=True)))
    found = repair_credit(case.tail, *m2, case.states, NEG)
    assert references.relative_error(found.credit, expected) < 1e-5
    with torch.no_grad():
        losses = []
        for end in (start, [torch.from_numpy(w).double() for w in m2]):
            for w, values in zip((whole.bef, whole.aft), end, strict=True):
                w.copy_(values)
            losses.append(float(whole.loss(NEG, LABELS)))
    assert (found.loss_m1, found.loss_transplanted) == pytest.approx(tuple(losses), abs=1e-5)
    assert abs(found.gap - (expected.sum() - losses[0] + losses[1])) < 1e-5
    if all(each.activation != "relu" for each in case.family.head):  # a kink is not smooth
        assert abs(found.gap) < 1e-5


def belongs(name, tensor, layer, block):
    """Whether a parameter is of a block, by docs/definitions.md 11."""
    inside = NAMED[name].layer.rpartition(".")[0] + "."
    if not tensor.startswith(inside):
        return block == ("embeddings" if ".embeddings" in tensor else "head")
    number, _, part = tensor.removeprefix(inside).partition(".")
    of_attention = part.startswith(("attention.", "layernorm_before.", "sa_layer_norm."))
    inner = block in ("attention", "ffn")
    return inner and int(number) == layer and (block == "attention") == of_attention


def test_every_block_put_into_the_other_model(case):
    donor = family_nets.build(case.name, seed=4)
    receiver = case.model
    found = swap.piecewise_logits(receiver, donor, case.batch).numpy()
    theirs, seen = dict(donor.named_parameters()), []
    for place, (layer, block) in enumerate(swap.blocks_of(2), 1):
        model = copy.deepcopy(receiver)
        with torch.no_grad():
            for name, values in model.named_parameters():
                if belongs(case.name, name, layer, block):
                    seen.append(name)
                    values.copy_(theirs[name])
        expected = Whole(case.name, model, case.batch).states(range(SAMPLES))["logits"]
        assert references.relative_error(found[:, place], expected) < 1e-5, (layer, block)
        assert references.relative_error(found[:, 0], expected) > 1e-3
    assert references.relative_error(found[:, 0], case.states.logits) < 1e-5
    assert sorted(seen) == sorted(name for name, _ in receiver.named_parameters())


def test_the_documents_say_what_each_head_holds(case):
    text = (Path(__file__).parents[2] / "docs" / "definitions.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.count("|") == 5]
    (held,) = (re.findall("`(.+?)`", row[3]) for row in rows if f"`{case.name}`" in row[0])
    body = f"{case.family.body}."
    modules = [case.family.final_norm, *(each.name for each in case.family.head)]
    assert held == [name.removeprefix(body) for name in modules if name]


# -- files -------------------------------------------------------------------------------------


def test_folders_of_both_releases_give_the_same_weights(case, tmp_path):
    """As 4.46 writes them, as 5.x saves them, and as 5.x builds them."""
    state = {name: values.contiguous() for name, values in case.model.state_dict().items()}
    body = case.family.body
    as_vit = {name.replace("deit.", "vit.", 1): values for name, values in state.items()}
    old = {name.replace("vit.", f"{body}.", 1): x for name, x in names_of_4x(as_vit).items()}
    for i, spelled in enumerate((old if case.name in PICTURES else state, state)):
        folder = tmp_path / str(i)
        folder.mkdir()
        save_file(spelled, folder / "model.safetensors", metadata={"format": "pt"})
        config = case.model.config.to_dict() | {"transformers_version": "4.46.3"}
        (folder / "config.json").write_text(json.dumps(config))
        expected = checkpoints.read_tail(case.folder)
        found = checkpoints.read_tail(folder)
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[key], expected[key]) for key in expected)
        bef, aft = checkpoints.read_ffn(folder)
        assert np.array_equal(bef, case.model.get_submodule(NAMED[case.name].bef).weight.detach())
        assert np.array_equal(aft, case.model.get_submodule(NAMED[case.name].aft).weight.detach())
        assert checkpoints.ffn_shape(folder) == (8, 12)


def test_a_model_has_its_own_tensors_in_every_spelling(case):
    built, saved = list(case.model.state_dict()), list(load_file(case.folder / "model.safetensors"))
    config = configs.read_config(case.folder)
    for spelling in (built, saved):
        assert names.why_not_of(case.family, spelling, 2, config) is None
        assert sorted(names.canonical(case.family, name) for name in spelling) == sorted(built)
    more = [*saved, "classifier.lora_A.weight"]
    assert "lora_A" in names.why_not_of(case.family, more, 2, config)
    beyond = names.ffn_names(case.family, 2)["w_bef"][0]
    said = names.why_not_of(case.family, [*saved, beyond], 2, config)
    assert f"{case.family.keys.layers} 2" in said


def test_the_ffn_of_any_layer_is_named(case):
    state = case.model.state_dict()
    for layer in (0, 1):
        found = names.ffn_names(case.family, layer)
        place = NAMED[case.name].bef.replace(".1.", f".{layer}.")
        assert found["w_bef"][-1] == f"{place}.weight"
        assert all(spellings[-1] in state for spellings in found.values())


# -- refusals ----------------------------------------------------------------------------------


@pytest.fixture
def bert(tmp_path):
    family_nets.build("bert").save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "why"),
    [("swin", "pools over tokens"), ("beit", "pools over tokens"), ("dinov2", "pools over"),
     ("modernbert", "three matrices"), ("gpt2", "last token of a text"),
     ("segment_anything", "which is unknown here")],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_what_does(bert, kind, why):
    said = refusal(bert, model_type=kind)
    assert f"is of a {kind!r} model" in said and why in said
    assert said.endswith(", ".join(FAMILIES))


def test_deit_with_its_teacher_has_two_heads(tmp_path):
    family_nets.build("deit").save_pretrained(tmp_path)
    said = refusal(tmp_path, architectures=["DeiTForImageClassificationWithTeacher"])
    assert "two heads" in said and "would be read as DeiTForImageClassification" in said


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"problem_type": "regression"}, "problem_type 'regression'"),
        ({"problem_type": "multi_label_classification"}, "cross-entropy of one class per sample"),
        ({"id2label": {"0": "size"}}, "num_labels 1"),
        ({"architectures": ["BertForMaskedLM"]}, "would be read as BertForSequenceClassification"),
        ({"is_decoder": True}, "so its first token does not see the others"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
    ],
)
def test_other_heads_and_losses_are_refused(bert, entries, words):
    assert words in refusal(bert, **entries)


def test_a_tensor_that_a_text_model_does_not_have(bert):
    file = bert / "model.safetensors"
    more = {"bert.encoder.layer.1.adapter.down.weight": torch.ones(2, 2)}
    save_file(load_file(file) | more, file, metadata={"format": "pt"})
    assert "plain BertForSequenceClassification" in refusal(bert)
