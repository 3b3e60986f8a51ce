"""Work in fixed pieces: what comes out does not know how many threads there were."""

from dataclasses import replace
from types import SimpleNamespace

import family_nets
import numpy as np
import pytest
import torch

from utils import pieces
from utils.methods import arachne, integrated_gradients, interventions, magnitude, variance
from utils.model import caches, class_token, gradients, states
from utils.truth.repair import credit as repair

# Samples, classes, activation; d and m are no multiples of anything.
SHAPES = [
    (2, 100, "gelu"),
    (3, 37, "gelu"),
    (5, 20, "gelu"),
    (7, 3, "gelu"),
    (10, 10, "gelu"),
    (20, 64, "gelu"),
    (300, 7, "silu"),  # torch treats the last values of a thread's share in another way
]
D, M = 48, 101


@pytest.fixture
def threads(monkeypatch):
    """Give torch and the pieces so many threads."""
    before = torch.get_num_threads()

    def set_threads(count: int) -> None:
        monkeypatch.setattr(pieces, "cores", lambda: count)
        torch.set_num_threads(count)

    yield set_threads
    torch.set_num_threads(before)


def everything(toy) -> dict[str, np.ndarray]:
    """What steps 3 to 7 compute with torch, the way the steps call it: on one thread around."""
    some = np.arange(len(toy.states.labels))
    rng = np.random.default_rng(1)
    m2 = [
        w.numpy() + rng.normal(0, 0.1, w.shape).astype("f4")
        for w in (toy.tail.w_bef, toy.tail.w_aft)
    ]
    with pieces.cpu_threads(1):
        a, y, logits = states.states_from_h(toy.tail, toy.states.h)
        ig = integrated_gradients.integrated_gradients(toy.tail, toy.states, some, 5)
        credit = repair.repair_credit(toy.tail, *m2, toy.states, some)
        return {
            "a": a,
            "y": y,
            "logits": logits,
            "grad_loss": gradients.mean_loss_gradient(toy.tail, toy.states, some),
            "forward impact": arachne.forward_impact(toy.tail, toy.states, some),
            "ig": ig.score,
            "gap": ig.gap,
            "wanda": magnitude.wanda(toy.tail, toy.states, some),
            "V": variance.v_scores(toy.states.a, some, torch.device("cpu")),
            "credit": credit.credit,
            "loss": np.array([credit.loss_m1, credit.loss_transplanted]),
        }


@pytest.mark.parametrize(("samples", "classes", "activation"), SHAPES)
def test_the_number_of_threads_does_not_change_a_bit(
    make_toy, threads, samples, classes, activation
):
    toy = make_toy(samples, D, M, classes)
    toy = replace(toy, tail=replace(toy.tail, activation=activation))
    threads(1)
    once = everything(toy)
    for count in (2, 4, 7):
        threads(count)
        for name, values in everything(toy).items():
            np.testing.assert_array_equal(values, once[name], err_msg=f"{name}, {count} threads")


def test_texts_behind_a_head_of_two_maps_do_not_depend_on_threads_either(threads, tmp_path):
    model = family_nets.build("bert", hidden_size=D, intermediate_size=M)
    model.save_pretrained(tmp_path)
    batch = family_nets.batch_for("bert", 300)
    tail, labels = caches.load_tail(tmp_path), np.arange(300) % 3

    def found() -> dict[str, np.ndarray]:
        with pieces.cpu_threads(1):
            h, logits = class_token.forward_states(model, batch)
            a, y, _ = states.states_from_h(tail, h.numpy())
            split = states.States(h.numpy(), a, y, logits.numpy(), labels)
            silenced = interventions.mean_loss_change(
                tail, split, np.arange(40), np.zeros((1, M), np.float32)
            )
        return everything(SimpleNamespace(tail=tail, states=split)) | {
            "h": split.h, "the model's": split.logits, "zero_out": silenced,
        }  # fmt: skip

    threads(1)
    once = found()
    for count in (2, 5):
        threads(count)
        for name, values in found().items():
            np.testing.assert_array_equal(values, once[name], err_msg=f"{name}, {count} threads")


@pytest.mark.parametrize("rows", [1, 255, 256, 257, 1000])
@pytest.mark.parametrize("count", [1, 3])
def test_pieces_are_put_together_in_order(threads, rows, count):
    threads(count)
    x, y = torch.randn(rows, 5), torch.arange(rows)
    doubled, kept = pieces.by_rows(lambda a, b: (2 * a, b), x, y)
    torch.testing.assert_close(doubled, 2 * x, rtol=0, atol=0)
    assert torch.equal(kept, y)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(("s", "p", "q"), [(3, 2, 5), (40, 513, 1), (7, 600, 1030), (1, 512, 512)])
def test_a_product_is_added(threads, count, s, p, q):
    threads(count)
    a, b, start = torch.randn(s, p), torch.randn(s, q), torch.randn(p, q)
    total = start.clone()
    pieces.add_product(total, a, b, 0.5)
    expected = start.double() + 0.5 * a.double().T @ b.double()
    torch.testing.assert_close(total.double(), expected, rtol=1e-5, atol=1e-5)


def test_each_piece_has_one_thread_and_no_gradients(threads):
    threads(3)
    seen = []

    def look(x: torch.Tensor) -> torch.Tensor:
        seen.append((torch.get_num_threads(), torch.is_grad_enabled()))
        return pieces.by_rows(lambda y: y, x)  # a piece inside a piece waits for nobody

    pieces.by_rows(look, torch.zeros(2000, 1))
    assert len(seen) == 8 and set(seen) == {(1, False)}
    assert torch.get_num_threads() == 3


def test_what_fails_in_a_piece_is_raised(threads):
    threads(2)
    with pytest.raises(RuntimeError, match="shapes"):
        pieces.by_rows(lambda x: x @ torch.zeros(3, 3), torch.zeros(600, 2))
