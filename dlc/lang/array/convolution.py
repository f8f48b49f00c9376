"""Convolution and transposed convolution over any number of spatial axes: padding rules, groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe, make
from dlc.ops.contract import CONV
from dlc.ops.convert import as_nodes, common_type
from dlc.ops.varying import is_varying, present, windowed
from dlc.ops.view import flip, reshape, transpose

PerAxis = int | Sequence[int]
Pads = tuple[tuple[int, int], ...]
WORDS = ("valid", "same", "same_lower")
WHOLE = (int, np.integer)


def per_axis(value: PerAxis, n: int) -> tuple[int, ...]:
    """One number per spatial axis; an int stands for all."""
    return (value,) * n if isinstance(value, int) else tuple(value)


def whole_numbers(what: str, n: int, low: int, **values: Any) -> list[tuple[int, ...]]:
    """Each value as one int for each of `n` spatial axes, none below `low`.

    Raises DlcError that names the value for anything else.
    """
    found = []
    for name, value in values.items():
        parts = value if isinstance(value, (tuple, list)) else (value,) * n
        if not all(isinstance(p, WHOLE) and not isinstance(p, bool) for p in parts):
            raise DlcError(f"{what}: {name}={value!r} is not a whole number", here(),
                           f"{name} is an int, or one for each of {n} spatial axes")
        if len(parts) != n:
            raise DlcError(f"{what}: {name}={value!r} has {len(parts)} entries", here(),
                           f"{name} is an int, or one for each of {n} spatial axes")
        if min(parts, default=low) < low:
            raise DlcError(f"{what}: {name}={value!r} is too small", here(),
                           f"{name} is at least {low}")
        found.append(tuple(map(int, parts)))
    return found


def pads_of(what: str, padding: Any, n: int) -> Pads:
    """(low, high) per spatial axis from an int, one int an axis, or one pair an axis."""
    listed = (padding,) * n if isinstance(padding, WHOLE) else padding
    try:
        pairs = tuple((int(p), int(p)) if isinstance(p, WHOLE) else (int(p[0]), int(p[1]))
                      for p in listed)
    except (TypeError, ValueError, IndexError):
        pairs = ()
    if isinstance(padding, str) or len(pairs) != n:
        words = ", ".join(f'"{w}"' for w in WORDS)
        raise DlcError(f"{what}: padding={padding!r} does not match {n} spatial axes", here(),
                       f"an int, {n} ints, {n} pairs (low, high), or one of {words}")
    return pairs


def same_pads(sizes: Sequence[int], windows: Sequence[int], stride: Sequence[int],
              lower: bool = False) -> Pads:
    """Padding after which size / stride windows (rounded up) fit; an odd element goes after, with
    `lower` before. `windows` are the reach of a window, dilation included."""
    totals = [max(0, (-(-s // st) - 1) * st + w - s)
              for s, w, st in zip(sizes, windows, stride, strict=True)]
    pairs = [(t // 2, t - t // 2) for t in totals]
    return tuple((b, a) if lower else (a, b) for a, b in pairs)


def window_pads(what: str, padding: Any, sizes: Sequence[int], windows: Sequence[int],
                stride: Sequence[int]) -> Pads:
    """(low, high) per spatial axis from any padding rule of convolutions and pools."""
    word = padding.lower() if isinstance(padding, str) else ""
    if word == "valid":
        return ((0, 0),) * len(sizes)
    if word in ("same", "same_lower"):
        return same_pads(sizes, windows, stride, word == "same_lower")
    return pads_of(what, padding, len(sizes))


def reach(size: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
    """Elements from the first to the last of a dilated window."""
    return tuple((k - 1) * d + 1 for k, d in zip(size, dilation, strict=True))


def _operands(what: str, x: Any, w: Any, groups: Any) -> tuple[Node, Node, int]:
    """Input and kernel in one dtype, and the number of spatial axes; raises DlcError for ranks
    that differ and for groups that are not positive int."""
    a, b = as_nodes(x, w)
    if a.ndim < 3 or b.ndim != a.ndim:
        raise DlcError(f"{what}({describe(a)}, {describe(b)}): ranks {a.ndim} and {b.ndim}",
                       here(), "input [N, C, S...] and kernel have one rank, of at least 3")
    whole_numbers(what, 1, 1, groups=groups)
    a, b = common_type(what, a, b)
    return a, b, a.ndim - 2


def conv(x: Any, w: Any, stride: PerAxis = 1, padding: Any = 0, dilation: PerAxis = 1,
         groups: int = 1) -> Node:
    """Cross-correlation of x [N, C, S...] with w [O, C/groups, K...]: [N, O, S'...].

    `padding` is an int, one int or (low, high) per axis (negative ones cut), "valid", "same" or
    "same_lower" (S' is S / stride rounded up; the odd element goes after, or before). Depthwise
    with multiplier m: groups=C, w [m * C, 1, K...]. Sizes: Dumoulin and Visin 2016. Raises
    DlcError for strides, dilations or groups below 1, channels that do not divide into groups, and
    a kernel larger than the padded input.
    """
    a, b, n = _operands("conv", x, w, groups)
    if a.shape[1] % groups or b.shape[0] % groups:
        raise DlcError(f"conv({describe(a)}, {describe(b)}): groups={groups} does not divide "
                       f"{int(a.shape[1])} input channels and {int(b.shape[0])} output channels",
                       here(), "input [N, C, S...], kernel [O, C / groups, K...]")
    if a.shape[1] != b.shape[1] * groups:
        raise DlcError(f"conv({describe(a)}, {describe(b)}): {int(a.shape[1])} input channels in "
                       f"{groups} groups, the kernel takes {int(b.shape[1])} each", here(),
                       f"the kernel needs shape [{int(b.shape[0])}, "
                       f"{int(a.shape[1]) // groups}, ...]")
    step, holes = whole_numbers("conv", n, 1, stride=stride, dilation=dilation)
    spatial = tuple(map(int, b.shape[2:]))
    pads = window_pads("conv", padding, tuple(map(int, a.shape[2:])), reach(spatial, holes), step)
    numbers_for_varying("conv", a, n, padding, step)
    y = _grouped_conv(present(a, tuple(range(2, a.ndim)), 0), b, groups, stride=step, padding=pads,
                      lhs_dilation=(1,) * n, rhs_dilation=holes)
    return over_windows("conv", y, a, n, reach(spatial, holes), step, pads)


def numbers_for_varying(what: str, x: Node, n: int, padding: Any, step: Sequence[int]) -> None:
    """Raise DlcError for padding that depends on the length of an axis that has several."""
    for dim, by in zip(x.shape[x.ndim - n:], step, strict=True):
        if isinstance(padding, str) and padding.lower() != "valid" and is_varying(dim) and (
                by != 1 or padding == "ceil_mode"):
            told = padding if padding == "ceil_mode" else f"padding={padding!r} with stride {by}"
            raise DlcError(f"{what}({describe(x)}): {told} depends on each row's length", here(),
                           "give the padding as numbers, e.g. padding=1")


def over_windows(what: str, y: Node, x: Node, n: int, reaches: Sequence[int], step: Sequence[int],
                 pads: Pads) -> Node:
    """y, whose axes from the third on count windows over the last `n` axes of x, with the lengths
    of those that vary."""
    for a in range(n):
        at = x.ndim - n + a
        y = windowed(y, at, x, at, (reaches[a], step[a], *pads[a]), what)
    return y


def _grouped_conv(x: Node, w: Node, groups: int, **attrs: Any) -> Node:
    """CONV of x [N, C, S...] and w [O, C/groups, K...] with a group axis where there are several.
    """
    if groups == 1:
        return make(CONV, (x, w), grouped=False, **attrs)
    x = reshape(x, (x.shape[0], groups, x.shape[1] // groups, *x.shape[2:]))
    w = reshape(w, (groups, w.shape[0] // groups, *w.shape[1:]))
    y = make(CONV, (x, w), grouped=True, **attrs)
    return reshape(y, (y.shape[0], y.shape[1] * y.shape[2], *y.shape[3:]))


def conv_transpose(x: Any, w: Any, stride: PerAxis = 1, padding: Any = 0,
                   output_padding: PerAxis = 0, dilation: PerAxis = 1, groups: int = 1) -> Node:
    """The transpose of `conv` in its input: x [N, C, S...] with w [C, O/groups, K...] to
    [N, O, S'...], S' = (S - 1) * stride - low - high + dilation * (K - 1) + output_padding + 1.

    `padding` is what `conv` would have: an int, one int or (low, high) per axis, "valid", or
    "same" and "same_lower" (S' = S * stride). `output_padding` (below stride or dilation) adds to
    the end, for sizes that stride rounded away. Meaning as PyTorch's conv_transpose2d (Dumoulin
    and Visin 2016, chapter 4). Raises DlcError as `conv` does, and for an empty result.
    """
    what = "conv_transpose"
    a, b, n = _operands(what, x, w, groups)
    if a.shape[1] != b.shape[0] or a.shape[1] % groups:
        raise DlcError(f"{what}({describe(a)}, {describe(b)}): {int(a.shape[1])} input channels in "
                       f"{groups} groups, the kernel takes {int(b.shape[0])}", here(),
                       "input [N, C, S...], kernel [C, O / groups, K...]")
    step, holes = whole_numbers(what, n, 1, stride=stride, dilation=dilation)
    (extra,) = whole_numbers(what, n, 0, output_padding=output_padding)
    if any(e >= max(s, d) for e, s, d in zip(extra, step, holes, strict=True)):
        raise DlcError(f"{what}: output_padding={output_padding!r} with stride {step} and dilation "
                       f"{holes}", here(), "it must be smaller than the stride or the dilation")
    windows = reach(tuple(map(int, b.shape[2:])), holes)
    pads = _transposed_pads(what, padding, windows, step, extra)
    sizes = [(int(d) - 1) * s - lo - hi + r + e for d, s, (lo, hi), r, e in zip(
        a.shape[2:], step, pads, windows, extra, strict=True)]
    if min(sizes) < 1:
        raise DlcError(f"{what}({describe(a)}, {describe(b)}): the result would have sizes {sizes}",
                       here(), "pad less: padding takes away from the result")
    inner = tuple((r - 1 - lo, r - 1 - hi + e)
                  for r, (lo, hi), e in zip(windows, pads, extra, strict=True))
    return _grouped_conv(a, _turned(b, groups), groups, stride=(1,) * n, padding=inner,
                         lhs_dilation=step, rhs_dilation=holes)


def _transposed_pads(what: str, padding: Any, windows: Sequence[int], stride: Sequence[int],
                     extra: Sequence[int]) -> Pads:
    word = padding.lower() if isinstance(padding, str) else ""
    if word not in ("same", "same_lower"):
        return ((0, 0),) * len(windows) if word == "valid" else pads_of(what, padding, len(windows))
    pairs = []
    for r, s, e in zip(windows, stride, extra, strict=True):
        total = r - s + e
        # a kernel smaller than the stride lacks elements, which are added at the end
        low = total // 2 if total > 0 else 0
        pairs.append((total - low, low) if word == "same_lower" and total > 0
                     else (low, total - low))
    return tuple(pairs)


def _turned(w: Node, groups: int) -> Node:
    """w [C, O/groups, K...] as the kernel [O, C/groups, K...] of a correlation, flipped."""
    spatial = tuple(range(2, w.ndim))
    turned = flip(w, spatial)
    c, o = int(w.shape[0]) // groups, int(w.shape[1])
    turned = reshape(turned, (groups, c, o, *w.shape[2:]))
    turned = transpose(turned, (0, 2, 1, *(a + 1 for a in spatial)))
    return reshape(turned, (groups * o, c, *w.shape[2:]))
