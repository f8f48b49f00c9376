"""Layers around products: dense, bilinear, maxout, prelu."""

from __future__ import annotations

from dlc import init
from dlc.errors import here
from dlc.ir.graph import Node
from dlc.ir.types import Type
from dlc.lang.array import products
from dlc.lang.layer import Layer
from dlc.lang.scope import Initializer, parameter
from dlc.nn import checks
from dlc.nn.convolution import like_weight
from dlc.ops import contract, elementwise, reduce, view


def dense(units: int, *, bias: bool = True, weight_init: Initializer | None = None,
          bias_init: Initializer | None = None, name: str = "") -> Layer:
    """x [..., n] -> x @ weight + bias [..., units]; weight [n, units], bias [units].

    First values are uniform within 1/sqrt(n), as in PyTorch's Linear.
    """
    checks.at_least("dense", 1, units=units)
    checks.truth("dense", bias=bias)

    def apply(x: Node) -> Node:
        checks.rank(x, 1, "[..., features]")
        checks.floating(x)
        inputs = int(x.shape[-1])
        weight = parameter("weight", Type(x.dtype, (inputs, units)), weight_init)
        y = contract.matmul(x, weight)
        if not bias:
            return y
        return y + parameter("bias", Type(x.dtype, (units,)), bias_init or like_weight(inputs))

    return Layer("dense", apply, f"dense({units})", name, here())


def bilinear(units: int, *, bias: bool = True, weight_init: Initializer | None = None,
             bias_init: Initializer | None = None, name: str = "") -> Layer:
    """layer(a [..., I], b [..., J]) -> a W b + bias [..., units]; weight [units, I, J].

    First values are uniform within 1/sqrt(I), as in PyTorch's Bilinear.
    """
    checks.at_least("bilinear", 1, units=units)

    def apply(a: Node, b: Node) -> Node:
        checks.floating(a)
        inputs = int(a.shape[-1])
        start = like_weight(inputs)
        weight = parameter("weight", Type(a.dtype, (units, inputs, int(b.shape[-1]))),
                           weight_init or start)
        y = products.bilinear(a, b, weight)
        return y + parameter("bias", Type(a.dtype, (units,)), bias_init or start) if bias else y

    return Layer("bilinear", apply, f"bilinear({units})", name, here())


def maxout(units: int, pieces: int = 2, weight_init: Initializer | None = None,
           bias_init: Initializer | None = None, name: str = "") -> Layer:
    """The largest of `pieces` dense layers: x [..., n] -> [..., units] (Goodfellow et al. 2013).

    weight [n, units * pieces], bias [units * pieces]; the pieces of a unit are adjacent.
    """
    checks.at_least("maxout", 1, units=units, pieces=pieces)

    def apply(x: Node) -> Node:
        checks.rank(x, 1, "[..., features]")
        checks.floating(x)
        inputs = int(x.shape[-1])
        weight = parameter("weight", Type(x.dtype, (inputs, units * pieces)), weight_init)
        bias = parameter("bias", Type(x.dtype, (units * pieces,)),
                         bias_init or like_weight(inputs))
        y = contract.matmul(x, weight) + bias
        return reduce.max_(view.reshape(y, (*x.shape[:-1], units, pieces)), -1)

    return Layer("maxout", apply, f"maxout({units}, {pieces})", name, here())


def prelu(*, axis: int | None = 1, slope: float = 0.25, name: str = "") -> Layer:
    """x where it is positive, weight * x elsewhere (He et al. 2015, eq. 1).

    weight [size of `axis`] is initialized to `slope`; axis=None has a single slope, weight [].
    """
    checks.number("prelu", slope=slope)

    def apply(x: Node) -> Node:
        checks.floating(x)
        at = None if axis is None else reduce.axis_of(x, axis, "prelu")
        shape = () if at is None else (int(x.shape[at]),)
        weight = parameter("weight", Type(x.dtype, shape), init.constant(slope))
        if at is not None:
            weight = view.reshape(weight, (*shape, *(1,) * (x.ndim - at - 1)))
        return elementwise.where(x > 0, x, weight * x)

    return Layer("prelu", apply, "prelu()", name, here())
