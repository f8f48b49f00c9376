"""Recurrent layers beside torch.nn's with the same weights: values, states and every gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils import rnn

import dlc
from dlc import f32, nn
from dlc.init import initial_values
from tests.conformance.cut import Tally

torch.set_num_threads(1)
pytestmark = pytest.mark.conformance
BATCH, TIME, FEATURES, UNITS = 3, 6, 4, 5
OURS = {"lstm": nn.lstm, "gru": nn.gru, "rnn": nn.rnn}
THEIRS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
# with torch's two biases as they are, or with their sum as the one; gru's reset needs both
KINDS = [("lstm", False), ("lstm", True), ("gru", True), ("rnn", False), ("rnn", True)]
NAMES = {"weight_ih": "weight_input", "weight_hh": "weight_hidden", "bias_ih": "bias",
         "bias_hh": "bias_hidden"}


def ours(name: str) -> str:
    """dlc's name of torch's parameter: weight_ih_l1_reverse is weight_input2_reverse."""
    front, _, back = name.partition("_l")
    level, _, end = back.partition("_")
    number = str(int(level) + 1) if int(level) else ""
    return NAMES[front] + number + (f"_{end}" if end else "")


def copied(module: Any, two: bool) -> dict[str, Any]:
    """torch's parameters under dlc's names; unless there are `two` biases their sum is one."""
    found: dict[str, Any] = {}
    for name, value in module.named_parameters():
        array = value.detach().numpy()
        key = ours(name)
        if key.startswith("bias_hidden") and not two:
            key = key.replace("bias_hidden", "bias")
            found[key] = found[key] + array
        else:
            found[key] = array.T if array.ndim == 2 else array
    return found


def setting(kind: str, two: bool, layers: int, both: bool, seed: int) -> tuple[Any, ...]:
    """(dlc's layer, torch's module, inputs x and first states as arrays)."""
    torch.manual_seed(seed)
    module = THEIRS[kind](FEATURES, UNITS, layers, batch_first=True, bidirectional=both)
    rng = np.random.default_rng(seed)
    rows = layers * (2 if both else 1)
    states = 2 if kind == "lstm" else 1
    x = rng.normal(size=(BATCH, TIME, FEATURES)).astype(np.float32)
    first = [rng.normal(size=(rows, BATCH, UNITS)).astype(np.float32) for _ in range(states)]
    more = {} if kind == "gru" else {"hidden_bias": two}
    layer = OURS[kind](UNITS, layers=layers, bidirectional=both, returns="both", name="r", **more)
    return layer, module, [x, *first]


LENGTHS = np.array([4, 6, 1], np.int32)


def weighed(outputs: Any, total: Any) -> Any:
    """A scalar that every output enters with other weights."""
    return sum(total((k + 1.0) * o * o) + total(o) for k, o in enumerate(outputs))


@pytest.mark.sliced
@pytest.mark.parametrize("packed", [False, True], ids=["whole", "packed"])
@pytest.mark.parametrize("both", [False, True], ids=["forward", "bidirectional"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind, two", KINDS, ids=[f"{k}{1 + two}" for k, two in KINDS])
def test_equals_torch(kind: str, two: bool, layers: int, both: bool, packed: bool,
                      tally: Callable[[str], Tally]) -> None:
    """Compiled: sequence, final states, gradients by inputs, states and parameters; of sequences of
    several lengths as torch's packed ones."""
    layer, module, arrays = setting(kind, two, layers, both, 7 * layers + both)
    lengths = LENGTHS if packed else None

    names = [v.name for v in
             dlc.trace(layer, *(f32[a.shape] for a in arrays)).notes["variables"]]
    values = {f"r.{k}": v for k, v in copied(module, two).items()}
    assert set(names) == set(values)

    def loss(*everything: Any) -> Any:
        return weighed(run(layer, everything, names, len(arrays), lengths), dlc.sum)

    given = [*arrays, *(np.ascontiguousarray(values[n]) for n in names)]
    places = tuple(range(len(given)))

    def both_ways(*a: Any) -> Any:
        return (*run(layer, a, names, len(arrays), lengths), *dlc.grad(loss, wrt=places)(*a))

    program = dlc.trace(both_ways, *(f32[a.shape] for a in given))
    with dlc.compile(program, name=f"{kind}{two}{layers}{both}{packed}").load(threads=1) as loaded:
        found = list(loaded(*given).values())
    for got, value in zip(found, reference(module, two, arrays, names, lengths), strict=True):
        np.testing.assert_allclose(got, value, rtol=2e-4, atol=2e-5)
    tally("torch.nn: recurrent layers").add()


def run(layer: Any, everything: Any, names: Any, count: int, lengths: Any) -> Any:
    """The layer on the first `count` nodes, its parameters replaced by the others."""
    from dlc.ir.graph import substitute
    from dlc.lang.scope import current_scope

    told = {} if lengths is None else {"lengths": lengths}
    outputs = layer(*everything[:count], **told)
    made = current_scope("a test").variables
    swap = {made[n].node: p for n, p in zip(names, everything[count:], strict=True)}
    return substitute(list(outputs), swap)


def reference(module: Any, two: bool, arrays: Any, names: Any, lengths: Any) -> list[Any]:
    """torch's outputs and gradients, in the order of dlc's."""
    x, *first = (torch.tensor(a, requires_grad=True) for a in arrays)
    start = tuple(first) if len(first) > 1 else first[0]
    if lengths is None:
        sequence, states = module(x, start)
    else:
        packed = rnn.pack_padded_sequence(x, torch.tensor(lengths, dtype=torch.int64), True, False)
        found, states = module(packed, start)
        sequence, _ = rnn.pad_packed_sequence(found, True, 0.0, TIME)
    outputs = [sequence, *(states if len(first) > 1 else [states])]
    weighed(outputs, torch.sum).backward()
    slopes = {f"r.{ours(n)}": p.grad.numpy() for n, p in module.named_parameters()
              if two or "bias_hh" not in n}
    return [*(o.detach().numpy() for o in outputs), *(t.grad.numpy() for t in (x, *first)),
            *(slopes[n].T for n in names)]


def test_cells_are_steps_of_the_layers() -> None:
    """A cell run by hand over time gives the layer's sequence."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(BATCH, TIME, FEATURES)).astype(np.float32)
    for kind, make in (("lstm", nn.lstm_cell), ("gru", nn.gru_cell), ("rnn", nn.rnn_cell)):
        cell, layer = make(UNITS, name="r"), OURS[kind](UNITS, name="r")
        parts = 2 if kind == "lstm" else 1

        def by_hand(x: Any, cell: Any = cell, parts: int = parts) -> Any:
            state = [dlc.zeros((BATCH, UNITS))] * parts
            rows = []
            for t in range(TIME):
                after = cell(x[:, t], *state)
                state = list(after) if parts > 1 else [after]
                rows.append(state[0])
            return dlc.stack(rows, 1)

        one, two = dlc.trace(by_hand, f32[x.shape]), dlc.trace(layer, f32[x.shape])
        values = initial_values(two.notes["variables"], 0)
        np.testing.assert_allclose(dlc.evaluate(one, x, **values), dlc.evaluate(two, x, **values),
                                   rtol=1e-5, atol=1e-6)
