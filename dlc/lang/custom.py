"""dlc.custom_op: operators whose kernel is a function of the user, in the subset Numba compiles.

A custom operator is a whole record like any other: a rule of its types, a meaning in NumPy, a
gradient, samples. `check_op` holds it to them. docs/custom-operators.md shows both forms.
"""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, Op, describe, make
from dlc.ir.registry import EARLIER, REGISTRY, register
from dlc.ir.types import TupleType
from dlc.lang.custom_record import array_op, elementwise_op
from dlc.lang.custom_source import FunctionText, function_text
from dlc.lang.source import definition
from dlc.ops import tuples
from dlc.ops.convert import as_node, operands
from dlc.ops.elementwise import eq, gt
from dlc.ops.gather import note_check
from dlc.ops.reduce import max_

OPERATORS: dict[str, CustomOperator] = {}
TAKEN = ("name", "lead")  # what `make` and array operators mean by these words
Sample = tuple[Sequence[Any], Mapping[str, Any]]


class CustomOperator:
    """A function of graph values that is one operator; made by `custom_op`."""

    def __init__(self, op: Op, text: FunctionText, function: Callable[..., Any],
                 elementwise: bool, parallel: int, gradient: Callable[..., Any] | str) -> None:
        self.op, self.text, self.function, self.gradient = op, text, function, gradient
        self.elementwise, self.parallel = elementwise, parallel
        self.__name__, self.__doc__ = op.name, function.__doc__
        given = inspect.signature(function).parameters.values()
        self.usual = {p.name: p.default for p in given
                      if p.kind is p.KEYWORD_ONLY and p.default is not p.empty}

    def __repr__(self) -> str:
        return f"<custom operator {self.op.name}>"

    def __call__(self, /, *values: Any, **attrs: Any) -> Any:
        """The operator applied to arrays or graph values; a tuple where it has several results.

        Raises DlcError where the operands do not fit, or when another operator has its name now.
        """
        if OPERATORS.get(self.op.name) is not self:
            raise DlcError(f"custom operator {self.op.name} was redefined, and this is the old one",
                           here(), "to keep both, give each its own name=")
        attrs = self._attributes(attrs)
        if self.elementwise:
            return make(self.op, operands(self.op.name, *values), **attrs)
        node = make(self.op, list(map(as_node, values)), lead=self.parallel, **attrs)
        results = [tuples.item(node, i) for i in range(len(node.type.items))]
        self._check(results.pop())
        return results[0] if len(results) == 1 else tuple(results)

    def _attributes(self, given: Mapping[str, Any]) -> dict[str, Any]:
        known = self.text.keywords
        wrong = [k for k in given if k not in known]
        missing = [k for k in known if k not in given and k not in self.usual]
        if wrong or missing:
            said = f"no attribute {wrong[0]!r}" if wrong else f"attribute {missing[0]} is missing"
            raise DlcError(f"{self.op.name}: {said}", here(),
                           f"its attributes are {', '.join(known) or 'none'}")
        for key, value in given.items():
            if not isinstance(value, (bool, int, float, np.number)):
                shown = describe(value) if isinstance(value, Node) else repr(value)
                raise DlcError(f"{self.op.name}: attribute {key} is {shown}", here(),
                               "an attribute is a Python number, known when the graph is built; "
                               "what is computed is an operand")
        return {k: given.get(k, self.usual.get(k)) for k in known}

    def _check(self, fault: Node) -> None:
        """Stop the step when the function failed, with the line on which it did."""
        if not fault.type.size:
            return
        code = max_(fault) if fault.ndim else fault
        for line in self.text.failing():
            place = self.text.place(line)
            note_check(eq(code, line), f"{self.op.name}: an index is out of range, or an error is "
                                       f"raised, at {place}")
        note_check(gt(code, 0), f"{self.op.name} failed")


def custom_op(function: Callable[..., Any] | None = None, /, *, meaning: Callable[..., Any],
              samples: Sequence[Sample], gradient: Callable[..., Any] | str,
              result: Callable[..., Any] | None = None, elementwise: bool = False,
              parallel: int = 0, cheap: bool = False, commutative: bool = False, name: str = "",
              doc: str = "") -> Any:
    """Make an operator of `function`, which Numba can compile. Use it as a decorator.

    With `elementwise` the function takes a scalar of each operand and returns one; it is fused like
    any other operator. Else it takes an array of each operand (read only), then one of each result,
    which it fills; what stands after `*` in its signature are attributes, given as numbers.

    meaning   the same in NumPy: (*arrays, **attributes) -> array, or a tuple of them
    samples   [(arrays, attributes), ...] for `check_op`
    gradient  (g, y, *operands, **attributes) -> a cotangent or None per operand, in dlc's operators
              (g and y are tuples where there are several results); "none": there is none, asking
              for it is an error; "zero": it is zero by meaning
    result    (*types, **attributes) -> type, or a tuple of them; default: the first operand's
    parallel  the function takes arrays without the first `parallel` axes, which all operands and
              results share: it is called for each of their positions, on all threads
    cheap     (elementwise) it takes an instruction or two: computed again rather than stored
    commutative  (elementwise, two operands) either order gives the same: f(a, b) and f(b, a)
              are computed once

    Raises DlcError when something is missing or can't be part of a kernel.
    """
    if function is not None and not inspect.isfunction(function):
        raise DlcError(f"custom_op of {function!r}", here(), "it takes a Python function")

    def wrap(inner: Callable[..., Any]) -> CustomOperator:
        word = _name(name or inner.__name__, inner)
        text = function_text(word, inner)
        _check_words(word, inner, elementwise, cheap, commutative, len(text.parameters))
        _check_parts(word, inner, text, samples, gradient, elementwise)
        about = doc or (inspect.getdoc(inner) or "").split("\n")[0] or f"custom operator {word}"
        if elementwise:
            op = elementwise_op(word, text, meaning, _samples(samples), gradient, result, about,
                                cheap=cheap, commutative=commutative)
        else:
            op = array_op(word, text, meaning, _samples(samples), gradient, result, parallel, about)
        if word in REGISTRY:
            EARLIER.add(REGISTRY.pop(word))
        made = OPERATORS[word] = CustomOperator(
            register(op), text, inner, elementwise, parallel, gradient)
        _check_counts(made, samples)
        return made

    return wrap if function is None else wrap(function)


def _name(word: str, function: Callable[..., Any]) -> str:
    """`word`, if an operator may be called so. Only a custom operator may be defined again."""
    if not word.isidentifier() or keyword.iskeyword(word) or "__" in word:
        raise DlcError(f"custom operator {word!r}: no name for an operator", definition(function),
                       "give one with name=")
    if word in REGISTRY and word not in OPERATORS:
        raise DlcError(f"custom operator {word}: dlc has an operator of this name",
                       definition(function), "give another with name=")
    return word


def _samples(samples: Sequence[Sample]) -> Callable[[], list[Any]]:
    kept = [(tuple(map(np.asarray, arrays)), dict(attrs)) for arrays, attrs in samples]
    return lambda: kept


def _check_parts(word: str, function: Callable[..., Any], text: FunctionText,
                 samples: Sequence[Sample], gradient: Any, elementwise: bool) -> None:
    loc = definition(function)
    if not samples:
        raise DlcError(f"custom operator {word}: no samples", loc,
                       "give samples=[((array, ...), {attribute: value}), ...]")
    taken = [key for key in text.keywords if key in TAKEN]
    if taken:
        raise DlcError(f"custom operator {word}: an attribute can't be called {taken[0]!r}", loc,
                       "another name")
    if not callable(gradient) and gradient not in ("none", "zero"):
        raise DlcError(f"custom operator {word}: gradient={gradient!r}", loc,
                       'give a function (g, y, *operands), "none" or "zero"')
    if elementwise and text.failing():
        place = text.place(text.failing()[0])
        raise DlcError(f"custom operator {word}: an elementwise function may neither index nor "
                       "raise", place, "leave out elementwise=True: it then takes arrays")
    given = text.returns()
    if elementwise and not given:
        raise DlcError(f"custom operator {word}: its function returns nothing", loc,
                       "an elementwise function returns the result's element")
    if given and not elementwise:
        last = (text.parameters or ["out"])[-1]
        raise DlcError(
            f"custom operator {word}: its function returns a value, but a function of arrays fills "
            "its results", given[0], "its last parameters are the results, e.g. "
            f"{last if len(text.parameters) > 1 else 'out'}[i] = ...; with elementwise=True it "
            "takes and returns numbers")


def _check_words(word: str, function: Callable[..., Any], elementwise: bool, cheap: bool,
                 commutative: bool, operand_count: int) -> None:
    """`cheap` and `commutative` stand where they can hold. Raises DlcError."""
    loc = definition(function)
    if (cheap or commutative) and not elementwise:
        raise DlcError(f"custom operator {word}: {'cheap' if cheap else 'commutative'}=True", loc,
                       "that is for functions of numbers, with elementwise=True")
    if commutative and operand_count != 2:
        raise DlcError(f"custom operator {word}: commutative=True with {operand_count} operands",
                       loc, "two operands can stand in either order")


def _check_counts(made: CustomOperator, samples: Sequence[Sample]) -> None:
    """The function takes what the samples and the type rule say. Raises DlcError."""
    arrays, attrs = samples[0]
    loc, name = definition(made.function), made.op.name
    missing = [k for k in made.text.keywords if k not in attrs and k not in made.usual]
    if missing:
        raise DlcError(f"custom operator {name}: its samples lack {', '.join(missing)}", loc)
    from dlc.ir.types import Type, dtype

    types = [Type(dtype(np.asarray(a).dtype), np.asarray(a).shape) for a in arrays]
    lead = {} if made.elementwise else {"lead": made.parallel}
    try:
        found = made.op.infer(*types, **lead, **{**made.usual, **attrs})
    except ValueError as problem:
        raise DlcError(f"custom operator {name}: its first sample does not fit: {problem}", loc,
                       getattr(problem, "hint", "")) from None
    _check_rule(made, len(arrays), {**made.usual, **attrs})
    results = len(found.items) - 1 if isinstance(found, TupleType) else 0
    if len(made.text.parameters) != len(arrays) + results:
        raise DlcError(
            f"custom operator {name}: its function takes {len(made.text.parameters)} arrays, its "
            f"samples have {len(arrays)} operands and its type rule {results} results", loc,
            "it takes the operands, then the results; attributes stand after *")


def _check_rule(made: CustomOperator, operands_: int, attrs: Mapping[str, Any]) -> None:
    """The gradient rule takes what it will be given. Raises DlcError."""
    rule = made.gradient
    if not callable(rule):
        return
    wanted = ", ".join(["g", "y", *(["operand"] * operands_), *(f"{k}=" for k in attrs)])
    try:
        inspect.signature(rule).bind(*range(operands_ + 2), **attrs)
    except TypeError as problem:
        raise DlcError(f"custom operator {made.op.name}: its gradient rule is called with "
                       f"({wanted}): {problem}", definition(rule),
                       f"write it as a function of ({wanted})") from None
