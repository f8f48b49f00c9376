"""Initializers: first values of parameters and state, written in the DSL's random operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dlc.errors import DlcError, here
from dlc.ir.graph import Build, Graph, Node, building
from dlc.ir.types import DType, Type, i32, u32
from dlc.lang.scope import Initializer, Variable
from dlc.ops import leaf
from dlc.ops.convert import as_node, cast
from dlc.ops.elementwise import where
from dlc.ops.view import reshape
from dlc.random.sites import normal_at, site_id, truncated_normal_at, uniform_at
from dlc.words import speaking

__all__ = ["Key", "constant", "fan_in_uniform", "glorot_normal", "glorot_uniform", "he_normal",
           "he_uniform", "identity", "kaiming_normal", "kaiming_uniform", "lecun_normal",
           "lecun_uniform", "normal", "ones", "orthogonal", "sparse", "truncated_normal", "uniform",
           "variance_scaling", "xavier_normal", "xavier_uniform", "zeros"]


@dataclass(frozen=True)
class Key:
    """The randomness of an initial value: it depends on the run's seed and the variable's name."""

    seed: Node
    name: str

    def uniform(self, shape: Sequence[int]) -> Node:
        """f32 of `shape`, uniform in [0, 1)."""
        return uniform_at(self.seed, _before_step(), shape, site_id("init", self.name))

    def normal(self, shape: Sequence[int]) -> Node:
        """f32 of `shape`, standard normal."""
        return normal_at(self.seed, _before_step(), shape, site_id("init", self.name))

    def truncated_normal(self, shape: Sequence[int], low: float, high: float) -> Node:
        """f32 of `shape`, standard normal within (low, high)."""
        site = site_id("init", self.name)
        return truncated_normal_at(self.seed, _before_step(), shape, site, low, high)


def _before_step() -> Node:
    # step -1 belongs to no training step, so first values share no bits with any noise
    return leaf.constant(-1, Type(i32))


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """(fan in, fan out) of a weight: [in, out] for dense, [out, in, window...] for convolution.

    Raises DlcError for a shape of fewer than two axes.
    """
    if len(shape) < 2:
        raise DlcError(f"a weight of shape {tuple(map(int, shape))} has no fan in and fan out",
                       here(), "use init.uniform, init.normal or init.constant for vectors")
    if len(shape) == 2:
        return int(shape[0]), int(shape[1])
    window = math.prod(int(d) for d in shape[2:])
    return int(shape[1]) * window, int(shape[0]) * window


def constant(value: float) -> Initializer:
    """Every element is `value`."""
    def init(key: Key, shape: Sequence[int], dtype: DType) -> Node:
        return leaf.constant(value, Type(dtype, tuple(shape)))

    init.__doc__ = f"Every element is {value}."
    return init


zeros = constant(0)
ones = constant(1)


def uniform(low: float, high: float) -> Initializer:
    """Uniform in [low, high)."""
    def init(key: Key, shape: Sequence[int], dtype: DType) -> Node:
        return cast(key.uniform(shape) * (high - low) + low, dtype)

    return init


def normal(std: float = 1.0, mean: float = 0.0) -> Initializer:
    """Normal with the given mean and standard deviation."""
    def init(key: Key, shape: Sequence[int], dtype: DType) -> Node:
        return cast(key.normal(shape) * std + mean, dtype)

    return init


def truncated_normal(std: float = 1.0, mean: float = 0.0, low: float = -2.0,
                     high: float = 2.0) -> Initializer:
    """mean + std z, z standard normal within low .. high; the result's deviation is below `std`.

    Raises DlcError for an interval that is empty or beyond 8 deviations.
    """
    if not all(isinstance(end, (int, float)) for end in (low, high)) or (
            not low < high or low > 8 or high < -8):
        raise DlcError(f"truncated_normal: from {low} to {high}", here(),
                       "low below high, and within 8 standard deviations")

    def init(key: Key, shape: Sequence[int], dtype: DType) -> Node:
        return cast(key.truncated_normal(shape, low, high) * std + mean, dtype)

    return init


# the standard deviation of a standard normal number within two of them
TRUNCATED_STD = 0.8796256610342398
DRAWS: dict[str, Callable[[float], Initializer]] = {
    "uniform": lambda std: uniform(-math.sqrt(3) * std, math.sqrt(3) * std),
    "normal": normal,
    "truncated_normal": lambda std: truncated_normal(std / TRUNCATED_STD),
}
FANS: dict[str, Callable[[int, int], float]] = {
    "fan_in": lambda i, o: i, "fan_out": lambda i, o: o, "fan_avg": lambda i, o: (i + o) / 2,
    "fan_geo_avg": lambda i, o: math.sqrt(i * o),
}


def variance_scaling(scale: float = 1.0, mode: str = "fan_in",
                     distribution: str = "truncated_normal") -> Initializer:
    """Mean 0 and variance scale / fan; He: scale 2, LeCun: 1, Glorot: 1 with "fan_avg".

    mode is fan_in, fan_out, fan_avg or fan_geo_avg; distribution uniform, normal or
    truncated_normal (within two deviations). Raises DlcError for other words.
    """
    for what, word, known in (("mode", mode, FANS), ("distribution", distribution, DRAWS)):
        if not isinstance(word, str) or word not in known:
            raise DlcError(f"variance_scaling: {what} {word!r}", here(), ", ".join(known))
    if not isinstance(scale, (int, float)) or not scale > 0:
        raise DlcError(f"variance_scaling: scale {scale!r}", here(), "a positive number")

    def init(key: Key, shape: Sequence[int], dtype: DType) -> Node:
        fan = max(FANS[mode](*fans(shape)), 1.0)
        return DRAWS[distribution](math.sqrt(scale / fan))(key, shape, dtype)

    return init


def orthogonal(gain: float = 1.0) -> Initializer:
    """gain times a random matrix with orthonormal rows or columns, whichever are fewer.

    The Q of a normal matrix's QR with the diagonal of R made positive, which makes it uniform:
    Saxe et al. 2013; Mezzadri 2007. Kernels of convolution [out, in, ...] are taken as [out, rest].
    """
    def init(key: Key, shape: Sequence[int], dtype: DType) -> Node:
        from dlc.lang.array.diagonals import diagonal
        from dlc.linalg import qr

        fans(shape)
        rows, columns = int(shape[0]), math.prod(int(d) for d in shape[1:])
        tall = max(rows, columns), min(rows, columns)
        q, r = qr(key.normal(tall))
        q = q * where(diagonal(r) < 0, -1.0, 1.0)
        return cast(reshape(q if rows >= columns else q.T, tuple(shape)) * gain, dtype)

    return init


def sparse(connections: int = 15, std: float = 1.0) -> Initializer:
    """Normal of deviation `std` at `connections` inputs of each unit, drawn at random, 0 elsewhere:
    a unit's first sum does not grow with its inputs (Martens 2010, section 5).

    Units are columns of [in, out], the first axis of kernels [out, in, ...]; those of fewer inputs
    have them all. Raises DlcError for a number of connections below 1.
    """
    if isinstance(connections, bool) or not isinstance(connections, int) or connections < 1:
        raise DlcError(f"sparse: connections={connections!r}", here(), "a whole number from 1")
    _finite("sparse", std=std)

    def init(key: Key, shape: Sequence[int], dtype: DType) -> Node:
        from dlc.ops.argsort import argsort

        fans(shape)
        units = int(shape[1]) if len(shape) == 2 else int(shape[0])
        inputs = math.prod(int(d) for d in shape) // max(units, 1)
        # another stream than the values': which are chosen says nothing of how large they are
        order = argsort(Key(key.seed, f"{key.name}/chosen").uniform((units, inputs)), -1)
        chosen = argsort(order, -1) < connections
        values = where(chosen, key.normal((units, inputs)) * std, 0.0)
        return cast(reshape(values.T if len(shape) == 2 else values, tuple(shape)), dtype)

    return init


def identity(gain: float = 1.0) -> Initializer:
    """gain on the diagonal, 0 elsewhere: [n, m], or kernels [out, in, ...], whose middle is it.

    A layer of square weights, or a convolution padded "same", begins as gain times its input (Le et
    al. 2015 for recurrent weights; torch's eye_ and dirac_).
    """
    _finite("identity", gain=gain)

    def init(key: Key, shape: Sequence[int], dtype: DType) -> Node:
        import numpy as np

        fans(shape)
        rows, columns, *window = map(int, shape)
        value = np.zeros((rows, columns, math.prod(window)))
        middle = int(np.ravel_multi_index([d // 2 for d in window], window)) if window else 0
        value[:, :, middle] = gain * np.eye(rows, columns)
        return cast(as_node(value.reshape(tuple(map(int, shape)))), dtype)

    return init


def _finite(what: str, **values: float) -> None:
    for name, value in values.items():
        told = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not told or not math.isfinite(value):
            raise DlcError(f"{what}: {name}={value!r}", here(), "a finite number")


def _scaled(bound: Callable[[int, int], float], draw: Callable[[float], Initializer],
            doc: str) -> Initializer:
    def init(key: Key, shape: Sequence[int], dtype: DType) -> Node:
        return draw(bound(*fans(shape)))(key, shape, dtype)

    init.__doc__ = doc
    return init


def _around_zero(bound: float) -> Initializer:
    return uniform(-bound, bound)


glorot_uniform = _scaled(lambda i, o: math.sqrt(6 / (i + o)), _around_zero,
                         "Uniform of variance 2 / (in + out): Glorot and Bengio 2010, eq. 16.")
glorot_normal = _scaled(lambda i, o: math.sqrt(2 / (i + o)), normal,
                        "Normal of variance 2 / (in + out): Glorot and Bengio 2010.")
he_uniform = _scaled(lambda i, o: math.sqrt(6 / i), _around_zero,
                     "Uniform of variance 2 / in, for ReLU: He et al. 2015, eq. 10.")
he_normal = _scaled(lambda i, o: math.sqrt(2 / i), normal,
                    "Normal of variance 2 / in, for ReLU: He et al. 2015, eq. 10.")
lecun_uniform = _scaled(lambda i, o: math.sqrt(3 / i), _around_zero,
                        "Uniform of variance 1 / in: LeCun et al. 1998, Efficient BackProp, 4.6.")
lecun_normal = _scaled(lambda i, o: math.sqrt(1 / i), normal,
                       "Normal of variance 1 / in: LeCun et al. 1998, Efficient BackProp, 4.6.")
fan_in_uniform = _scaled(lambda i, o: 1 / math.sqrt(i), _around_zero,
                         "Uniform within 1 / sqrt(in), the default of PyTorch's layers.")
xavier_uniform, xavier_normal = glorot_uniform, glorot_normal
kaiming_uniform, kaiming_normal = he_uniform, he_normal


# --- first values of a whole task -----------------------------------------------------------------


def first_value(variable: Variable, seed: Node) -> Node:
    """The initial value of `variable`; errors are reported at the variable's line."""
    type_ = variable.type
    try:
        return variable.init(Key(seed, variable.name), tuple(type_.shape), type_.dtype)
    except DlcError as problem:
        raise DlcError(f"the initializer of {variable.name}: {problem.message}", variable.loc,
                       problem.hint) from None


def init_graph(variables: Sequence[Variable], name: str = "init") -> Graph:
    """seed u32[()] -> the first value of every variable, by checkpoint key."""
    seed = leaf.input_("seed", Type(u32))
    outputs = {}
    with building(Build()):
        for v in variables:
            value = first_value(v, seed)
            if (value.dtype, tuple(value.shape)) != (v.type.dtype, tuple(v.type.shape)):
                raise DlcError(f"the initializer of {v.name} gives {value.type}, not {v.type}",
                               v.loc, "it is called with (key, shape, dtype) and must keep both")
            outputs[v.name] = value
    return Graph(name, (seed,), tuple(outputs.values()), tuple(outputs))


def initial_values(variables: Sequence[Variable], seed: int) -> dict[str, Any]:
    """The first value of every variable as an array, by checkpoint key."""
    from dlc.reference.evaluate import run

    if isinstance(seed, bool) or not hasattr(seed, "__index__") or not 0 <= seed < 2**32:
        raise DlcError(f"seed {seed!r} is out of range", None, "a seed is 0 .. 4294967295")
    graph = init_graph(variables)
    import numpy as np

    values = run(graph, [np.asarray(seed, np.uint32)])
    return dict(zip(graph.output_names, values, strict=True))


speaking("init", globals(), __all__)
