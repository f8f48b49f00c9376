"""Recurrent layers: plain, gated (GRU) and with memory (LSTM), over sequences and one step.

Sequences are [batch, time, features]. The product with the inputs is one matmul over all times,
before the loop; only the product with the state stands inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.ir.types import Type, i32, i64
from dlc.lang.array import rearrange
from dlc.lang.layer import Layer
from dlc.lang.loops import scan
from dlc.lang.scope import (
    Initializer,
    decoding,
    parameter,
    state,
    training,
    update_state,
)
from dlc.nn import checks
from dlc.nn.convolution import like_weight
from dlc.ops import contract, elementwise, gather, reduce, varying, view
from dlc.ops.leaf import constant, iota
from dlc.ops.varying import is_varying

State = tuple[Node, ...]
# (input part [batch, gates * units], product of weight and state, state) -> new state
Step = Callable[[Sequence[Node], Sequence[Node], State], State]


@dataclass(frozen=True)
class Cell:
    """One kind of recurrence: its gates, how many arrays its state has, and its step.

    `step` takes the gates' parts from the input, those from the state, and the old state. With
    `second_bias` the part from the state has a bias of its own; with `peepholes` gates see memory.
    """

    kind: str
    gates: int
    parts: int
    step: Step
    second_bias: bool = False
    peepholes: bool = False


def _lstm_step(inputs: Sequence[Node], hidden: Sequence[Node], state: State) -> State:
    """Input, forget and output gates i, f, o and the candidate g, in PyTorch's order i f g o."""
    i, f, g, o = (a + b for a, b in zip(inputs, hidden, strict=True))
    memory = elementwise.sigmoid(f) * state[1] + elementwise.sigmoid(i) * elementwise.tanh(g)
    return elementwise.sigmoid(o) * elementwise.tanh(memory), memory


def _peephole_step(inputs: Sequence[Node], hidden: Sequence[Node], state: State,
                   peephole: Node) -> State:
    """`_lstm_step` whose gates i and f see the old memory and o the new one, each unit its own."""
    seen_i, seen_f, seen_o = rearrange.split(peephole, 3, 0)
    i, f, g, o = (a + b for a, b in zip(inputs, hidden, strict=True))
    memory = (elementwise.sigmoid(f + seen_f * state[1]) * state[1]
              + elementwise.sigmoid(i + seen_i * state[1]) * elementwise.tanh(g))
    return elementwise.sigmoid(o + seen_o * memory) * elementwise.tanh(memory), memory


def _gru_step(inputs: Sequence[Node], hidden: Sequence[Node], state: State) -> State:
    """Reset and update gates r, z and the candidate n; r scales the product, after its bias."""
    r = elementwise.sigmoid(inputs[0] + hidden[0])
    z = elementwise.sigmoid(inputs[1] + hidden[1])
    n = elementwise.tanh(inputs[2] + r * hidden[2])
    return ((1.0 - z) * n + z * state[0],)


LSTM = Cell("lstm", 4, 2, _lstm_step)
GRU = Cell("gru", 3, 1, _gru_step, second_bias=True)


def _plain(activation: Callable[[Node], Node]) -> Cell:
    return Cell("rnn", 1, 1, lambda i, h, _: (activation(i[0] + h[0]),))


def _biased(cell: Cell, bias: bool, hidden_bias: bool) -> Cell:
    """`cell`, with a bias of its own for the part from the state where that is asked for."""
    checks.truth(cell.kind, bias=bias, hidden_bias=hidden_bias)
    if hidden_bias and not bias:
        raise DlcError(f"nn.{cell.kind}: hidden_bias=True with bias=False", here(),
                       "hidden_bias is a second bias, beside the first")
    return replace(cell, second_bias=True) if hidden_bias else cell


@dataclass(frozen=True)
class _Weights:
    """The parameters of one direction of one layer."""

    inputs: Node
    hidden: Node
    bias: Node | None
    hidden_bias: Node | None
    peephole: Node | None

    def ahead(self, x: Node) -> Node:
        """What the input gives to the gates: [..., features] -> [..., gates * units]."""
        y = contract.matmul(x, self.inputs)
        return y if self.bias is None else y + self.bias

    def advance(self, cell: Cell, row: Node, state: State) -> State:
        """The state after one step; row [batch, gates * units] is the input's part."""
        product = contract.matmul(state[0], self.hidden)
        if self.hidden_bias is not None:
            product = product + self.hidden_bias
        if self.peephole is not None:
            return _peephole_step(_gates(row, cell), _gates(product, cell), state, self.peephole)
        return cell.step(_gates(row, cell), _gates(product, cell), state)


def _gates(x: Node, cell: Cell) -> list[Node]:
    return rearrange.split(x, cell.gates, -1) if cell.gates > 1 else [x]


def _weights(cell: Cell, units: int, x: Node, suffix: str, bias: bool,
             weight_init: Initializer | None) -> _Weights:
    """weight_input [features, gates * units], weight_hidden [units, gates * units], bias and, with
    a second one, bias_hidden [gates * units]: uniform within 1/sqrt(units), as in PyTorch."""
    wide, start = cell.gates * units, weight_init or like_weight(units)

    def make(name: str, *shape: int) -> Node:
        return parameter(name + suffix, Type(x.dtype, shape), start)

    inputs = make("weight_input", int(x.shape[-1]), wide)
    hidden = make("weight_hidden", units, wide)
    first = _bias(cell, x, units, "bias" + suffix) if bias else None
    second = _bias(cell, x, units, "bias_hidden" + suffix) if bias and cell.second_bias else None
    peephole = make("peephole", 3 * units) if cell.peepholes else None
    return _Weights(inputs, hidden, first, second, peephole)


def _bias(cell: Cell, x: Node, units: int, name: str) -> Node:
    return parameter(name, Type(x.dtype, (cell.gates * units,)), like_weight(units))


def _direction(cell: Cell, weights: _Weights, x: Node, start: State, reverse: bool,
               there: Node | None) -> tuple[Node, State]:
    """(states [batch, time, units], final state) of one direction over x [batch, time, ...].

    Where `there` [time, batch, 1] is false the state stays and the output is 0.
    """
    rows = rearrange.moveaxis(weights.ahead(x), 1, 0)

    def step(state: State, row: Node) -> tuple[State, Node]:
        after = weights.advance(cell, row, state)
        return after, after[0]

    def guarded(state: State, given: tuple[Node, Node]) -> tuple[State, Node]:
        row, now = given
        after = tuple(elementwise.where(now, new, old) for new, old in zip(
            weights.advance(cell, row, state), state, strict=True))
        return after, elementwise.where(now, after[0], 0.0)

    if there is None:
        final, outputs = scan(step, start, rows, reverse=reverse)
    else:
        final, outputs = scan(guarded, start, (rows, there), reverse=reverse)
    return rearrange.moveaxis(outputs, 0, 1), tuple(final)


def _there(x: Node, lengths: Node) -> Node:
    """Which steps of x [batch, time, ...] belong to its sequences: bool [time, batch, 1]."""
    batch, time = map(int, x.shape[:2])
    if lengths.dtype not in (i32, i64) or tuple(map(int, lengths.shape)) != (batch,):
        raise DlcError(f"the lengths are {describe(lengths)}", here(),
                       f"they are i32 or i64 [{batch}]: one for each sequence")
    outside = elementwise.or_(lengths < 0, lengths > time)
    gather.note_check(reduce.any_(outside), f"a length outside 0 .. {time} of {describe(x)}")
    steps = iota((time, batch, 1), 0, lengths.dtype)
    return steps < view.reshape(lengths, (1, batch, 1))


RETURNS = ("sequence", "last", "both")


def _recurrent(cell: Cell, units: int, layers: int, bidirectional: bool, returns: str, bias: bool,
               weight_init: Initializer | None, name: str, carry: bool = False) -> Layer:
    kind = cell.kind
    checks.at_least(kind, 1, units=units, layers=layers)
    checks.truth(kind, carry=carry)
    if carry and bidirectional:
        raise DlcError(f"nn.{kind}: carry=True with bidirectional=True", here(),
                       "the reverse direction begins at the end of what there is")
    checks.one_of(kind, "returns", returns, RETURNS)
    directions = ("", "_reverse") if bidirectional else ("",)

    def apply(x: Node, *initial: Node, lengths: Node | None = None) -> Node | tuple[Node, ...]:
        checks.rank(x, 3, "[batch, time, features]", 3)
        checks.floating(x)
        if lengths is None and is_varying(x.shape[1]):
            lengths = varying.lengths(x)
        there = None if lengths is None else _there(x, lengths)
        kept = _kept(cell, x, layers, units) if _carries(carry, initial, bidirectional) else []
        starts = kept or _starts(cell, x, initial, layers * len(directions), units)
        finals: list[State] = []
        for level in range(layers):
            found = []
            for end in directions:
                suffix = (str(level + 1) if level else "") + end
                weights = _weights(cell, units, x, suffix, bias, weight_init)
                y, final = _direction(cell, weights, x, starts[len(finals)], bool(end), there)
                found.append(y)
                finals.append(final)
            x = view.concat(found, -1) if bidirectional else found[0]
        for handle, new in zip(kept, finals, strict=False):
            _keep(handle, new)
        return _returned(x, finals, len(directions), returns)

    return Layer(kind, apply, f"{kind}({units})", name, here())


def _carries(carry: bool, initial: Sequence[Node], bidirectional: bool) -> bool:
    """Whether the state goes on where the last window, or the last position, ended. Raises DlcError
    for a layer that looks ahead where one position is computed at a time."""
    if decoding() is not None and bidirectional:
        raise DlcError("a bidirectional layer can't be computed one position at a time", here())
    return not initial and (decoding() is not None or (carry and training()))


def _kept(cell: Cell, x: Node, layers: int, units: int) -> list[State]:
    """The state of each layer as dlc.state: carried, carried2, and for the LSTM's memory
    carried_memory; each [batch, units]."""
    kind = Type(x.dtype, (int(x.shape[0]), units))
    return [tuple(state(f"carried{part}{level + 1 if level else ''}", kind, each_epoch=True)
                  for part in ("", "_memory")[:cell.parts]) for level in range(layers)]


def _keep(handles: State, new: State) -> None:
    """Let the next step begin with `new`, into which no gradient flows from there."""
    for handle, value in zip(handles, new, strict=True):
        update_state(handle, value)


def _starts(cell: Cell, x: Node, initial: Sequence[Node], count: int, units: int) -> list[State]:
    """The first state of each layer and direction: zeros, or the rows of what was given."""
    batch = x.shape[0]
    if not initial:
        zero = constant(0.0, Type(x.dtype, (batch, units)))
        return [(zero,) * cell.parts] * count
    wanted = (count, int(batch), units)
    if len(initial) != cell.parts or any(tuple(map(int, s.shape)) != wanted for s in initial):
        shown = ", ".join(map(describe, initial))
        raise DlcError(f"the initial state is {shown}", here(),
                       f"it takes {cell.parts} of {x.dtype}[{count}, {int(batch)}, {units}]: "
                       "layers times directions, batch, units")
    return [tuple(s[i] for s in initial) for i in range(count)]


def _returned(sequence: Node, finals: Sequence[State], directions: int,
              returns: str) -> Node | tuple[Node, ...]:
    if returns == "sequence":
        return sequence
    if returns == "last":
        last = [final[0] for final in finals[-directions:]]
        return view.concat(last, -1) if directions > 1 else last[0]
    parts = zip(*finals, strict=True)
    return (sequence, *(rearrange.stack(list(part)) for part in parts))


# --- over sequences -------------------------------------------------------------------------------


def lstm(units: int, *, layers: int = 1, bidirectional: bool = False, returns: str = "sequence",
         bias: bool = True, hidden_bias: bool = False, peepholes: bool = False, carry: bool = False,
         weight_init: Initializer | None = None, name: str = "") -> Layer:
    """Long short-term memory over x [batch, time, features] -> [batch, time, units * directions].

    `returns` is "sequence", "last" (the final hidden state of the top layer, [batch, units *
    directions]) or "both": (sequence, h, c), the final states [layers * directions, batch, units].
    layer(x, h, c) starts from such states, else from zeros. layer(x, lengths=n) takes sequences of
    n [batch] steps (i32 or i64): past its length a sequence's state is frozen and its outputs are
    0, and the reverse direction starts at its last step, as with PyTorch's packed sequences; an
    axis with a bound ("time<=64") has its own lengths.
    `layers` are stacked, each in both directions if `bidirectional`. Parameters weight_input
    [features, 4 units], weight_hidden [units, 4 units], bias [4 units] in the order of gates
    i f g o; those of layer k > 1 end in k, of the reverse direction in _reverse. With `hidden_bias`
    also bias_hidden [4 units], which is added to the product with the state: PyTorch's and Keras'
    weights have it or not; with `peepholes` the gates i f o see the memory, each unit its own, by
    peephole [3 units]. Uniform within 1/sqrt(units).

    With `carry` training begins where the last step's windows ended, in the states carried [batch,
    units] and carried_memory, through which no gradient flows (truncated backpropagation through
    time): rows that follow each other are data in lanes ("text.txt?lanes=32"). An epoch of
    training, where the text begins again, and evaluation begin from zeros.

    Raises DlcError for states that do not fit, and for `carry` of a bidirectional layer; a length
    outside 0 .. time stops the step. Source: Hochreiter and Schmidhuber 1997; Gers et al. 2000 (the
    forget gate), 2002 (peepholes); meaning as PyTorch's LSTM with batch_first.
    """
    checks.truth("lstm", peepholes=peepholes)
    cell = replace(_biased(LSTM, bias, hidden_bias), peepholes=peepholes)
    return _recurrent(cell, units, layers, bidirectional, returns, bias, weight_init, name, carry)


def gru(units: int, *, layers: int = 1, bidirectional: bool = False, returns: str = "sequence",
        bias: bool = True, carry: bool = False, weight_init: Initializer | None = None,
        name: str = "") -> Layer:
    """Gated recurrent units over x [batch, time, features]; arguments and shapes as `lstm`.

    "both" gives (sequence, h); layer(x, h) starts from h. Parameters with 3 gates r z n, and
    bias_hidden [3 units] that the reset gate scales (Cho et al. 2014, as PyTorch's GRU).
    """
    return _recurrent(GRU, units, layers, bidirectional, returns, bias, weight_init, name, carry)


def rnn(units: int, *, layers: int = 1, bidirectional: bool = False, returns: str = "sequence",
        activation: Callable[[Node], Node] = elementwise.tanh, bias: bool = True,
        hidden_bias: bool = False, carry: bool = False, weight_init: Initializer | None = None,
        name: str = "") -> Layer:
    """h' = activation(x W + h U + b) over x [batch, time, features]; arguments as `lstm`.

    Source: Elman 1990. "both" gives (sequence, h); layer(x, h) starts from h.
    """
    _callable("rnn", activation)
    cell = _biased(_plain(activation), bias, hidden_bias)
    return _recurrent(cell, units, layers, bidirectional, returns, bias, weight_init, name, carry)


def _callable(kind: str, activation: object) -> None:
    if not callable(activation):
        raise DlcError(f"nn.{kind}: activation={activation!r} is not a function", here(),
                       "e.g. dlc.tanh or dlc.relu")


# --- one step -------------------------------------------------------------------------------------


def _one_step(cell: Cell, units: int, bias: bool, weight_init: Initializer | None,
              name: str) -> Layer:
    kind = f"{cell.kind}_cell"
    checks.at_least(kind, 1, units=units)

    def apply(x: Node, *state: Node) -> Node | tuple[Node, ...]:
        checks.rank(x, 2, "[batch, features]", 2)
        checks.floating(x)
        wanted = (int(x.shape[0]), units)
        if len(state) != cell.parts or any(tuple(map(int, s.shape)) != wanted for s in state):
            raise DlcError(f"the state is {', '.join(map(describe, state)) or 'missing'}", here(),
                           f"it takes {cell.parts} of {x.dtype}[{wanted[0]}, {units}]")
        weights = _weights(cell, units, x, "", bias, weight_init)
        after = weights.advance(cell, weights.ahead(x), state)
        return after if cell.parts > 1 else after[0]

    return Layer(kind, apply, f"{kind}({units})", name, here())


def lstm_cell(units: int, *, bias: bool = True, hidden_bias: bool = False,
              weight_init: Initializer | None = None, name: str = "") -> Layer:
    """One step of `lstm`: layer(x [batch, features], h, c [batch, units]) -> (h, c)."""
    return _one_step(_biased(LSTM, bias, hidden_bias), units, bias, weight_init, name)


def gru_cell(units: int, *, bias: bool = True, weight_init: Initializer | None = None,
             name: str = "") -> Layer:
    """One step of `gru`: layer(x [batch, features], h [batch, units]) -> h."""
    return _one_step(GRU, units, bias, weight_init, name)


def rnn_cell(units: int, *, activation: Callable[[Node], Node] = elementwise.tanh,
             bias: bool = True, hidden_bias: bool = False,
             weight_init: Initializer | None = None, name: str = "") -> Layer:
    """One step of `rnn`: layer(x [batch, features], h [batch, units]) -> h."""
    _callable("rnn_cell", activation)
    return _one_step(_biased(_plain(activation), bias, hidden_bias), units, bias, weight_init, name)
