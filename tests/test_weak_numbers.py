"""Python numbers and lists of them have no dtype: beside arrays they take theirs, with all digits.

Every public function of several arrays gets each of them in turn as a Python number or list, beside
others in f64, f16 and i64. It must give to the bit what it gives for that argument as an array of
the dtype that the promotion table says.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f16, f32, f64, i32, i64, linalg, nn, optim, random
from dlc.ir.registry import REGISTRY, operand_count
from dlc.ir.types import DType
from dlc.lang.nesting import leaves
from tests.instruction_sets import on_every_instruction_set

V, W, M, N = (3,), (4,), (2, 3), (3, 2)
Q = (3, 3)  # a square matrix
IDS = np.array([1, 1, 0])
AT = np.array([2, 0])

# name -> (call, shapes of its arrays); before a shape "i" means integers (labels, indices), "up"
# rising numbers, "array" an array always, for a list would be a nesting of arguments
CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    **{f"dlc.{name}": (getattr(dlc, name), (V, V)) for name in (
        "atan2", "betaln", "copysign", "divmod", "dot", "floor_divide", "fmod", "heaviside",
        "hypot", "inner", "isclose", "kron", "linear_recurrence", "logaddexp", "logaddexp2",
        "logical_and", "logical_or", "logical_xor", "maximum", "minimum", "nextafter", "outer",
        "power", "remainder", "vdot", "xlog1py", "xlogy", "cross", "full_like", "bitwise_and",
        "bitwise_or", "bitwise_xor", "gcd", "left_shift", "right_shift", "broadcast_arrays",
        "meshgrid")},
    "dlc.lerp": (dlc.lerp, (V, V, V)), "dlc.clip": (dlc.clip, (V, (), ())),
    "dlc.where": (lambda x, y: dlc.where(AT == 2, x, y), ((2,), (2,))),
    "dlc.matmul": (dlc.matmul, (M, N)), "dlc.bilinear": (dlc.bilinear, (V, (2,), (4, 3, 2), W)),
    "dlc.tensordot": (lambda a, b: dlc.tensordot(a, b, 1), (M, N)),
    "dlc.einsum": (lambda a, b, c: dlc.einsum("ij,jk,k->i", a, b, c), (M, N, (2,))),
    "dlc.multi_dot": (lambda *a: dlc.multi_dot(a), (M, N, M)),
    "dlc.concat": (lambda *a: dlc.concat(a), (V, W)),
    "dlc.stack": (lambda *a: dlc.stack(a), (V, V)),
    "dlc.diff": (lambda x, a, b: dlc.diff(x, prepend=a, append=b), (V, (1,), (2,))),
    "dlc.conv": (dlc.conv, ((1, 2, 5), (3, 2, 2))),
    "dlc.conv_transpose": (dlc.conv_transpose, ((1, 2, 4), (2, 3, 2))),
    "dlc.grid_sample": (dlc.grid_sample, ((1, 2, 4, 3), (1, 2, 2, 2))),
    "dlc.ldexp": (dlc.ldexp, (V, ("i", *V))),
    "dlc.dynamic_update_slice": (lambda x, v: dlc.dynamic_update_slice(x, v, (1,)), (W, (2,))),
    "dlc.scatter": (lambda x, v: dlc.scatter(x, AT, v, mode="add"), (V, (2,))),
    "dlc.put_along_axis": (lambda x, v: dlc.put_along_axis(x, AT, v, mode="add"), (V, (2,))),
    "dlc.bincount": (lambda x, w: dlc.bincount(x, 5, w), (("i", *V), V)),
    "dlc.take": (dlc.take, (W, ("i", 2))),
    "dlc.take_along_axis": (dlc.take_along_axis, (W, ("i", 2))),
    "dlc.max_unpool": (lambda x, at: dlc.max_unpool(x, at, 2), ((1, 1, 2), ("i", 1, 1, 2))),
    "dlc.searchsorted": (lambda e, x: dlc.searchsorted(dlc.sort(e), x), (W, V)),
    "dlc.searchsorted of edges": (lambda e, x: dlc.searchsorted(e, x), (("up", *W), V)),
    "dlc.quantile": (dlc.quantile, (W, (2,))),
    **{f"dlc.segment_{name}": (lambda x, at, f=name: getattr(dlc, f"segment_{f}")(x, at, 5),
                               (V, ("i", *V))) for name in ("sum", "prod", "mean", "max", "min")},
    "dlc.jvp": (lambda x, y: dlc.jvp(lambda x, y: x * y * 0.1, (x, y), (y, x)), ((), ())),
    "dlc.hvp": (lambda x, v: dlc.hvp(lambda x: x * x * x, x, v), ((), ())),
    "dlc.vjp": (lambda x, y: dlc.vjp(lambda x, y: x * y * 0.1, x, y)[1](1.0), ((), ())),
    "dlc.grad": (lambda x, y: dlc.grad(lambda x, y: x * x * y, wrt=(0, 1))(x, y), ((), ())),
    "dlc.vmap": (lambda x, y: dlc.vmap(lambda x, y: x * y, in_axes=(0, None))(x, y),
                 (("array", *V), ())),
    "dlc.checkpoint": (lambda x, y: dlc.checkpoint(lambda x, y: x * y)(x, y), ((), ())),
    "dlc.custom_gradient": (lambda x, y: dlc.custom_gradient(
        lambda x, y: (x * y, lambda g: (g * y, g * x)))(x, y), ((), ())),
    "nn.cosine_similarity": (nn.cosine_similarity, (V, V)),
    "nn.pairwise_distance": (nn.pairwise_distance, (V, V)),
    **{f"nn.{name}": (getattr(nn, name), (V, V)) for name in (
        "hinge", "hinge_embedding", "huber", "kl_div", "mae", "mse", "poisson_nll", "smooth_l1",
        "soft_margin", "squared_hinge", "focal", "binary_accuracy", "auc", "mape", "msle",
        "log_cosh", "quantile")},
    "nn.dice": (nn.dice, (M, M)), "nn.inception_score": (nn.inception_score, (M,)),
    "nn.binary_cross_entropy": (nn.binary_cross_entropy, (V, V, V)),
    "nn.binary_cross_entropy_with_logits": (
        nn.binary_cross_entropy_with_logits, (V, V, V, V)),
    "nn.gaussian_nll": (nn.gaussian_nll, (V, V, V)),
    "nn.cross_entropy": (lambda x, y, w: nn.cross_entropy(x, y, 0.1, w), (M, ("i", 2), V)),
    "nn.cross_entropy of distributions": (nn.cross_entropy, (M, M)),
    "nn.nll": (nn.nll, (M, ("i", 2), V)),
    "nn.multi_margin": (lambda x, y, w: nn.multi_margin(x, y, weight=w), (M, ("i", 2), V)),
    "nn.multilabel_margin": (nn.multilabel_margin, (M, ("i", 2, 3))),
    "nn.multilabel_soft_margin": (nn.multilabel_soft_margin, (M, M, V)),
    "nn.ctc_loss": (nn.ctc_loss, ((1, 4, 4), ("i", 1, 2))),
    "nn.margin_ranking": (nn.margin_ranking, (V, V, V)),
    "nn.cosine_embedding": (nn.cosine_embedding, (M, M, ("i", 2))),
    "nn.contrastive": (nn.contrastive, (M, M, (2,))), "nn.info_nce": (nn.info_nce, (M, M)),
    "nn.triplet_margin": (nn.triplet_margin, (M, M, M)),
    "nn.scaled_dot_product_attention": (nn.scaled_dot_product_attention, (M, M, M, (2, 2))),
    **{f"nn.{name}": (getattr(nn, name), (M, ("i", 2))) for name in (
        "accuracy", "confusion_matrix", "f1", "precision", "recall")},
    "nn.top_k_accuracy": (lambda x, y: nn.top_k_accuracy(x, y, 2), (M, ("i", 2))),
    "linalg.solve": (linalg.solve, (Q, V)), "linalg.lstsq": (linalg.lstsq, ((4, 2), W)),
    "linalg.solve_triangular": (linalg.solve_triangular, (Q, V)),
    "linalg.cholesky_solve": (linalg.cholesky_solve, (Q, V)),
    "linalg.cross": (linalg.cross, (V, V)), "linalg.outer": (linalg.outer, (V, V)),
    "linalg.multi_dot": (lambda *a: linalg.multi_dot(a), (M, N)),
    "linalg.pinv": (linalg.pinv, (Q, ())),
    **{f"random.{name}": (lambda a, b, f=name: getattr(random, f)(None, a, b, name="n", dtype=f64),
                          (V, V)) for name in (
        "beta", "cauchy", "gamma", "gumbel", "laplace", "logistic", "lognormal", "normal")},
    "random.uniform": (lambda a, b: random.uniform(None, a, b, name="n", dtype=f64), (V, ())),
    "random.truncated_normal": (lambda a, b: random.truncated_normal(
        (3,), -1.0, 1.0, a, b, name="n", dtype=f64), (V, V)),
}

# they differentiate by all of these, and an int among a function's arguments may be an index
TRANSFORMS = {f"dlc.{name}" for name in (
    "jvp", "hvp", "vjp", "grad", "vmap", "checkpoint", "custom_gradient")}

# functions whose other parameters of any type are not arrays: sizes, structures, functions
OTHERS = {
    "dlc": {"adaptive_avg_pool", "adaptive_max_pool", "adaptive_max_pool_with_indices", "avg_pool",
            "bitcast", "cast", "cond", "custom_op", "dynamic_slice", "evaluate", "fori", "loss",
            "lp_pool", "map", "max_pool", "max_pool_with_indices", "one_hot", "outputs", "over_set",
            "reshape", "resize", "scan", "task", "trace", "transpose", "while_loop"},
    "nn": {"chain", "parallel", "reshape", "residual", "rotary"},
    "linalg": set(), "random": set(),
}


def several_arrays(module: str) -> Iterator[str]:
    """The public functions of `module` with more than one parameter of any type."""
    home = {"dlc": dlc, "nn": nn, "linalg": linalg, "random": random}[module]
    for name in home.__all__:
        function = getattr(home, name)
        if inspect.isclass(function) or not inspect.isfunction(function):
            continue
        found = inspect.signature(function).parameters.values()
        many = [p for p in found if p.kind is p.VAR_POSITIONAL or "Sequence[Any]" in p.annotation]
        if (many and one_operand(function)) or name in OTHERS[module]:
            continue
        if many or sum("Any" in str(p.annotation) for p in found) > 1:
            yield f"{module}.{name}"


def one_operand(function: Any) -> bool:
    op = REGISTRY.get(function.__name__)
    return op is not None and operand_count(op) == 1


@pytest.mark.parametrize("module", OTHERS)
def test_every_function_of_several_arrays_is_here(module: str) -> None:
    assert set(several_arrays(module)) <= set(CASES)


def drawn(shape: tuple[Any, ...], kind: DType, rng: np.random.Generator) -> np.ndarray:
    """An array whose numbers f32 does not hold, in (0, 1); integers 1 .. 4."""
    if shape[:1] == ("i",):
        return rng.integers(0, 3, shape[1:]).astype(np.int32)
    rising, shape = shape[:1] == ("up",), tuple(d for d in shape if isinstance(d, int))
    if kind is i64:
        found = rng.integers(1, 5, shape).astype(np.int64)
    elif shape == Q:
        found = (rng.uniform(0.1, 0.9, shape) + 3 * np.eye(3)).astype(kind.numpy)
    else:
        found = rng.uniform(0.1, 0.9, shape).astype(kind.numpy)
    return np.sort(found) if rising else found


def outcome(call: Callable[..., Any], arrays: list[np.ndarray], place: int, given: Any) -> Any:
    """What `call` gives with `given` at `place`: dtypes and bytes, or the word of the refusal."""
    def function(*others: Any) -> Any:
        return leaves(call(*others[:place], given, *others[place:]))

    strong = [a for i, a in enumerate(arrays) if i != place]
    types = [dlc.Type(dlc.ir.types.dtype(a.dtype), a.shape) for a in strong]
    try:
        graph = dlc.trace(function, *types)
    except DlcError:
        return "refused"
    found = dlc.evaluate(graph, *strong, **{n.attrs["label"]: 0 for n in graph.inputs[len(types):]})
    return [(v.dtype, np.asarray(v).tobytes()) for v in (
        found.values() if isinstance(found, dict) else [found])]


@pytest.mark.swept(3)
@pytest.mark.parametrize("name", CASES)
def test_weak_as_the_table_says(name: str, rng: np.random.Generator) -> None:
    call, shapes = CASES[name]
    answered = 0
    for kind in (f64, f16) if name in TRANSFORMS else (f64, f16, i64):
        arrays = [drawn(shape, kind, rng) for shape in shapes]
        peers = sum(shape[:1] != ("i",) for shape in shapes)
        # a draw has a dtype of its own beside its parameters
        beside = f64 if name.startswith("random") else kind if peers > 1 else None
        for place, array in enumerate(arrays):
            if shapes[place][:1] == ("array",):
                continue
            whole = shapes[place][:1] == ("i",)
            for weak, dtype in weak_forms(array, beside, whole):
                wanted = outcome(call, arrays, place, np.asarray(weak, dtype.numpy))
                found = outcome(call, arrays, place, weak)
                assert found == wanted, (kind, place, dtype)
                answered += found != "refused"
    assert answered


def weak_forms(array: np.ndarray, kind: DType | None, whole: bool) -> Iterator[tuple[Any, DType]]:
    """(a Python number or list, the dtype that it has beside arrays of `kind`, if there are any)"""
    listed = array.tolist()
    if whole or array.dtype.kind == "i":
        own = i32 if whole or kind is None else kind
        yield listed, own
        yield (array * 0.1).tolist(), own if own.is_float else f32
    else:
        own = kind or f32
        yield listed, own
    if array.ndim:
        yield array.flat[0].item(), own


# --- what is not a function of several arrays -----------------------------------------------------

X = np.array([0.5, 0.25])

LANGUAGE: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "scan": (lambda x: dlc.scan(lambda c, v: (c + v, c), 0.1, x)[0], 0.1 + 0.5 + 0.25),
    "fori": (lambda x: dlc.fori(2, lambda i, c: c + x[0], 0.1), 0.1 + 0.5 + 0.5),
    "while_loop": (lambda x: dlc.while_loop(lambda c: c < 0.7, lambda c: c + x[0], 0.1, bound=9)[0],
                   0.1 + 0.5 + 0.5),
    "cond": (lambda x: dlc.cond(x[0] > 0, lambda: 0.1, lambda: x[0]), 0.1),
    "operand of cond": (lambda x: dlc.cond(x[0] > 0, lambda a, b: a * b, lambda a, b: b, 0.1, x[0]),
                        0.1 * 0.5),
    "pad": (lambda x: dlc.pad(x, 1, value=0.1), [0.1, 0.5, 0.25, 0.1]),
    "at": (lambda x: x.at[[0]].set([0.1]), [0.1, 0.25]),
    "operator": (lambda x: [0.1, 0.2] @ (x * [0.1, 0.3]), 0.1 * (0.5 * 0.1) + 0.2 * (0.25 * 0.3)),
    "numpy": (lambda x: np.add(x, [0.1, 0.2]), [0.1 + 0.5, 0.2 + 0.25]),
    "full": (lambda x: x + dlc.full(2, 0.1, f64), [0.1 + 0.5, 0.1 + 0.25]),
    "linspace": (lambda x: x * dlc.linspace(0.1, 0.3, 2, dtype=f64), [0.5 * 0.1, 0.25 * 0.3]),
    "softplus": (lambda x: nn.softplus(x - x, 0.1), [np.log(2) * 10] * 2),
}


def test_elsewhere_in_the_language_on_every_instruction_set() -> None:
    """Carries, branches, widths and operators: within the rounding of a product and a sum of f64.
    """
    graph = dlc.trace(lambda x: [call(x) for call, _ in LANGUAGE.values()], f64[2])
    for where, found in on_every_instruction_set(graph, X):
        for name, got in zip(LANGUAGE, found.values(), strict=True):
            assert got.dtype == np.float64, (where, name)
            np.testing.assert_allclose(got, LANGUAGE[name][1], rtol=8 * 2.0**-53,
                                       err_msg=f"{where} {name}")


@pytest.mark.parametrize("rate", [0.1, optim.piecewise({0: 0.1}), optim.step_decay(0.1, 0.3, 5),
                                  lambda step: step * 0.3 + 0.1],
                         ids=["constant", "piecewise", "step_decay", "function"])
def test_learning_rates_of_f64_parameters(rate: Any) -> None:
    """One step of gradient descent is right to the last place but one; it was to seven digits."""
    def model(x: f64["batch", 2]) -> dlc.Loss:
        return dlc.loss((x * dlc.parameter("w", f64[2], dlc.init.constant(0.1))).sum())

    clip = [optim.clip_by_norm(1e3), optim.clip_by_value(1e3)]
    task = dlc.task(optimizer=optim.sgd(rate, clip=clip), batch=1)(model)
    graphs = task.graphs()
    x = np.array([[0.3, 0.7]])
    values = {v.name: np.zeros(v.type.shape, v.type.dtype.numpy) for v in task.variables(graphs)}
    out = dlc.evaluate(graphs["train"], x=x, **{**values, "w": np.full(2, 0.1)})
    np.testing.assert_allclose(out["w"], 0.1 - 0.1 * x[0], rtol=16 * 2.0**-53)
    assert out["lr"].dtype == np.float32


def test_lists_of_integers_that_the_dtype_does_not_hold() -> None:
    for kind, given in ((i32, [2**40, 1]), (dlc.u8, [-1, 1]), (dlc.u8, [256, 1])):
        with pytest.raises(DlcError, match=f"outside {kind}"):
            dlc.trace(lambda x, given=given: x + given, kind[2])
    graph = dlc.trace(lambda x: dlc.maximum(x, [2**40, 1]), i64[2])
    np.testing.assert_array_equal(dlc.evaluate(graph, np.array([1, 1])), [2**40, 1])


def test_a_number_before_integers_keeps_its_fraction() -> None:
    """diff cut what stands before x to x's dtype: 0.5 became 0."""
    graph = dlc.trace(lambda x: dlc.diff(x, prepend=0.5), i32[2])
    np.testing.assert_array_equal(dlc.evaluate(graph, np.array([1, 3], np.int32)), [0.5, 2.0])
