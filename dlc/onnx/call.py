"""One ONNX operator as a converter sees it: operands, attributes, opset; and the converters' table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.errors import DlcError
from dlc.ir.graph import Node
from dlc.ir.types import DType, Type, dtype
from dlc.ops import leaf

if TYPE_CHECKING:
    from dlc.onnx.convert import Walk

# A converter gives the operator's results: a node, or several. A list is a value of sequence type.
Value = Node | list[Any] | None
Results = Value | tuple[Value, ...]
Converter = Callable[["Call"], Results]

# (domain, operator) -> converter; one function serves every opset, and asks `call.opset`
CONVERTERS: dict[tuple[str, str], Converter] = {}
CONTRIB, TRAINING, PREVIEW = "com.microsoft", "ai.onnx.preview.training", "ai.onnx.preview"


def converts(*names: str, domain: str = "") -> Callable[[Converter], Converter]:
    """Register the decorated function as the converter of these operators."""
    def register(function: Converter) -> Converter:
        for name in names:
            CONVERTERS[domain, name] = function
        return function

    return register


class Unknown(DlcError):
    """A value that must be known when the model is compiled, and depends on its inputs.

    `inputs` are the names of those; `dlc.onnx.load(..., constants={name: array})` fixes them.
    """

    def __init__(self, message: str, inputs: Sequence[str]) -> None:
        names = ", ".join(inputs)
        super().__init__(f"{message} depends on {names}, and must be known before the model runs",
                         None, f"fix it: dlc.onnx.load(..., constants={{{inputs[0]!r}: array}})"
                         if inputs else "")
        self.inputs = tuple(inputs)


@dataclass(frozen=True)
class Call:
    """A node of an ONNX graph with its operands.

    `operands` are values of the environment (None: left out), `attributes` the schema's names with
    their values, `outputs` how many results are asked for (trailing unused ones not counted),
    `wanted` which of them have a name.
    """

    walk: Walk
    proto: Any
    opset: int
    operands: tuple[Value, ...]
    attributes: Mapping[str, Any]
    wanted: tuple[bool, ...]
    frame: Any

    @property
    def name(self) -> str:
        return str(self.proto.op_type)

    def __len__(self) -> int:
        return len(self.operands)

    def has(self, position: int) -> bool:
        """Whether the operand is there."""
        return position < len(self.operands) and self.operands[position] is not None

    def wants(self, position: int) -> bool:
        """Whether the result is asked for."""
        return position < len(self.wanted) and self.wanted[position]

    def x(self, position: int = 0) -> Node:
        """An operand that must be an array. Raises DlcError."""
        value = self.operands[position] if position < len(self.operands) else None
        if not isinstance(value, Node):
            kind = "is missing" if value is None else "is a sequence, no array"
            raise DlcError(f"operand {position} {kind}")
        return value

    def maybe(self, position: int) -> Node | None:
        """An operand that may be left out."""
        return self.x(position) if self.has(position) else None

    def nodes(self) -> list[Node]:
        """All operands, of a variadic operator."""
        return self.nodes_from(0)

    def nodes_from(self, start: int) -> list[Node]:
        """The operands from `start` on."""
        return [self.x(i) for i in range(start, len(self.operands))]

    def known(self, position: int) -> np.ndarray:
        """An operand that must be known now, as an array. Raises Unknown."""
        return self.walk.knows.known(self.x(position), f"operand {position}")

    def maybe_known(self, position: int) -> np.ndarray | None:
        return self.known(position) if self.has(position) else None

    def known_ints(self, position: int) -> list[int] | None:
        """Integers that must be known now: axes, a shape. None where the operand is left out."""
        values = self.maybe_known(position)
        return None if values is None else [int(v) for v in values.reshape(-1)]

    def scalar(self, position: int, default: Any = None) -> Any:
        """A single number that must be known now."""
        values = self.maybe_known(position)
        if values is None:
            return default
        if values.size != 1:
            raise DlcError(f"operand {position} has shape {values.shape}, it must be one number")
        return values.reshape(-1)[0].item()

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute, or `default`."""
        return self.attributes.get(name, default)

    def integer(self, name: str, default: int = 0) -> int:
        return int(self.attributes.get(name, default))

    def number(self, name: str, default: float) -> float:
        # attributes are f32; the shortest decimal is what was meant (0.1, not 0.10000000149)
        return float(str(np.float32(self.attributes.get(name, default))))

    def text(self, name: str, default: str = "") -> str:
        return str(self.attributes.get(name, default))

    def integers(self, name: str, default: Sequence[int] = ()) -> tuple[int, ...]:
        return tuple(map(int, self.attributes.get(name, default)))

    def flag(self, name: str, default: bool = False) -> bool:
        return bool(self.attributes.get(name, default))

    def axes(self, position: int, since: int, rank: int) -> tuple[int, ...] | None:
        """Axes that are an attribute before opset `since` and an operand from there on."""
        if self.opset < since or not self.has(position):
            listed = self.attributes.get("axes")
        else:
            listed = self.known_ints(position)
        return None if listed is None else tuple(axis_of(int(a), rank) for a in listed)


def own(name: str) -> Callable[..., Any]:
    """dlc's function of that name. Raises DlcError when there is none."""
    found: Callable[..., Any] | None = getattr(sys.modules["dlc"], name, None)
    if found is None:
        raise DlcError(f"dlc has no function {name!r}")
    return found


def axis_of(axis: int, rank: int) -> int:
    """A non-negative axis. Raises DlcError when there is none."""
    if not -rank <= axis < rank:
        raise DlcError(f"axis {axis} of an array with {rank} axes", None,
                       f"axes are {-rank} .. {rank - 1}")
    return axis % rank if rank else 0


def array(values: Any, kind: DType | None = None) -> Node:
    """A NumPy array, or numbers, as a constant node."""
    data = np.asarray(values) if kind is None else np.asarray(values, kind.numpy)
    return leaf.array(data, Type(dtype(data.dtype), data.shape))


def chosen(what: str, value: str, known: Sequence[str]) -> str:
    """`value`, which must be one of `known`. Raises DlcError."""
    if value not in known:
        raise DlcError(f"{what} {value!r}", None, f"{what} is one of {', '.join(known)}")
    return value
