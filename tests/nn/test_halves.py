"""f16 and bf16: what adds up squares, products or exponentials does so in f32 and rounds once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import bf16, f16, f32, i32, init, nn, optim
from dlc.errors import DlcError
from dlc.init import initial_values
from dlc.ir.graph import Graph, Node
from dlc.ir.types import DType, dtype

ROWS, COLUMNS = 6, 40
LABELS = np.arange(ROWS, dtype=np.int32) * 5 % COLUMNS

# name -> (function, its operands: x and t are activations of standard deviation 100, u and v of 1,
# p positive, q probabilities, s signs, c [2, 6, 5, 4])
CASES: dict[str, tuple[Callable[..., Any], str]] = {
    "variance": (lambda x: dlc.variance(x, 1), "x"), "std": (lambda x: dlc.std(x, 0), "x"),
    "mean": (lambda x: dlc.mean(x, 1), "x"), "nanmean": (lambda x: dlc.nanmean(x, 1), "x"),
    "norm": (lambda x: dlc.norm(x, 2, 1), "x"), "norm_3": (lambda x: dlc.norm(x, 3, 1), "x"),
    "vector_norm": (lambda x: dlc.linalg.norm(x, axis=1), "x"),
    "matrix_norm": (lambda x: dlc.linalg.norm(x, "fro"), "x"),
    "lp_pool": (lambda x: dlc.lp_pool(x, 2, (4,)), "x"),
    "logsumexp": (lambda u: dlc.logsumexp(u, 1), "u"), "softmax": (nn.softmax, "u"),
    "log_softmax": (nn.log_softmax, "u"), "dot": (lambda x, t: dlc.dot(x[0] * 0.25, t[0]), "xt"),
    "mse": (nn.mse, "xt"), "mae": (nn.mae, "xt"), "huber": (nn.huber, "xt"),
    "gaussian_nll": (nn.gaussian_nll, "xtp"), "poisson_nll": (nn.poisson_nll, "up"),
    "cross_entropy": (lambda x: nn.cross_entropy(x, LABELS), "x"),
    "smoothed": (lambda x: nn.cross_entropy(x, LABELS, smoothing=0.1, ignore=5), "x"),
    "soft": (lambda u, q: nn.cross_entropy(u, q), "uq"), "nll": (lambda x: nn.nll(x, LABELS), "x"),
    "binary": (nn.binary_cross_entropy, "qq"), "kl_div": (nn.kl_div, "uq"),
    "from_logits": (nn.binary_cross_entropy_with_logits, "uq"), "focal": (nn.focal, "uq"),
    "squared_hinge": (nn.squared_hinge, "xs"), "soft_margin": (nn.soft_margin, "us"),
    "multi_margin": (lambda x: nn.multi_margin(x, LABELS, p=2), "x"),
    "cosine_similarity": (nn.cosine_similarity, "xt"), "info_nce": (nn.info_nce, "xt"),
    "pairwise_distance": (nn.pairwise_distance, "xt"), "triplet": (nn.triplet_margin, "xtp"),
    "contrastive": (lambda u, v: nn.contrastive(u, v, np.ones(ROWS, np.int32)), "uv"),
}
LAYERS: dict[str, tuple[Callable[[], Any], str]] = {
    "layer_norm": (nn.layer_norm, "x"), "rms_norm": (nn.rms_norm, "x"),
    "batch_norm": (nn.batch_norm, "c"), "group_norm": (lambda: nn.group_norm(3), "c"),
    "instance_norm": (lambda: nn.instance_norm(affine=True), "c"),
    "local_response_norm": (lambda: nn.local_response_norm(3, alpha=1.0), "c"),
}


def operands(names: str, kind: DType) -> list[np.ndarray]:
    rng = np.random.default_rng(11)
    normal = {k: rng.normal(size=(ROWS, COLUMNS)) for k in "xtuv"}
    made = {"x": normal["x"] * 100, "t": normal["t"] * 100, "u": normal["u"], "v": normal["v"],
            "p": np.abs(normal["t"]) + 1, "q": rng.uniform(0.1, 0.9, (ROWS, COLUMNS)),
            "s": np.sign(normal["u"]), "c": rng.normal(size=(2, 6, 5, 4)) * 100}
    return [made[k].astype(kind.numpy) for k in names]


def derived(function: Callable[..., Any]) -> Callable[..., Any]:
    """The value, and the gradients by all arrays of its sum weighted with 1, 1.25, 1.5, 1.75."""
    def total(*xs: Node) -> Node:
        value = function(*xs).astype(f32)
        flat = dlc.reshape(value, (-1,))
        return (flat * (dlc.arange(flat.shape[0]) % 4 * 0.25 + 1.0)).sum()

    def both(*xs: Node) -> Any:
        grads = dlc.grad(total, wrt=tuple(range(len(xs))))(*xs)
        return {"value": function(*xs), **{f"d{i}": g for i, g in enumerate(grads)}}

    return both


def graph_of(function: Callable[..., Any], arrays: Sequence[np.ndarray]) -> Graph:
    return dlc.trace(derived(function), *(dtype(a.dtype)[a.shape] for a in arrays))


def units(got: Any, exact: Any, kind: DType) -> float:
    """The largest distance of `got` from f32 results, in units in the last place of `kind`."""
    precision, least = {"f16": (11, -14), "bf16": (8, -126)}[kind.name]
    wide = np.asarray(exact, np.float64)
    exponent = np.maximum(np.frexp(wide)[1], least + 1)
    return float(np.max(np.abs(np.asarray(got, np.float64) - wide) / 2.0 ** (exponent - precision)))


def check(name: str, function: Callable[..., Any], kind: DType, arrays: Sequence[np.ndarray],
          compiled: bool) -> None:
    """Value and gradients in `kind` are those in f32, rounded once: half a unit of `kind`, and the
    little by which kernels and evaluator differ in f32."""
    graph, wide = graph_of(function, arrays), [a.astype(np.float32) for a in arrays]
    exact = dlc.evaluate(graph_of(function, wide), *wide)
    got = dlc.evaluate(graph, *arrays)
    if compiled:
        with dlc.compile(graph).load(threads=1) as program:
            got = program(*arrays)
    for key in ("value", *(f"d{i}" for i in range(len(arrays)))):
        assert got[key].dtype == kind.numpy, (name, key)
        assert np.all(np.isfinite(got[key].astype(np.float32))), (name, key)
        assert units(got[key], exact[key], kind) <= 0.51, (name, key)


@pytest.mark.swept(2)
@pytest.mark.parametrize("kind", [f16, bf16], ids=str)
def test_functions_round_once(kind: DType) -> None:
    for name, (function, names) in CASES.items():
        check(name, function, kind, operands(names, kind), compiled=False)


@pytest.mark.sliced
@pytest.mark.swept(2)
@pytest.mark.parametrize("name", [
    n if n in ("std", "norm", "mse", "softmax") else pytest.param(n, marks=pytest.mark.conformance)
    for n in CASES])
def test_compiled_functions_round_once(name: str) -> None:
    function, names = CASES[name]
    for kind in (f16, bf16):
        check(name, function, kind, operands(names, kind), compiled=True)


@pytest.mark.parametrize("kind", [f16, bf16], ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_norms_round_once(name: str, kind: DType) -> None:
    """The layer and its gradient by x, of activations whose squares no f16 holds."""
    make, names = LAYERS[name]
    (x,) = operands(names, kind)
    layer = make()

    def run(x: np.ndarray) -> dict[str, Any]:
        graph = dlc.trace(derived(layer), dtype(x.dtype)[x.shape], training=True)
        first = initial_values(graph.notes["variables"], 0)
        return dlc.evaluate(graph, x, **first)

    got, exact = run(x), run(x.astype(np.float32))
    for key in ("value", "d0"):
        assert got[key].dtype == kind.numpy and np.abs(got[key].astype(np.float32)).max() > 1e-4
        assert units(got[key], exact[key], kind) <= 0.51, (name, key)


def test_moments_of_halves_are_f32() -> None:
    """1e-4 squared is not an f16: Adam's first step is the learning rate, whatever the gradient."""
    @dlc.task(optimizer=optim.adam(0.25, clip=optim.clip_by_norm(1e3)), batch=1)
    def slope(x: f32["batch"]) -> Any:
        w = dlc.parameter("w", f16[3], init.ones)
        return dlc.loss((w * 1e-4).astype(f32).sum() * x[0])

    graphs = slope.graphs()
    moments = [i.dtype for i in graphs["train"].inputs if "adam." in i.attrs["label"]]
    assert moments == [f32, f32]
    out = dlc.evaluate(graphs["train"], x=np.ones(1, np.float32), **slope.initial_values(graphs))
    assert out["w"].dtype == np.float16
    # eps beside a gradient of 1e-4 makes the step 1e-4 of it shorter, and f16 rounds
    np.testing.assert_allclose(out["w"].astype(np.float32), 0.75, atol=0.25e-4 + 2 ** -11)


def test_errors_name_what_was_given() -> None:
    with pytest.raises(DlcError, match=r"f16\[3\].*f16\[4\]"):
        dlc.trace(nn.mse, f16[3], f16[4])


def test_f16_with_f32_gives_f32() -> None:
    assert dlc.trace(nn.mse, f16[3], f32[3]).outputs[0].dtype is f32
    assert dlc.trace(dlc.std, f16[3]).outputs[0].dtype is f16
    assert dlc.trace(dlc.argmax, f16[3]).outputs[0].dtype is i32
