"""Arguments of the wrong kind give a DlcError, of layers, losses, activations and axes."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, augment, linalg, nn, optim

X = np.ones((2, 3), np.float32)
OWN = str(Path(dlc.__file__).parent)
WRONG = ("x", None, -1, 1.5, (1, 2, 3), {}, object(), float("nan"), True, [[1]])
GOOD = {"rate": 0.1, "kernel": 3, "units": 3, "shape": (2, 3)}
AXES = (-5, 5, (0, -5), (0, 0), "x", 1.5, True, (), [7])
PUBLIC = {f"{space.__name__}.{name}": getattr(space, name) for space in (nn, augment, optim)
          for name in space.__all__ if inspect.isfunction(getattr(space, name))}
# functions of an axis, with the operands beside x
ALONE = ("mean", "std", "variance", "norm", "median", "mode", "sum", "prod", "max", "min",
         "argmax", "argmin", "logsumexp", "nanmean", "nansum", "nanmax", "ptp", "cumsum", "cumprod",
         "cummax", "sort", "argsort", "flip", "count_nonzero", "max_with_indices", "diff",
         "unstack", "expand_dims", "squeeze")
OVER: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(ALONE, ()),
    "quantile": (0.5,), "top_k": (2,), "repeat": (2,), "split": (1,), "roll": (1,),
    "take": (np.zeros(2, np.int32),)}


def refused_or_taken(function: Callable[..., Any], *args: Any, **named: Any) -> None:
    """Call it; fails for an exception of Python's from within dlc."""
    try:
        function(*args, **named)
    except DlcError:
        return
    except Exception as problem:
        inside = [f"{frame.filename}:{frame.lineno}"
                  for frame in traceback.extract_tb(problem.__traceback__)
                  if frame.filename.startswith(OWN)]
        assert not inside, f"{args} {named}: {problem!r} at {inside[-1]}"


def calls(function: Callable[..., Any]) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    """A call for each argument and each wrong value, with others that fit."""
    parameters = list(inspect.signature(function).parameters.values())
    for wrong in WRONG:
        for one in parameters:
            args: list[Any] = []
            named: dict[str, Any] = {}
            for each in parameters:
                needed = each.default is each.empty and each.kind is not each.KEYWORD_ONLY
                if each is one and not needed:
                    named[each.name] = wrong
                elif each is one:
                    args.append(wrong)
                elif needed and each.kind is each.POSITIONAL_OR_KEYWORD:
                    args.append(GOOD.get(each.name, 2))
            yield args, named


@pytest.mark.parametrize("name", PUBLIC)
def test_a_wrong_argument_is_an_error_of_dlc(name: str) -> None:
    for args, named in calls(PUBLIC[name]):
        refused_or_taken(PUBLIC[name], *args, **named)


@pytest.mark.parametrize("name", OVER)
def test_a_wrong_axis_is_an_error_of_dlc(name: str) -> None:
    for axis in AXES:
        refused_or_taken(getattr(dlc, name), X, *OVER[name], axis=axis)
    with pytest.raises(DlcError, match=r"ax[ei]s"):
        getattr(dlc, name)(X, *OVER[name], axis=-5)


@pytest.mark.parametrize("axis", AXES)
def test_joins_and_norms_name_their_axes(axis: Any) -> None:
    refused_or_taken(dlc.concat, [X, X], axis=axis)
    refused_or_taken(dlc.stack, [X, X], axis=axis)
    for norm in (linalg.norm, linalg.vector_norm, linalg.matrix_norm):
        refused_or_taken(norm, X, axis=axis)


def test_a_constant_of_an_activation_fits_its_dtype() -> None:
    with pytest.raises(DlcError, match=r"beside i32\[3\]: 1.5 is not of dtype i32"):
        nn.hard_tanh(np.arange(3, dtype=np.int32), -1, 1.5)
    with pytest.raises(DlcError, match="alpha=0"):
        nn.celu(X, 0)
