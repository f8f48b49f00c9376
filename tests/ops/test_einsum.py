"""einsum and its relatives against NumPy, on random subscripts, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.errors import DlcError
from dlc.ir.graph import Graph
from dlc.ir.types import Type, dtype, f16
from dlc.lang.array.einsum import contraction_path

LABELS = "abcde"


def traced(function: Callable[..., Any], *arrays: np.ndarray) -> Graph:
    return dlc.trace(function, *(Type(dtype(a.dtype), a.shape) for a in arrays))


def agree(ours: Callable[..., Any], theirs: Callable[..., Any], *arrays: np.ndarray) -> None:
    found, want = dlc.evaluate(traced(ours, *arrays), *arrays), theirs(*arrays)
    assert np.shape(found) == np.shape(want)
    np.testing.assert_allclose(found, want, 1e-9, 1e-9)


def random_einsum(rng: np.random.Generator) -> tuple[str, list[np.ndarray]]:
    """Subscripts with repeated labels, ellipses of axes that broadcast, and operands."""
    sizes = {c: int(rng.integers(1, 4)) for c in LABELS}
    tail = [int(rng.integers(1, 4)) for _ in range(2)]
    words, arrays = [], []
    for _ in range(int(rng.integers(1, 5))):
        word = "".join(rng.choice(list(LABELS), int(rng.integers(0, 4))))
        shape = [sizes[c] for c in word]
        if rng.random() < 0.4:
            at, span = int(rng.integers(0, len(word) + 1)), int(rng.integers(0, 3))
            middle = [d if rng.random() < 0.7 else 1 for d in tail[2 - span:]]
            word, shape = f"{word[:at]}...{word[at:]}", shape[:at] + middle + shape[at:]
        words.append(word)
        arrays.append(rng.uniform(-1, 1, shape))
    text = ",".join(words)
    if rng.random() < 0.7:
        seen = [c for c in sorted({*text} - {*",."}) if rng.random() < 0.5]
        text += "->" + ("..." if "..." in text else "") + "".join(rng.permutation(seen))
    return text, arrays


@pytest.mark.parametrize("seed", range(60))
def test_einsum_is_numpys(seed: int) -> None:
    text, arrays = random_einsum(np.random.default_rng(seed))
    agree(lambda *a: dlc.einsum(text, *a), lambda *a: np.einsum(text, *a), *arrays)


def arrays(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.uniform(-1, 1, s) for s in shapes]


def test_lists_of_labels() -> None:
    agree(lambda x, y: dlc.einsum(x, [0, 1], y, [1, 2], [0, 2]), np.matmul, *arrays((4, 5), (5, 3)))
    agree(lambda x, y: dlc.einsum(x, [..., 1], y, [1, 2]),
          lambda x, y: np.einsum(x, [..., 1], y, [1, 2]), *arrays((2, 4, 5), (5, 3)))


def test_integers() -> None:
    x = np.arange(12, dtype=np.int32).reshape(3, 4)
    agree(lambda a, b: dlc.einsum("ij,kj->ik", a, b), lambda a, b: a @ b.T, x, x)


PRODUCTS: dict[str, tuple[Any, Any, tuple[tuple[int, ...], ...]]] = {
    "outer": (dlc.outer, np.outer, ((2, 3), (4,))),
    "inner": (dlc.inner, np.inner, ((2, 3, 4), (5, 4))),
    "dot": (dlc.dot, np.dot, ((2, 3, 4), (5, 4, 2))),
    "dot of vectors": (dlc.dot, np.dot, ((4,), (4,))),
    "vdot": (dlc.vdot, np.vdot, ((2, 6), (3, 4))),
    "tensordot": (dlc.tensordot, np.tensordot, ((2, 3, 4), (3, 4, 5))),
    "tensordot of pairs": (lambda x, y: dlc.tensordot(x, y, ((2, 0), (-1, 0))),
                           lambda x, y: np.tensordot(x, y, ((2, 0), (-1, 0))),
                           ((2, 3, 4), (2, 5, 4))),
    "tensordot over nothing": (lambda x, y: dlc.tensordot(x, y, 0),
                               lambda x, y: np.tensordot(x, y, 0), ((2, 3), (4,))),
    "kron": (dlc.kron, np.kron, ((2, 3), (4, 1, 2))),
    "cross": (dlc.cross, np.cross, ((5, 3), (3,))),
    "cross, first axis": (lambda x, y: dlc.cross(x, y, 0), lambda x, y: np.cross(x, y, axis=0),
                          ((3, 4), (3, 4))),
    "multi_dot": (lambda *a: dlc.multi_dot(a), lambda *a: np.linalg.multi_dot(a),
                  ((4, 5), (5, 2), (2, 7), (7, 3))),
    "multi_dot of vectors": (lambda *a: dlc.multi_dot(a), lambda *a: np.linalg.multi_dot(a),
                             ((5,), (5, 2), (2,))),
    "bilinear": (lambda *a: dlc.bilinear(*a),
                 lambda x, y, w, b: np.einsum("ni,oij,nj->no", x, w, y) + b,
                 ((4, 3), (4, 2), (5, 3, 2), (5,))),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_are_numpys(name: str) -> None:
    ours, theirs, shapes = PRODUCTS[name]
    agree(ours, theirs, *arrays(*shapes))


def test_fewest_products() -> None:
    """(a b) c costs 10 * 100 * 5 + 10 * 5 * 50, a (b c) ten times as much (Cormen et al.)."""
    sizes = {"i": 10, "j": 100, "k": 5, "l": 50}
    assert contraction_path(["ij", "jk", "kl"], {"i", "l"}, sizes)[0] == (0, 1)
    sizes = {"i": 50, "j": 5, "k": 100, "l": 10}
    assert contraction_path(["ij", "jk", "kl"], {"i", "l"}, sizes)[0] == (1, 2)


def test_many_operands_take_the_greedy_order() -> None:
    agree(lambda *a: dlc.multi_dot(a), lambda *a: np.linalg.multi_dot(a),
          *arrays(*((3, 3),) * 9))


def test_a_batched_sum_is_one_matmul_and_no_copy() -> None:
    graph = dlc.trace(lambda q, k: dlc.einsum("bqhd,bkhd->bhqk", q, k),
                      *(Type(dtype(np.float32), s) for s in ((2, 16, 4, 8), (2, 24, 4, 8))))
    compiled = dlc.compile(graph, name="scores")
    (launch,) = compiled.program.entries["main"].launches
    assert launch.name == "matmul"


def test_halves_add_up_in_f32() -> None:
    x = np.full(4096, 0.1, f16.numpy)
    y = dlc.evaluate(traced(lambda a: dlc.einsum("i,i->", a, a), x), x)
    assert abs(float(y) - 4096 * float(x[0]) ** 2) < 0.02


@pytest.mark.parametrize(("text", "says"), [
    ("ij,jk->ik", "label 'j' is 5 in operand 0.*and 4 in operand 1"),
    ("ii,jk", "label 'i' is 4 in operand 0"),
    ("ij,kj->iz", "label 'z' of the result stands in no operand"),
    ("ij,kj->ii", "label 'i' stands twice in the result"),
    ("ij,jk,kl", "3 terms for 2 operands"),
    ("i1,jk", "'1' is not a label"),
    ("ijk,jk", "the labels 'ijk' of operand 0 do not fit"),
    ("i...,jk->ik", "the result lacks the ellipsis"),
    ("i......,jk->ik", "do not fit"),
])
def test_refused(text: str, says: str) -> None:
    with pytest.raises(DlcError, match=says):
        traced(lambda x, y: dlc.einsum(text, x, y), *arrays((4, 5), (4, 5)))


@pytest.mark.parametrize(("call", "says"), [
    (lambda x: dlc.tensordot(x, x, ((0,), (1,))), "axis 0 of the first is 4, axis 1 of the secon"),
    (lambda x: dlc.tensordot(x, x, ((0, 1), (1,))), "2 axes of the first operand, 1 of the second"),
    (lambda x: dlc.tensordot(x, x, ((7,), (1,))), "axes"),
    (lambda x: dlc.tensordot(x, x, "all"), "axes='all'"),
    (lambda x: dlc.cross(x, x), "not of size 3"),
    (lambda x: dlc.multi_dot([x]), "at least two matrices"),
    (lambda x: dlc.bilinear(x, x, x), "the weight is"),
    (lambda x: dlc.einsum(x, "ij"), "neither text nor a list"),
])
def test_products_refused(call: Callable[..., Any], says: str) -> None:
    with pytest.raises(DlcError, match=says):
        traced(call, *arrays((4, 5)))
