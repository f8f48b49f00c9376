"""Random contractions, aimed at one scheme each: operands, product, results, derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import dlc
from dlc.ir.graph import Build, Graph, building
from dlc.ir.types import DType, Type, bf16, f16, f32, f64
from dlc.ops import leaf
from tests.fuzzing.draw_products import PRODUCTS, Product, Rng, pick

Values = Sequence[Any]
ROLES = ("forward", "forward", "by a", "by b", "step", "both", "second")
KINDS = (f32, f32, f32, f32, f32, f64, f64, f16, bf16)


@dataclass
class Inputs:
    """The shapes of the inputs, in the order in which the drawing asks for them."""

    shapes: list[tuple[int, ...]] = field(default_factory=list)

    def new(self, shape: Sequence[int]) -> int:
        """The number of a new input."""
        self.shapes.append(tuple(int(d) for d in shape))
        return len(self.shapes) - 1


@dataclass(frozen=True)
class Configuration:
    """One program of the generator. `aim` is the scheme that the sizes were drawn for."""

    number: int
    aim: str
    text: str
    kind: DType
    shapes: tuple[tuple[int, ...], ...]
    function: Callable[..., Any]
    updated: tuple[int, ...] = ()  # inputs that the last results replace

    def graph(self) -> Graph:
        """The program, called c17 where its number is 17."""
        return traced(self.function, self.shapes, self.kind, f"c{self.number}", self.updated)

    def arrays(self, rng: Rng) -> list[Any]:
        """Values for the inputs."""
        return [rng.standard_normal(s).astype(self.kind.numpy) for s in self.shapes]

    def __str__(self) -> str:
        shapes = ", ".join(map(str, self.shapes))
        return f"#{self.number} for {self.aim}: {self.kind} {self.text} of {shapes}"


def configuration(seed: int, number: int, most: int) -> Configuration:
    """Configuration `number` of `seed`, with at most about `most` products; always the same."""
    rng = np.random.default_rng([seed, number])
    aims = list(PRODUCTS)
    aim = aims[number % len(aims)]
    product = PRODUCTS[aim](rng, most)
    inputs, words = Inputs(), []
    a = operand(rng, inputs, product.a, product.depths, words)
    words.append(product.text)
    b = operand(rng, inputs, product.b, product.depths, words)
    finish = epilogue(rng, inputs, product.y, words)
    role = product.role or pick(rng, ROLES)
    # a second order of long sums in half precision has no digit left that could be compared
    kinds = KINDS if role != "second" else KINDS[:7]
    function, updated = by_role(rng, inputs, role, product, (a, b, finish))
    return Configuration(number, aim, " ".join([*words, role]), pick(rng, kinds),
                         tuple(inputs.shapes), function, updated)


# ---- operands ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Operand:
    """How an operand is made, and the number of the input that it is made of."""

    made: Callable[[Values], Any]
    root: int


def operand(rng: Rng, inputs: Inputs, shape: Sequence[int], depths: Sequence[int],
            words: list[str]) -> Operand:
    """An operand of `shape`: an input, or layers of cheap work and views of inputs."""
    return layered(rng, inputs, tuple(shape), int(pick(rng, depths)), words)


def layered(rng: Rng, inputs: Inputs, shape: tuple[int, ...], depth: int,
            words: list[str]) -> Operand:
    if depth == 0:
        number = inputs.new(shape)
        return Operand(lambda values: values[number], number)
    layer = pick(rng, LAYERS)
    words.append(layer.__name__)
    inner, change = layer(rng, inputs, shape)
    below = layered(rng, inputs, inner, depth - 1, words)
    return Operand(lambda values: change(below.made(values), values), below.root)


Layer = tuple[tuple[int, ...], Callable[[Any, Values], Any]]  # the shape below, what is done


def scale(rng: Rng, inputs: Inputs, shape: tuple[int, ...]) -> Layer:
    factor = float(pick(rng, (0.5, -0.25, 1.5)))
    return shape, lambda x, _: x * factor


def mask(rng: Rng, inputs: Inputs, shape: tuple[int, ...]) -> Layer:
    number = inputs.new(shape)
    return shape, lambda x, values: dlc.where(values[number] > 0.0, x, 0.0)


def added(rng: Rng, inputs: Inputs, shape: tuple[int, ...]) -> Layer:
    number = inputs.new([1 if rng.random() < 0.4 else d for d in shape])
    return shape, lambda x, values: x + values[number]


def flipped(rng: Rng, inputs: Inputs, shape: tuple[int, ...]) -> Layer:
    axes = tuple(i for i in range(len(shape)) if rng.random() < 0.5) or (0,)
    return shape, lambda x, _: dlc.flip(x, axes)


def transposed(rng: Rng, inputs: Inputs, shape: tuple[int, ...]) -> Layer:
    axes = tuple(int(i) for i in rng.permutation(len(shape)))
    below = [0] * len(shape)
    for i, a in enumerate(axes):
        below[a] = shape[i]
    return tuple(below), lambda x, _: dlc.transpose(x, axes)


def sliced(rng: Rng, inputs: Inputs, shape: tuple[int, ...]) -> Layer:
    parts, below = [], []
    for d in shape:
        step = int(rng.choice([1, 1, 2, 3]))
        low, high = int(rng.integers(0, 3)), int(rng.integers(0, 3))
        parts.append(slice(low, low + (d - 1) * step + 1, step))
        below.append(low + (d - 1) * step + 1 + high)
    return tuple(below), lambda x, _: x[tuple(parts)]


def reshaped(rng: Rng, inputs: Inputs, shape: tuple[int, ...]) -> Layer:
    """From the shape with two axes joined, one taken apart, or two regrouped."""
    if len(shape) > 1 and rng.random() < 0.3:
        return exchanged(rng, shape), lambda x, _: dlc.reshape(x, shape)
    at = int(rng.integers(0, len(shape)))
    whole = shape[at]
    factors = [f for f in range(2, whole) if whole % f == 0]
    if factors and rng.random() < 0.5:
        f = int(pick(rng, factors))
        below: tuple[int, ...] = (*shape[:at], f, whole // f, *shape[at + 1:])
    elif at + 1 < len(shape):
        below = (*shape[:at], whole * shape[at + 1], *shape[at + 2:])
    else:
        below = (1, *shape)
    return below, lambda x, _: dlc.reshape(x, shape)


def exchanged(rng: Rng, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with the extents of two neighbours exchanged: the same elements, regrouped."""
    at = int(rng.integers(0, len(shape) - 1))
    return (*shape[:at], shape[at + 1], shape[at], *shape[at + 2:])


def stretched(rng: Rng, inputs: Inputs, shape: tuple[int, ...]) -> Layer:
    below = tuple(1 if rng.random() < 0.4 else d for d in shape)
    return below, lambda x, _: dlc.broadcast_to(x, shape)


def padded(rng: Rng, inputs: Inputs, shape: tuple[int, ...]) -> Layer:
    low = [int(rng.integers(0, d)) if rng.random() < 0.4 else 0 for d in shape]
    high = [int(rng.integers(0, d - p)) if rng.random() < 0.4 else 0
            for d, p in zip(shape, low, strict=True)]
    below = tuple(d - p - q for d, p, q in zip(shape, low, high, strict=True))
    return below, lambda x, _: dlc.pad(x, low, high)


def joined(rng: Rng, inputs: Inputs, shape: tuple[int, ...]) -> Layer:
    """The last part of an axis is another input."""
    at = int(rng.integers(0, len(shape)))
    cut = int(rng.integers(0, shape[at] + 1))
    if cut in (0, shape[at]):
        return shape, lambda x, _: x
    number = inputs.new((*shape[:at], shape[at] - cut, *shape[at + 1:]))
    return ((*shape[:at], cut, *shape[at + 1:]),
            lambda x, values: dlc.concat([x, values[number]], at))


def triangle(rng: Rng, inputs: Inputs, shape: tuple[int, ...]) -> Layer:
    """What a causal mask leaves: indices as values."""
    if len(shape) < 2:
        return shape, lambda x, _: x * 1.5
    part = pick(rng, (dlc.tril, dlc.triu))
    return shape, lambda x, _: part(x)


LAYERS = (scale, scale, mask, added, flipped, transposed, sliced, reshaped, stretched, padded,
          joined, triangle)


# ---- results -------------------------------------------------------------------------------------

Finish = Callable[[Any, Values], tuple[Any, ...]]


def epilogue(rng: Rng, inputs: Inputs, shape: tuple[int, ...], words: list[str]) -> Finish:
    """What becomes of a result of `shape`: one or two outputs."""
    made = pick(rng, EPILOGUES)
    words.append(made.__name__)
    finish: Finish = made(rng, inputs, shape)
    return finish


def nothing(rng: Rng, inputs: Inputs, shape: tuple[int, ...]) -> Finish:
    return lambda y, _: (y,)


def bias(rng: Rng, inputs: Inputs, shape: tuple[int, ...]) -> Finish:
    """A number for each channel, or for each place of any axis, and an activation."""
    axis = 1 if len(shape) > 2 else int(rng.integers(0, len(shape)))
    number = inputs.new([d if i == axis else 1 for i, d in enumerate(shape)])
    activation = pick(rng, (dlc.relu, dlc.tanh, dlc.sigmoid, lambda x: x * 0.5, dlc.abs))
    return lambda y, values: (activation(y + values[number]),)


def residual(rng: Rng, inputs: Inputs, shape: tuple[int, ...]) -> Finish:
    number = inputs.new(shape)
    return lambda y, values: (y * 2.0 + values[number],)


def two_readers(rng: Rng, inputs: Inputs, shape: tuple[int, ...]) -> Finish:
    number = inputs.new(shape)
    return lambda y, values: (dlc.tanh(y), y - values[number])


def skip(rng: Rng, inputs: Inputs, shape: tuple[int, ...]) -> Finish:
    """An input of the product is added to it, where one has its shape."""
    own = inputs.shapes.index(shape) if shape in inputs.shapes else inputs.new(shape)
    return lambda y, values: (dlc.relu(y + values[own]),)


def summed(rng: Rng, inputs: Inputs, shape: tuple[int, ...]) -> Finish:
    axes = tuple(i for i in range(len(shape)) if rng.random() < 0.4) or (0,)
    return lambda y, _: ((y * 0.5).sum(axes), y)


def largest(rng: Rng, inputs: Inputs, shape: tuple[int, ...]) -> Finish:
    axis = int(rng.integers(0, len(shape)))
    return lambda y, _: (dlc.maximum(y, 0.25), y.sum(axis, keepdims=True) * 0.125)


def rearranged(rng: Rng, inputs: Inputs, shape: tuple[int, ...]) -> Finish:
    axes = tuple(int(i) for i in rng.permutation(len(shape)))
    return lambda y, _: (dlc.transpose(y, axes) * 1.5,)


def turned_around(rng: Rng, inputs: Inputs, shape: tuple[int, ...]) -> Finish:
    axis = int(rng.integers(0, len(shape)))
    return lambda y, _: (dlc.flip(y, (axis,)) + 0.5,)


def flattened(rng: Rng, inputs: Inputs, shape: tuple[int, ...]) -> Finish:
    size = int(np.prod(shape))
    return lambda y, _: (dlc.reshape(y, (size,)) * -1.0,)


def regrouped(rng: Rng, inputs: Inputs, shape: tuple[int, ...]) -> Finish:
    below = exchanged(rng, shape)
    return lambda y, _: (dlc.reshape(y, below) * 1.5,)


EPILOGUES = (nothing, nothing, bias, bias, residual, two_readers, summed, summed, largest,
             rearranged, turned_around, flattened, regrouped, regrouped, regrouped, skip)


# ---- which derivative ----------------------------------------------------------------------------


Role = tuple[Callable[..., Any], tuple[int, ...]]  # the function, the inputs that it replaces


def by_role(rng: Rng, inputs: Inputs, role: str, product: Product,
            parts: tuple[Operand, Operand, Finish]) -> Role:
    """The program itself, its gradient by one operand or both, a step down such a gradient, or a
    gradient of a gradient. What is differentiated is the sum of all results times weights."""
    a, b, finish = parts

    def forward(*values: Any) -> tuple[Any, ...]:
        return finish(product.run(a.made(values), b.made(values)), values)
    if role == "forward":
        return forward, ()
    weights = [inputs.new(shape) for shape in shapes_of(forward, inputs.shapes)]

    def loss(*values: Any) -> Any:
        terms = [(r * values[w]).sum() for r, w in zip(forward(*values), weights, strict=True)]
        return terms[0] if len(terms) == 1 else terms[0] + terms[1]
    wrt = {"by a": (a.root,), "by b": (b.root,), "step": (b.root,)}.get(role, (a.root, b.root))
    if role == "second":
        return second_order(rng, inputs, loss, wrt), ()

    def slopes(*values: Any) -> tuple[Any, ...]:
        return tuple(dlc.grad(loss, wrt=wrt)(*values))
    if role == "step":
        return lambda *values: (values[b.root] - 0.125 * slopes(*values)[0],), wrt
    return slopes, ()


def second_order(rng: Rng, inputs: Inputs, loss: Callable[..., Any],
                 roots: Sequence[int]) -> Callable[..., Any]:
    """The gradient by one operand of what the gradient by the other is in some direction."""
    first, other = roots if rng.random() < 0.5 else roots[::-1]
    along = inputs.new(inputs.shapes[first])

    def directional(*values: Any) -> Any:
        return (dlc.grad(loss, wrt=first)(*values) * values[along]).sum()
    return lambda *values: (dlc.grad(directional, wrt=other)(*values),)


def shapes_of(function: Callable[..., Any], shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    """The shapes of a function's results over inputs of `shapes`."""
    return [tuple(map(int, o.type.shape)) for o in traced(function, shapes, f32, "f").outputs]


def traced(function: Callable[..., Any], shapes: Sequence[tuple[int, ...]], kind: DType,
           name: str, updated: Sequence[int] = ()) -> Graph:
    """The graph of a function of any number of inputs, which launches may write over where they
    are read for the last time; its last results replace inputs `updated`, which are parameters."""
    with building(Build()):
        inputs = [leaf.input_(f"{name}_x{i}", Type(kind, shape),
                              "param" if i in updated else "data")
                  for i, shape in enumerate(shapes)]
        outputs = function(*inputs)
    plain = len(outputs) - len(updated)
    new = [inputs[i].attrs["label"] for i in updated]
    return Graph(name, tuple(inputs), tuple(outputs), (*(f"y{i}" for i in range(plain)), *new),
                 {n: n for n in new})
