"""Layer: a plain immutable value that creates its parameters when first applied."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from dlc.errors import DlcError, Loc, here, is_user_file
from dlc.ir.graph import Node, current_build, describe
from dlc.lang.bodies import check_arguments
from dlc.lang.scope import Placed, Scope, current_scope
from dlc.lang.source import call_arguments
from dlc.ops.convert import as_node
from dlc.words import attributes

Function = Callable[..., Any]


class LayerError(DlcError):
    """An error inside a layer, reported at the line where the layer was written."""


@attributes("net")
@dataclass(frozen=True, eq=False)
class Layer:
    """A part of a network; using the same layer twice shares its parameters.

    `kind` is its default name (conv1), `apply` its function, `text` how it prints.
    """

    kind: str
    apply: Function
    text: str = ""
    name: str = ""
    loc: Loc | None = None

    def __call__(self, *args: Any, **more: Any) -> Any:
        scope = current_scope(f"applying {self}")
        return apply_layer(scope, self, args, lambda: scope.part(self, self.kind, self.name),
                           more=more)

    def __str__(self) -> str:
        return self.text or f"{self.kind}()"

    __repr__ = __str__


def layer(function: Function, name: str = "") -> Layer:
    """A layer from a function of arrays that creates parameters with dlc.parameter.

        def scale(x):
            return x * dlc.parameter("gain", f32[x.shape[-1]], init.ones)

        net = nn.chain(nn.dense(8), nn.layer(scale))
    """
    kind = getattr(function, "__name__", "layer").strip("<>_") or "layer"
    return Layer(kind, function, kind, name, here())


@contextmanager
def _at(where: Loc | None, users: bool, path: tuple[str, ...]) -> Iterator[None]:
    """Nodes made inside the layer `path` serve `where`; inside a user's function, the lines that
    run. A layer that is used in several others belongs to the one that uses it."""
    build = current_build()
    if build is None or (where is None and not users):
        yield
        return
    before = build.places, build.layer
    layer = "/".join((build.layer, *path[-1:]) if build.layer else path)
    build.layer = layer
    build.places = ([] if users or where is None else
                    [*before[0], (replace(where, scope=layer),)])
    try:
        yield
    finally:
        build.places, build.layer = before


def _placed(scope: Scope, element: Any, part: Callable[[], str]) -> Placed:
    """Where `element` stands in the network, from its first use on."""
    if id(element) not in scope.placed:
        scope.placed[id(element)] = Placed(element, _path(scope, element, part))
    return scope.placed[id(element)]


def apply_layer(scope: Scope, element: Any, args: tuple[Any, ...],
                part: Callable[[], str], where: Loc | None = None, hint: str = "",
                more: Mapping[str, Any] | None = None, other: Function | None = None) -> Any:
    """`element` (a Layer or a plain function) on `args`, under its own path and line.

    `hint` names its result in print; without one its path does. `more` are arrays given by name.
    `other` is run in place of the layer's own function, on the parameters of the layer.
    """
    function = other or (element.apply if isinstance(element, Layer) else element)
    named = {name: as_node(value) for name, value in (more or {}).items()}
    if named:
        shown = "".join(f", {name}=" for name in named)
        check_arguments(str(element), function, f"({len(args)} arguments{shown})", len(args),
                        named)
    placed = _placed(scope, element, part)
    place = element.loc if isinstance(element, Layer) else where
    code = getattr(function, "__code__", None)
    users = code is not None and is_user_file(code.co_filename)
    nodes = tuple(as_node(a) for a in args)
    with scope.inside(placed), _at(place, users, placed.path):
        try:
            result = function(*nodes, **named)
        except LayerError:
            raise
        except DlcError as problem:
            raise _explain(placed, problem, nodes, place if not users else problem.loc) from None
    if isinstance(result, Node) and placed.path:
        scope.hints.append((result, hint or "/".join(placed.path)))
    if not placed.types:
        placed.types = tuple(n.type for n in nodes)
    return result


def _path(scope: Scope, element: Any, part: Callable[[], str]) -> tuple[str, ...]:
    """Where a layer stands. A nameless chain at the top adds nothing to its members' names."""
    nameless = isinstance(element, Layer) and element.kind == "block" and not element.name
    if nameless and not scope.owners:
        return ()
    return (*scope.path, part())


def _explain(placed: Placed, problem: DlcError, args: Sequence[Node],
             where: Loc | None) -> LayerError:
    """The error of a layer: which one, and what it was built for when it is used again."""
    label = "/".join(placed.path) or str(placed.layer)
    given = ", ".join(describe(a) for a in args)
    if placed.types and _differ(placed.types, args):
        built = ", ".join(t.describe() for t in placed.types)
        return LayerError(f"{label} was built for {built}, here it gets {given}", where,
                          "a layer used twice shares its parameters and takes one input shape")
    return LayerError(f"{label}: {problem.message}", where, problem.hint)


def _differ(types: Sequence[Any], args: Sequence[Node]) -> bool:
    return [(t.dtype, tuple(t.shape)[1:]) for t in types] != [
        (a.dtype, tuple(a.shape)[1:]) for a in args]


# --- chain ----------------------------------------------------------------------------------------


def chain(*elements: Layer | Function, name: str = "") -> Layer:
    """Layers and functions applied in order: chain(f, g)(x) is g(f(x)).

    Members are named by kind and number (conv1, conv2, dense1), or by the name they were given; a
    chain inside a chain is block1, block2, ... Raises DlcError for a member that is neither a layer
    nor a function, and for two members with the same name.
    """
    loc = here()
    places = call_arguments(loc, len(elements))
    for element, place in zip(elements, places, strict=True):
        if not callable(element) or isinstance(element, (type, Node)):
            raise DlcError(f"chain: {element!r} is not a layer", place,
                           "members are layers, e.g. nn.dense(10), and functions, e.g. dlc.tanh")
    parts = part_names(elements, places)

    def apply(x: Any) -> Any:
        scope = current_scope("applying a chain")
        for element, part, place in zip(elements, parts, places, strict=True):
            hint = "" if isinstance(element, Layer) else part
            x = apply_layer(scope, element, (x,), partial(str, part), place, hint)
        return x

    inner = ", ".join(_shown(e) for e in elements)
    return Layer("block", apply, f"chain({inner})", name, loc)


def _shown(element: Any) -> str:
    return str(getattr(element, "__name__", element))


def part_names(elements: Sequence[Any], places: Sequence[Loc | None]) -> list[str]:
    """A name for each member of a chain; a layer that stands twice keeps its first name."""
    names: list[str] = []
    layers: dict[int, str] = {}
    counts: dict[str, int] = {}
    for element, place in zip(elements, places, strict=True):
        name = layers.get(id(element), "")
        if not name:
            kind, name = _kind_and_name(element)
            counts[kind] = counts.get(kind, 0) + (0 if name else 1)
            name = name or f"{kind}{counts[kind]}"
            if name in names:
                raise DlcError(f"chain: two members are named {name!r}", place,
                               "give one of them another name")
        if isinstance(element, Layer):
            layers[id(element)] = name
        names.append(name)
    return names


def _kind_and_name(element: Any) -> tuple[str, str]:
    """What a member of a chain is, and the name it was given ("" for none)."""
    if isinstance(element, Layer):
        return element.kind, element.name
    return getattr(element, "__name__", "function").strip("<>_"), ""
