"""Which results of an ONNX model f32 determines: the standard's evaluator, rounding at random.

Two correct systems may differ where a model asks what rounding answers: whether two nearly equal
numbers are equal, the floor of a number that is nearly whole, a tangent at its pole. A looser
tolerance would hide faults there as elsewhere. Instead, where dlc and an oracle differ, a third
party evaluates the model several times: `onnx.reference`, each operator in f64, each inexact result
rounded to one of the floats of its dtype nearby at random. A sum of n terms may be added in any
order: its operands are moved by up to a unit in their last place, its result by up to n. Elements
that come out the same every time are determined, and dlc must give them. The others are not: they
must lie where the runs lie.

Source: Parker, Monte Carlo Arithmetic, 1997; Vignes, Discrete stochastic arithmetic, 2004; sums:
Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 4.2.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

RUNS = 12
# Two systems differ by so much in a transcendental function, in units in the last place.
ULPS = 2
# Operators whose result is a sum of products: rounding moves it by a share of its terms.
SUMS = {"AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "CumSum", "Einsum", "Gemm",
        "GlobalAveragePool", "InstanceNormalization", "LayerNormalization", "MatMul", "ReduceL2",
        "ReduceMean", "ReduceSum", "ReduceSumSquare", "Resize"}
# Operators whose result is a quotient by such a sum, of positive terms.
SHARES = {"LogSoftmax", "Softmax"}
# Other operators that round, in f64 too, where no wider dtype tells which results are exact.
ROUNDING = {"Add", "Atan", "Acos", "Asin", "Cos", "Div", "Erf", "Exp", "LeakyRelu", "Log", "Mul",
            "PRelu", "Pow", "Reciprocal", "ReduceProd", "Sigmoid", "Sin", "Softplus", "Sqrt", "Sub",
            "Tan", "Tanh"}
# How far outside of the runs a result may lie that they do not determine, in their spread.
BEYOND = 4.0


@dataclass(frozen=True)
class Rounding:
    """One evaluation: draws how each operator rounds."""

    rng: np.random.Generator

    def moved(self, x: Any) -> Any:
        """Floats in f64, each element moved by up to a unit in its last place."""
        if not is_float(x):
            return x
        unit = float(np.finfo(x.dtype).eps)
        return x.astype(np.float64) * (1 + self.rng.uniform(-unit, unit, x.shape))

    def rounded(self, y: np.ndarray, dtype: Any, ulps: int, grain: Any) -> np.ndarray:
        """f64 in `dtype`; an inexact element is one of the floats within `ulps` of `grain` of it.
        """
        near = y.astype(dtype)
        exact = near == (np.rint(y) if dtype == np.float64 else y)
        unit = np.spacing(np.abs(y).astype(grain)).astype(np.float64)
        step = unit * self.rng.uniform(-ulps, ulps, y.shape)
        return np.where(exact | ~np.isfinite(near), near, (y + step).astype(dtype))

    def cast(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Floats as integers; the standard leaves open what NaN and what is too large gives."""
        bounds = np.iinfo(y.dtype)
        wide = np.nan_to_num(np.trunc(x.astype(np.float64)), nan=np.inf, posinf=np.inf)
        open_ = ~((wide >= float(bounds.min)) & (wide < float(bounds.max)))
        drawn = self.rng.choice(np.array([bounds.min, 0, bounds.max], y.dtype), y.shape)
        return np.where(open_, drawn, y)


def is_float(x: Any) -> bool:
    """Whether an operand is an array of floats."""
    return isinstance(x, np.ndarray | np.generic) and x.dtype.kind == "f"


def evaluated(proto: onnx.ModelProto, given: dict[str, np.ndarray],
              rounding: Rounding) -> list[np.ndarray]:
    """The outputs of a model, each operator rounding as `rounding` draws."""
    values: dict[str, Any] = {"": None, **given}
    values |= {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    for node in ReferenceEvaluator(proto).rt_nodes_:
        operands = [values[name] for name in node.input]
        values.update(zip(node.output, applied(node, operands, rounding), strict=False))
    return [values[value.name] for value in proto.graph.output]


def applied(node: Any, operands: list[Any], rounding: Rounding) -> list[np.ndarray]:
    """The results of one operator of the reference evaluator."""
    if node.op_type == "Cast":  # it tells its dtype, and rounds floats to the nearest
        results = [np.asarray(y) for y in node.run(*operands)]
        to_integer = operands[0].dtype.kind == "f" and results[0].dtype.kind in "iu"
        return [rounding.cast(operands[0], results[0])] if to_integer else results
    moved = [rounding.moved(x) for x in operands] if node.op_type in SUMS else operands
    wide = [x.astype(np.float64) if is_float(x) else x for x in moved]
    results = [np.asarray(y) for y in node.run(*wide)]
    dtypes = [x.dtype for x in operands if is_float(x)][:1]
    if dtypes == [np.float64] and node.op_type not in SUMS | SHARES | ROUNDING:
        return results
    if not dtypes:
        return results
    # onnx.reference has the weights of Resize in f32
    grain = np.float32 if dtypes[0] == np.float64 and node.op_type == "Resize" else dtypes[0]
    return [rounding.rounded(y, dtypes[0], ULPS + terms(node, operands, y), grain)
            if y.dtype == np.float64 else y for y in results]


def terms(node: Any, operands: list[Any], result: np.ndarray) -> int:
    """How many terms each element of a sum has; 0 of an operator that does not sum."""
    x, name = operands[0], node.op_type
    if name not in SUMS | SHARES:
        return 0
    if name in SHARES:
        return int(x.shape[node.axis])
    if name in {"Conv", "ConvTranspose"}:
        return int(operands[1].size // operands[1].shape[0])
    if name == "Resize":
        return 16  # cubic, of two axes
    if name == "AveragePool":
        return math.prod(node.kernel_shape)
    if name in {"MatMul", "Gemm"}:
        return int(x.shape[0] if getattr(node, "transA", 0) else x.shape[-1])
    return int(x.size // max(1, result.size))


def several(proto: onnx.ModelProto, given: dict[str, np.ndarray],
            seed: int = 0) -> list[np.ndarray]:
    """Each output of RUNS evaluations: [RUNS, *shape]."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        runs = [evaluated(proto, given, Rounding(np.random.default_rng([seed, i])))
                for i in range(RUNS)]
    return [np.stack(outputs) for outputs in zip(*runs, strict=True)]


@dataclass(frozen=True)
class Verdict:
    """Of the elements of one output: which f32 determines, and which of a result's are right."""

    determined: np.ndarray
    right: np.ndarray


def judged(runs: np.ndarray, found: np.ndarray, relative: float, absolute: float) -> Verdict:
    """`found` beside several evaluations [RUNS, *shape].

    Determined are elements that all runs give alike within the tolerance; `found` must be as near
    to one of them. What is not determined must be of a kind (NaN, infinite) that some run gives,
    or lie within BEYOND times the spread around the finite ones.
    """
    determined = np.isclose(runs, runs[0], relative, absolute, equal_nan=True).all(0)
    near = np.isclose(found, runs, relative, absolute, equal_nan=True).any(0)
    finite = np.where(np.isfinite(runs), runs, np.nan).astype(np.float64)
    low, high = np.fmin.reduce(finite, axis=0), np.fmax.reduce(finite, axis=0)
    with np.errstate(all="ignore"):
        room = BEYOND * (high - low)
        within = (found >= low - room) & (found <= high + room)
    return Verdict(determined, near | (within & ~determined))
