"""Elementwise operators: one scalar expression per element, all operands of one shape."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from dlc.errors import DlcError, here
from dlc.ir.graph import Kind, Node, Op, OpError, make
from dlc.ir.registry import operand_count, register
from dlc.ir.rounding import CORRECT, EXACT, FUNCTIONS, ONCE, Rounding
from dlc.ir.types import Type, bool_, f32
from dlc.ops.cast_reference import convert_array
from dlc.ops.convert import as_node, as_nodes, cast, named_shape, operands
from dlc.ops.jumps import over_powers, over_turns, over_zero
from dlc.ops.samples import binary, integers, predicates, ternary, unary


def same_type(*types: Type) -> Type:
    """All operands have one type, which is the result's."""
    first = types[0]
    for other in types[1:]:
        if (other.dtype, tuple(other.shape)) != (first.dtype, tuple(first.shape)):
            raise OpError(f"operands differ: {first.describe()} and {other.describe()}")
    return first.with_(shape=named_shape([t.shape for t in types]), layout=None)


def float_type(*types: Type) -> Type:
    """Like same_type, for floats only."""
    if not types[0].dtype.is_float:
        raise OpError(f"needs floats, not {types[0].dtype}", "cast first, e.g. x.cast(f32)")
    return same_type(*types)


def numeric_type(*types: Type) -> Type:
    """Like same_type, for anything but bool."""
    if types[0].dtype is bool_:
        raise OpError("bool has no arithmetic", "cast first, e.g. x.cast(i32)")
    return same_type(*types)


def integer_type(*types: Type) -> Type:
    """Like same_type, for integers and bool."""
    if types[0].dtype.is_float:
        raise OpError(f"needs integers or bool, not {types[0].dtype}")
    return same_type(*types)


def shift_type(*types: Type) -> Type:
    """Like same_type, for integers: a bool has no bits to move."""
    if types[0].dtype is bool_:
        raise OpError("bool has no bits to shift", "cast first, e.g. x.cast(i32)")
    return integer_type(*types)


def compare_type(*types: Type) -> Type:
    return same_type(*types).with_(dtype=bool_)


def _op(name: str, doc: str, eval_: Callable[..., Any], infer: Callable[..., Type],
        samples: Callable[[], Iterable[Any]], grad: Callable[..., Any] | None = None,
        gradient: str = "", precision: str = "follow", **more: Any) -> Op:
    """A record whose kernel form is a call of the same name."""
    emit = more.pop("emit", None) or (lambda k, *xs: k.call(name, *xs))
    return register(Op(name, Kind.ELEMENTWISE, infer, eval_, grad, emit, samples, doc=doc,
                       precision=precision, gradient=gradient or ("smooth" if grad else "zero"),
                       **more))


_full = partial(_op, precision="full")


def const_like(x: Node, value: float) -> Node:
    """A constant of x's type. Raises DlcError for a number that its dtype does not hold."""
    from dlc.ops.leaf import constant

    try:
        return constant(value, x.type)
    except OpError as problem:
        raise DlcError(f"beside {x.type.describe()}: {problem}", here(), problem.hint) from None


# --- arithmetic -----------------------------------------------------------------------------

# functions of the DSL that gradient rules call, made at the end of this file
floordiv: Callable[..., Node]
cos: Callable[..., Node]
sin: Callable[..., Node]
exp: Callable[..., Node]
sign: Callable[..., Node]

WHOLE = Rounding(ONCE, whole=True)
ADD = _op("add", "x + y", np.add, numeric_type, binary(), lambda g, y, a, b: (g, g),
          emit=lambda k, a, b: k.binary("+", a, b), cheap=True, commutative=True, rounding=WHOLE)
SUB = _op("sub", "x - y", np.subtract, numeric_type, binary(), lambda g, y, a, b: (g, -g),
          emit=lambda k, a, b: k.binary("-", a, b), cheap=True, rounding=WHOLE)
MUL = _op("mul", "x * y", np.multiply, numeric_type, binary(),
          lambda g, y, a, b: (g * b, g * a), emit=lambda k, a, b: k.binary("*", a, b),
          cheap=True, commutative=True, rounding=WHOLE)


def _eval_div(a: Any, b: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.true_divide(a, b)


DIV = _op("div", "x / y (floats)", _eval_div, float_type, binary(nonzero=True),
          lambda g, y, a, b: (g / b, -g * y / b), emit=lambda k, a, b: k.binary("/", a, b),
          rounding=Rounding(ONCE, jumps=over_zero))
NEG = _op("neg", "-x", np.negative, numeric_type, unary(), lambda g, y, x: (-g,),
          emit=lambda k, x: k.negate(x), cheap=True, rounding=EXACT)


def _eval_floordiv(a: Any, b: Any) -> Any:
    """Floor division; x // 0 is 0 and INT_MIN // -1 is INT_MIN for integers."""
    with np.errstate(all="ignore"):
        return np.floor_divide(a, b)


def _eval_rem(a: Any, b: Any) -> Any:
    """Remainder with the divisor's sign; x % 0 is 0 for integers, NaN for floats."""
    with np.errstate(all="ignore"):
        return np.remainder(a, b)


FLOORDIV = _full("floordiv", "floor(x / y); integers: x // 0 is 0, INT_MIN // -1 is INT_MIN",
                 _eval_floordiv, numeric_type, binary(nonzero=True, kinks=True),
                 rounding=Rounding(exact=True, jumps=over_zero))
REM = _full("rem", "x - y * floor(x / y); integers: x % 0 is 0", _eval_rem, numeric_type,
            binary(nonzero=True, kinks=True), lambda g, y, a, b: (g, -g * floordiv(a, b)),
            rounding=Rounding(jumps=over_turns))


def _tie_split(g: Node, y: Node, a: Node, b: Node) -> tuple[Node, Node]:
    """Cotangents of max and min: to the operand that won, half each on a tie."""
    half = const_like(g, 0.5)
    both = where(eq(a, b), half, const_like(g, 1.0))
    zero = const_like(g, 0.0)
    return where(eq(a, y), g * both, zero), where(eq(b, y), g * both, zero)


MAXIMUM = _op("maximum", "the larger; NaN if either is NaN", np.maximum, numeric_type, binary(),
              _tie_split, cheap=True, commutative=True, rounding=EXACT)
MINIMUM = _op("minimum", "the smaller; NaN if either is NaN", np.minimum, numeric_type, binary(),
              _tie_split, cheap=True, commutative=True, rounding=EXACT)


def _eval_pow(a: Any, b: Any) -> Any:
    """Integers: modulo the word; below the exponent 0 what 1 / x truncates to, 0 for x = 0."""
    with np.errstate(all="ignore"):
        if b.dtype.kind not in "iu":
            return np.power(a, b)
        below = np.where(a == 1, 1, np.where(a == -1, np.where(b % 2 == 0, 1, -1), 0))
        return np.where(b < 0, below.astype(a.dtype), np.power(a, np.maximum(b, 0)))


def _grad_pow(g: Node, y: Node, a: Node, b: Node) -> tuple[Node, Node]:
    one, zero = const_like(a, 1.0), const_like(a, 0.0)
    constant = eq(b, zero)
    # of x ** 0 no power below 0 is taken: its own derivative at x = 0 would be 0 times infinity
    base = where(constant, zero, b * power(a, where(constant, one, b) - one))
    return g * base, g * where(eq(a, zero), zero, y * log(where(eq(a, zero), one, a)))


POW = _full("pow", "x ** y; integers modulo the word, x ** -1 is 0 but for 1 and -1", _eval_pow,
            numeric_type, binary(low=0.2, high=3.0), _grad_pow,
            rounding=Rounding({**FUNCTIONS, "f64": 128.0}, even=True, jumps=over_powers))

# --- powers, exponentials, circular -----------------------------------------------------------


def quiet(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`f` without NumPy's warnings: infinities and NaN are defined results here."""
    def eval_(x: Any) -> Any:
        with np.errstate(all="ignore"):
            return f(x)

    return eval_


EXP = _full("exp", "e ** x", quiet(np.exp), float_type, unary(), lambda g, y, x: (g * y,))
EXPM1 = _full("expm1", "e ** x - 1, accurate near 0", quiet(np.expm1), float_type, unary(),
              lambda g, y, x: (g * (y + const_like(y, 1.0)),))
LOG = _full("log", "natural logarithm", quiet(np.log), float_type, unary(0.1, 5.0),
            lambda g, y, x: (g / x,))
LOG1P = _full("log1p", "log(1 + x), accurate near 0", quiet(np.log1p), float_type,
              unary(-0.8, 5.0), lambda g, y, x: (g / (x + const_like(x, 1.0)),))
SQRT = _op("sqrt", "square root", quiet(np.sqrt), float_type, unary(0.1, 5.0),
           lambda g, y, x: (g * const_like(y, 0.5) / y,), rounding=CORRECT)
RSQRT = _full("rsqrt", "1 / sqrt(x)", quiet(lambda x: (1 / np.sqrt(x)).astype(x.dtype)),
              float_type, unary(0.1, 5.0), lambda g, y, x: (g * const_like(y, -0.5) * y / x,))
TANH = _op("tanh", "hyperbolic tangent", np.tanh, float_type, unary(),
           lambda g, y, x: (g * (const_like(y, 1.0) - y * y),))


def _eval_sigmoid(x: Any) -> Any:
    with np.errstate(all="ignore"):
        e = np.exp(-np.abs(x))
        return np.where(x >= 0, 1 / (1 + e), e / (1 + e)).astype(x.dtype)


SIGMOID = _op("sigmoid", "1 / (1 + e ** -x)", _eval_sigmoid, float_type, unary(),
              lambda g, y, x: (g * (y * (const_like(y, 1.0) - y)),))
SIN = _op("sin", "sine (radians)", quiet(np.sin), float_type, unary(),
          lambda g, y, x: (g * cos(x),), rounding=Rounding(curvature=1.0))
COS = _op("cos", "cosine (radians)", quiet(np.cos), float_type, unary(),
          lambda g, y, x: (-g * sin(x),), rounding=Rounding(curvature=1.0))
_ERF = np.vectorize(math.erf, otypes=[np.float64])
ERF = _op("erf", "error function", lambda x: _ERF(x).astype(x.dtype), float_type, unary(),
          lambda g, y, x: (g * const_like(x, 2 / math.sqrt(math.pi)) * exp(-(x * x)),))

# --- rounding and sign: zero gradient by meaning -----------------------------------------------

ABS = _op("abs", "absolute value", np.abs, numeric_type, unary(),
          lambda g, y, x: (g * sign(x),), cheap=True, rounding=Rounding(exact=True, even=True))
SIGN = _op("sign", "-1, 0 or 1; NaN stays", np.sign, numeric_type, unary(), rounding=EXACT)
FLOOR = _op("floor", "largest integer not above x", np.floor, float_type, unary(), rounding=EXACT)
CEIL = _op("ceil", "smallest integer not below x", np.ceil, float_type, unary(), rounding=EXACT)
ROUND = _op("round", "nearest integer, ties to even", np.rint, float_type, unary(), rounding=EXACT)
ISFINITE = _op("isfinite", "neither NaN nor infinite", np.isfinite,
               lambda x: float_type(x).with_(dtype=bool_), unary(special=True))

# --- comparison and selection -------------------------------------------------------------------


def _compare(name: str, sign_: str, f: Callable[..., Any], commutative: bool = False) -> Op:
    return _op(name, f"x {sign_} y", f, compare_type, binary(ties=True), cheap=True,
               commutative=commutative, emit=lambda k, a, b: k.compare(sign_, a, b))


EQ = _compare("eq", "==", np.equal, commutative=True)
NE = _compare("ne", "!=", np.not_equal, commutative=True)
LT = _compare("lt", "<", np.less)
LE = _compare("le", "<=", np.less_equal)
GT = _compare("gt", ">", np.greater)
GE = _compare("ge", ">=", np.greater_equal)


def _infer_where(c: Type, a: Type, b: Type) -> Type:
    if c.dtype is not bool_:
        raise OpError(f"the condition is {c.dtype}", "it must be bool: compare first")
    if tuple(c.shape) != tuple(a.shape):
        raise OpError(f"condition {c.describe()} and value {a.describe()} differ in shape")
    kept = same_type(a, b)
    return kept.with_(shape=named_shape([kept.shape, c.shape]))


def _grad_where(g: Node, y: Node, c: Node, a: Node, b: Node) -> tuple[None, Node, Node]:
    zero = const_like(g, 0.0)
    return None, where(c, g, zero), where(c, zero, g)


WHERE = _op("where", "x where the condition holds, else y", np.where, _infer_where, ternary(),
            _grad_where, emit=lambda k, c, a, b: k.select(c, a, b), cheap=True,
            rounding=Rounding(chooses=True))

# --- integers and bool --------------------------------------------------------------------------

AND = _op("and_", "bitwise and", np.bitwise_and, integer_type, integers(),
          emit=lambda k, a, b: k.binary("&", a, b), cheap=True, commutative=True)
OR = _op("or_", "bitwise or", np.bitwise_or, integer_type, integers(),
         emit=lambda k, a, b: k.binary("|", a, b), cheap=True, commutative=True)
XOR = _op("xor", "bitwise exclusive or", np.bitwise_xor, integer_type, integers(),
          emit=lambda k, a, b: k.binary("^", a, b), cheap=True, commutative=True)
NOT = _op("not_", "logical not of a bool", np.logical_not,
          lambda x: x if x.dtype is bool_ else _needs_bool(x), predicates(),
          emit=lambda k, x: k.logical_not(x), cheap=True)


def _needs_bool(x: Type) -> Type:
    raise OpError(f"needs bool, not {x.dtype}")


def _eval_shift(f: Callable[..., Any]) -> Callable[..., Any]:
    def eval_(a: Any, b: Any) -> Any:
        bits = a.dtype.itemsize * 8
        valid = (b >= 0) & (b < bits)
        return np.where(valid, f(a, np.where(valid, b, 0).astype(b.dtype)), 0).astype(a.dtype)

    return eval_


SHL = _op("shl", "x << y; 0 if y is negative or at least the width", _eval_shift(np.left_shift),
          shift_type, integers(shift=True))
SHR = _op("shr", "x >> y, arithmetic if signed; 0 if y is negative or at least the width",
          _eval_shift(np.right_shift), shift_type, integers(shift=True))

# --- conversion ---------------------------------------------------------------------------------

CAST = _op("cast", "elements as another dtype; to integer: truncate, saturate, NaN gives 0",
           convert_array, lambda x, *, dtype: x.with_(dtype=dtype, layout=None),
           unary(attrs={"dtype": f32}), lambda g, y, x: (cast(g, x.dtype),), linear=(0,),
           emit=lambda k, x, *, dtype: k.cast(x, dtype), cheap=True,
           rounding=Rounding(ONCE, wide=lambda x, *, dtype: x))
STOP = _op("stop_gradient", "x itself, with no gradient", lambda x: x, lambda x: x, unary(),
           emit=lambda k, x: x, cheap=True, rounding=EXACT)


# --- the DSL's functions ------------------------------------------------------------------------


def apply(op: Op, *values: Any) -> Node:
    """`op` on promoted and broadcast operands."""
    return make(op, operands(op.name, *values))


def _function(op: Op, made: Callable[..., Node] | None = None) -> Callable[..., Node]:
    """The DSL's function of `op`, with as many arguments as it has operands."""
    build = made or partial(apply, op)

    def one(x: Any) -> Node:
        return build(x)

    def two(x: Any, y: Any) -> Node:
        return build(x, y)

    function = one if operand_count(op) == 1 else two
    function.__name__ = function.__qualname__ = op.name
    function.__doc__ = op.doc
    return function


def _float_function(op: Op) -> Callable[..., Node]:
    """Functions of the reals take integers too: they become f32 (semantics: promotion)."""
    def made(*values: Any) -> Node:
        nodes = operands(op.name, *values)
        return make(op, [n if n.dtype.is_float else cast(n, f32) for n in nodes])

    return _function(op, made)


add, sub, mul, neg = map(_function, (ADD, SUB, MUL, NEG))
floordiv, rem, maximum, minimum = map(_function, (FLOORDIV, REM, MAXIMUM, MINIMUM))
eq, ne, lt, le, gt, ge = map(_function, (EQ, NE, LT, LE, GT, GE))
and_, or_, xor, shl, shr, not_ = map(_function, (AND, OR, XOR, SHL, SHR, NOT))
abs_, sign, stop_gradient = map(_function, (ABS, SIGN, STOP))
div, exp, expm1, log, log1p = map(_float_function, (DIV, EXP, EXPM1, LOG, LOG1P))
sqrt, rsqrt, tanh, sigmoid, sin, cos, erf = map(
    _float_function, (SQRT, RSQRT, TANH, SIGMOID, SIN, COS, ERF))
floor, ceil, round_, isfinite = map(_float_function, (FLOOR, CEIL, ROUND, ISFINITE))


def power(x: Any, y: Any) -> Node:
    """x ** y; of integers an integer, modulo its word.

    Raises DlcError for an integer to a negative Python int.
    """
    nodes = operands("pow", x, y)
    whole = all(n.dtype.is_integer for n in nodes)
    if whole and isinstance(y, int) and y < 0:
        raise DlcError(f"pow({nodes[0].dtype}, {y}): a negative power of integers", here(),
                       f"write {float(y)}, which gives f32")
    return make(POW, [n if whole or n.dtype.is_float else cast(n, f32) for n in nodes])


def where(condition: Any, x: Any, y: Any) -> Node:
    """x where `condition` (bool) holds, else y; all three broadcast together."""
    from dlc.ops.convert import broadcast_shape, broadcast_to

    a, b = operands("where", x, y)
    c = as_node(condition)
    shape = broadcast_shape("where", [c, a, b])
    return make(WHERE, [broadcast_to(n, shape) for n in (c, a, b)])


def square(x: Any) -> Node:
    """x * x"""
    node = as_node(x)
    return node * node


def relu(x: Any) -> Node:
    """max(x, 0), NaN of NaN; the gradient at 0 is 0."""
    node = as_node(x)
    return where(node <= 0, const_like(node, 0), node)


def clip(x: Any, low: Any = None, high: Any = None) -> Node:
    """x limited to low .. high: numbers or arrays that broadcast; None leaves that end open."""
    given = [v for v in (x, low, high) if v is not None]
    y, *ends = as_nodes(*given)
    y = y if low is None else maximum(y, ends[0])
    return y if high is None else minimum(y, ends[-1])
