"""NumPy's functions on graph values: arrays' operators take them, the others say what dlc has.

`array + node` is a NumPy ufunc; it becomes the node's operator. Whatever else would turn a graph
value into numbers (numpy.exp, float, indexing a list) is refused at the user's line.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NoReturn

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.lang.array import elementwise_functions
from dlc.ops import contract, elementwise
from dlc.words import counterpart


@lru_cache(maxsize=1)
def operators() -> dict[str, Callable[..., Any]]:
    """NumPy's ufunc of each operator -> dlc's function."""
    e = elementwise
    return {
        "add": e.add, "subtract": e.sub, "multiply": e.mul, "divide": e.div,
        "floor_divide": e.floordiv, "divmod": elementwise_functions.divmod_,
        "remainder": e.rem, "power": e.power,
        "matmul": contract.matmul, "equal": e.eq, "not_equal": e.ne, "less": e.lt,
        "less_equal": e.le, "greater": e.gt, "greater_equal": e.ge, "bitwise_and": e.and_,
        "bitwise_or": e.or_, "bitwise_xor": e.xor, "left_shift": e.shl, "right_shift": e.shr,
    }


def array_ufunc(self: Node, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    """What NumPy calls for `array + node` and for numpy.exp(node)."""
    function = operators().get(ufunc.__name__)
    if method == "__call__" and function is not None and not options:
        return function(*inputs)
    if options.get("out") is not None:
        raise DlcError("an array can't be changed by a graph value", here(),
                       "write y = array + x instead of array += x")
    name = ufunc.__name__
    return refuse_function(name, self, counterpart(name) if method == "__call__" else None)


def array_function(self: Node, function: Any, types: Any, args: Any, options: Any) -> NoReturn:
    """What NumPy calls for numpy.sum(node) and its like."""
    refuse_function(function.__name__, self, counterpart(function.__name__))


def refuse_function(name: str, node: Node, fits: str | None) -> NoReturn:
    """Raise DlcError naming what fits: dlc's own function of that name, if there is one."""
    raise DlcError(f"numpy.{name} can't take a graph value ({describe(node)})", here(),
                   fits or "compose it of dlc's functions")


def refuse_number(self: Node, *_: Any, **__: Any) -> NoReturn:
    """float(x), range(x), numpy.array(x): a graph value has no elements yet."""
    raise DlcError(f"a graph value has no elements while the graph is built ({describe(self)})",
                   here(), "arrays come out of dlc.evaluate or of a loaded program; "
                   "dlc.take reads at computed indices")


def formatted(self: Node, spec: str) -> str:
    """f"{x}", as str(x). Raises DlcError for a number's format, such as f"{x:.2f}"."""
    if spec:
        refuse_number(self)
    return str(self)


def refuse_assignment(self: Node, key: Any, value: Any) -> NoReturn:
    """x[i] = value: values are never changed."""
    raise DlcError(f"a graph value can't be changed ({describe(self)})", here(),
                   "dlc.where(mask, new, x) gives a new one; dlc.concat joins pieces")


def install() -> None:
    """Give Node these methods."""
    methods: dict[str, Callable[..., Any]] = {
        "__array_ufunc__": array_ufunc, "__array_function__": array_function,
        "__setitem__": refuse_assignment, "__format__": formatted}
    for name in ("__array__", "__float__", "__int__", "__index__", "__complex__"):
        methods[name] = refuse_number
    for name, method in methods.items():
        setattr(Node, name, method)
