"""ONNX's Fourier transforms, as products with constant matrices."""

from __future__ import annotations

import numpy as np

import dlc
from dlc.errors import DlcError
from dlc.ir.graph import Node
from dlc.onnx.call import Call, Results, array, axis_of, converts

LONGEST = 4096  # of a transform: its matrix has as many rows and columns


@converts("DFT")
def dft(call: Call) -> Results:
    """x [..., 1 or 2] (real, or real and imaginary) along an axis."""
    x = call.x()
    axis = int(call.scalar(2, -2)) if call.opset >= 20 else call.integer("axis", 1)
    axis = axis_of(axis, x.ndim)
    if axis == x.ndim - 1:
        raise DlcError(f"axis {axis} holds the real and imaginary parts")
    inverse, onesided = call.flag("inverse"), call.flag("onesided")
    size = int(x.shape[axis])
    usual = 2 * (size - 1) if inverse and onesided else size
    return transform(call, x, axis, int(call.scalar(1, usual)), inverse, onesided)


def transform(call: Call, x: Node, axis: int, length: int, inverse: bool,
              onesided: bool) -> Node:
    """The transform of `length` along an axis; shorter input is filled up with zeros."""
    if not 1 <= length <= LONGEST:
        raise DlcError(f"a transform of length {length}", None, f"lengths are 1 .. {LONGEST}")
    if int(x.shape[-1]) not in (1, 2):
        raise DlcError(f"{x.type} has no numbers in its last axis", None, "1 (real) or 2 (complex)")
    columns = length // 2 + 1 if onesided else length
    for part in ("cosines", "sines"):
        call.walk.knows.spend(min(int(x.shape[axis]), length) * columns, part)
    order = [*(a for a in range(x.ndim - 1) if a != axis), axis]
    parts = [dlc.transpose(x[..., i], order) for i in range(int(x.shape[-1]))]
    if inverse and onesided:
        result = [one_sided_inverse(parts, length)]
    else:
        read = parts[0].shape[-1] if int(parts[0].shape[-1]) < length else length
        parts = [p[..., :int(read)] for p in parts]
        result = two_sided(parts, int(read), length, inverse,
                           length // 2 + 1 if onesided else length)
    back = np.argsort(order).tolist()
    moved = [dlc.transpose(r, back) for r in result]
    return dlc.concat([dlc.reshape(m, (*m.shape, 1)) for m in moved], -1)


def waves(rows: int, columns: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of 2 pi n k / length, [rows, columns]."""
    turn = 2 * np.pi * (np.outer(np.arange(rows), np.arange(columns)) % length) / length
    return np.cos(turn), np.sin(turn)


def two_sided(parts: list[Node], read: int, length: int, inverse: bool, kept: int) -> list[Node]:
    """[real, imaginary] of the sums of x[n] exp(-+ 2 pi i n k / length)."""
    cos, sin = waves(read, kept, length)
    scale = 1 / length if inverse else 1.0
    c, s = array(cos * scale, parts[0].dtype), array(sin * scale, parts[0].dtype)
    if len(parts) == 1:
        turned = dlc.matmul(parts[0], s)
        return [dlc.matmul(parts[0], c), turned if inverse else -turned]
    re, im = parts
    if inverse:
        return [dlc.matmul(re, c) - dlc.matmul(im, s), dlc.matmul(re, s) + dlc.matmul(im, c)]
    return [dlc.matmul(re, c) + dlc.matmul(im, s), dlc.matmul(im, c) - dlc.matmul(re, s)]


def one_sided_inverse(parts: list[Node], length: int) -> Node:
    """The real signal of `length` whose first half of frequencies is given."""
    count = min(length // 2 + 1, int(parts[0].shape[-1]))
    cos, sin = waves(count, length, length)
    # every frequency but 0 and the middle one stands for its conjugate too
    twice = np.full((count, 1), 2.0)
    twice[0] = 1.0
    if length % 2 == 0 and count == length // 2 + 1:
        twice[-1] = 1.0
    c, s = (array(m * twice / length, parts[0].dtype) for m in (cos, sin))
    real = dlc.matmul(parts[0][..., :count], c)
    return real if len(parts) == 1 else real - dlc.matmul(parts[1][..., :count], s)


@converts("STFT")
def stft(call: Call) -> Results:
    """Frames of the signal [batch, time(, 1 or 2)], windowed, each transformed."""
    x, step = call.x(), int(call.scalar(1))
    x = dlc.reshape(x, (*x.shape, 1)) if x.ndim == 2 else x
    window = call.maybe(2)
    length = call.scalar(3, int(window.shape[0]) if window is not None else None)
    if length is None or step < 1 or not 1 <= length <= int(x.shape[1]):
        raise DlcError(f"frames of {length}, each {step} after the one before, of {x.type}")
    moved = dlc.transpose(x, (0, 2, 1))
    frames = dlc.transpose(dlc.window(moved, (int(length),), (step,)), (0, 2, 3, 1))
    if window is not None:
        frames = frames * dlc.reshape(window, (-1, 1))
    return transform(call, frames, 2, int(length), False, call.flag("onesided", True))
