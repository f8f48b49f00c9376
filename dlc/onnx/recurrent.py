"""ONNX's recurrent layers: RNN, GRU and LSTM in both directions, as scans over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import dlc
from dlc.errors import DlcError
from dlc.ir.graph import Node
from dlc.ir.types import i32
from dlc.onnx.call import Call, Results, array, chosen, converts
from dlc.onnx.control import UNROLLED, stacked

Activation = Callable[[Node], Node]
Cell = Callable[[Node, tuple[Node, ...]], tuple[Node, ...]]
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
USUAL = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}
PLAIN: dict[str, Activation] = {
    "tanh": lambda x: dlc.tanh(x), "sigmoid": lambda x: dlc.sigmoid(x),
    "relu": lambda x: dlc.relu(x), "softsign": lambda x: x / (dlc.abs(x) + 1.0),
    "softplus": lambda x: dlc.nn.softplus(x)}
# activations with numbers alpha and beta, and their usual values
WITH_NUMBERS: dict[str, tuple[Callable[[Node, float, float], Node], float, float]] = {
    "affine": (lambda x, a, b: x * a + b, 1.0, 0.0),
    "leakyrelu": (lambda x, a, b: dlc.where(x < 0, x * a, x), 0.01, 0.0),
    "thresholdedrelu": (lambda x, a, b: dlc.where(x > a, x, 0.0), 1.0, 0.0),
    "scaledtanh": (lambda x, a, b: dlc.tanh(x * b) * a, 1.0, 1.0),
    "hardsigmoid": (lambda x, a, b: dlc.clip(x * a + b, 0.0, 1.0), 0.2, 0.5),
    "elu": (lambda x, a, b: dlc.where(x < 0, dlc.expm1(dlc.minimum(x, 0.0)) * a, x), 1.0, 0.0)}


@dataclass(frozen=True)
class Direction:
    """One direction: its weights, biases, activations and first states."""

    w: Node
    r: Node
    wb: Node
    rb: Node
    first: tuple[Node, ...]
    peepholes: Sequence[Node]
    act: Sequence[Activation]


@converts("RNN", "GRU", "LSTM")
def recurrent(call: Call) -> Results:
    """X [time, batch, input] (or batch first, with layout 1) to Y, the last h, and for LSTM c."""
    x = call.x()
    batch_first = bool(call.integer("layout"))
    x = dlc.transpose(x, (1, 0, 2)) if batch_first else x
    way = chosen("direction", call.text("direction", "forward"),
                 ("forward", "reverse", "bidirectional"))
    ways = [False, True] if way == "bidirectional" else [way == "reverse"]
    if int(call.x(1).shape[0]) != len(ways):
        raise DlcError(f"W is {call.x(1).type} for {len(ways)} directions")
    lengths = call.maybe(4)
    found = [run(call, direction(call, x, d, batch_first, len(ways)), x, back, lengths)
             for d, back in enumerate(ways)]
    y = stacked([f[0] for f in found], 1)
    last = [stacked(list(states)) for states in zip(*(f[1] for f in found), strict=True)]
    if batch_first:
        y = dlc.transpose(y, (2, 0, 1, 3))
        last = [dlc.transpose(s, (1, 0, 2)) for s in last]
    return (y, *last)


def direction(call: Call, x: Node, d: int, batch_first: bool, count: int) -> Direction:
    """The d-th direction's part of the operands."""
    kind, w, r = call.name, call.x(1)[d], call.x(2)[d]
    hidden, batch = int(r.shape[-1]), int(x.shape[1])
    gates = GATES[kind] * hidden
    zeros = dlc.broadcast_to(array(0, x.dtype), (gates,))
    bias = call.maybe(3)
    wb, rb = (zeros, zeros) if bias is None else (bias[d, :gates], bias[d, gates:])
    blank = dlc.broadcast_to(array(0, x.dtype), (batch, hidden))
    first = []
    for position in (5, 6) if kind == "LSTM" else (5,):
        given = call.maybe(position)
        first.append(blank if given is None else given[:, d] if batch_first else given[d])
    peep = call.maybe(7) if kind == "LSTM" else None
    peepholes = () if peep is None else [peep[d, i * hidden:(i + 1) * hidden] for i in range(3)]
    return Direction(w, r, wb, rb, tuple(first), peepholes, activations(call, d, count))


def activations(call: Call, d: int, count: int) -> list[Activation]:
    """The activations of a direction, clipped where the file says so."""
    usual = USUAL[call.name]
    names = [str(n).lower() for n in call.get("activations") or usual * count]
    alphas = list(call.get("activation_alpha") or ())
    betas = list(call.get("activation_beta") or ())
    if names == ["tanh", "tanh"]:  # the schema's value, for an RNN of either kind
        names = names[:len(usual) * count]
    if len(names) != len(usual) * count:
        raise DlcError(f"{len(names)} activations, {len(usual)} a direction are needed")
    found: list[Activation] = []
    for name in names:
        if name in PLAIN:
            found.append(PLAIN[name])
            continue
        chosen("activation", name, (*PLAIN, *WITH_NUMBERS))
        function, a, b = WITH_NUMBERS[name]
        a = alphas.pop(0) if alphas else a
        b = betas.pop(0) if betas and name in ("affine", "scaledtanh", "hardsigmoid") else b
        found.append(lambda x, f=function, a=a, b=b: f(x, a, b))  # type: ignore[misc]
    clip = call.get("clip")
    part = found[d * len(usual):(d + 1) * len(usual)]
    if clip is None:
        return part
    return [lambda x, f=f: f(dlc.clip(x, -clip, clip)) for f in part]  # type: ignore[misc]


def within(lengths: Node | None, steps: int, batch: int) -> Node:
    """bool [steps, batch, 1]: the times before a sequence's end."""
    if lengths is None:
        return dlc.broadcast_to(array(True), (steps, batch, 1))
    return dlc.iota((steps, 1, 1), 0, i32) < dlc.reshape(dlc.cast(lengths, i32), (1, -1, 1))


def run(call: Call, at: Direction, x: Node, back: bool,
        lengths: Node | None) -> tuple[Node, tuple[Node, ...]]:
    """(h at every time [time, batch, hidden], the last states) of one direction."""
    cell = {"RNN": rnn_cell, "GRU": gru_cell, "LSTM": lstm_cell}[call.name](call, at)
    # the inputs' part of all gates, for all times in one product
    given = dlc.matmul(x, at.w.T) + at.wb
    steps = int(x.shape[0])
    live = within(lengths, steps, int(x.shape[1]))
    if back:
        given, live = dlc.flip(given, 0), dlc.flip(live, 0)

    def step(state: Any, element: Any) -> Any:
        """Beyond a sequence's end the states stay, and the result is 0."""
        now, alive = element
        new = cell(now, state)
        kept = tuple(dlc.where(alive, n, o) for n, o in zip(new, state, strict=True))
        return kept, dlc.where(alive, new[0], 0.0)

    if 0 < steps <= UNROLLED:
        state, rows = at.first, []
        for t in range(steps):
            state, row = step(state, (given[t], live[t]))
            rows.append(row)
        y = stacked(rows)
    else:
        state, y = dlc.scan(step, at.first, (given, live))
    return (dlc.flip(y, 0) if back else y), state


def parts(x: Node, count: int) -> list[Node]:
    """Equal parts of the last axis."""
    size = int(x.shape[-1]) // count
    return [x[..., i * size:(i + 1) * size] for i in range(count)]


def rnn_cell(call: Call, at: Direction) -> Cell:
    """Elman 1990."""
    def cell(now: Node, state: tuple[Node, ...]) -> tuple[Node, ...]:
        return (at.act[0](now + dlc.matmul(state[0], at.r.T) + at.rb),)

    return cell


def gru_cell(call: Call, at: Direction) -> Cell:
    """Cho et al. 2014; gates z, r, h. linear_before_reset is Chung et al. 2014's order."""
    hidden = int(at.r.shape[-1])

    def cell(now: Node, state: tuple[Node, ...]) -> tuple[Node, ...]:
        (h,) = state
        z, r, n = parts(now, 3)
        past = dlc.matmul(h, at.r[:2 * hidden].T) + at.rb[:2 * hidden]
        update, reset = (at.act[0](g + p) for g, p in zip((z, r), parts(past, 2), strict=True))
        own, bias = at.r[2 * hidden:].T, at.rb[2 * hidden:]
        if call.integer("linear_before_reset"):
            inner = reset * (dlc.matmul(h, own) + bias)
        else:
            inner = dlc.matmul(reset * h, own) + bias
        return ((1.0 - update) * at.act[1](n + inner) + update * h,)

    return cell


def lstm_cell(call: Call, at: Direction) -> Cell:
    """Hochreiter and Schmidhuber 1997 with forget gates and peepholes; gates i, o, f, c."""
    coupled = bool(call.integer("input_forget"))

    def cell(now: Node, state: tuple[Node, ...]) -> tuple[Node, ...]:
        h, c = state
        i, o, f, g = parts(now + dlc.matmul(h, at.r.T) + at.rb, 4)
        if at.peepholes:
            i, f = i + at.peepholes[0] * c, f + at.peepholes[2] * c
        enter = at.act[0](i)
        forget = 1.0 - enter if coupled else at.act[0](f)
        new = forget * c + enter * at.act[1](g)
        o = o + at.peepholes[1] * new if at.peepholes else o
        return at.act[0](o) * at.act[2](new), new

    return cell
