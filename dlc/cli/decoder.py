"""What a text model says of the next character: asked for whole windows, or one position at a time
with what its layers keep of those before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.errors import DlcError

if TYPE_CHECKING:
    from dlc.compiler import Loaded
    from dlc.network import Network
    from dlc.task.task import Task

Scores = np.ndarray[Any, Any]
PROBED = 16  # positions at which the two have to agree
# Two orders of the same additions share at least half of the digits that a dtype has.
DIGITS = {"f32": 2.0**-23, "bf16": 2.0**-8, "f16": 2.0**-11}


class Whole:
    """Asks a network for all positions of its window, whatever it was asked before."""

    def __init__(self, net: Network, window: int) -> None:
        self.net, self.window = net, window

    def scores(self, seen: Sequence[int]) -> Scores:
        """f32[classes]: the scores of what follows `seen`, at most a window of characters."""
        found: Scores = self.every(seen)[-1]
        return found

    def every(self, seen: Sequence[int]) -> Scores:
        """f32[len(seen), classes]: the scores of what follows each of them."""
        row = np.array([[*seen, *[0] * (self.window - len(seen))]])
        found: Scores = self.net.predict(row)[0][:len(seen)]
        return found


class Decoder:
    """Asks the program of one position (dlc.decoding), which keeps in its state what the layers
    need of the positions before: keys and values, states of recurrences."""

    def __init__(self, loaded: Loaded, kept: Sequence[str], precision: str) -> None:
        self.loaded, self.kept, self.precision = loaded, kept, precision
        self.fed: list[int] = []

    @classmethod
    def of(cls, net: Network, task: Task, window: int) -> Decoder | None:
        """That of a network with a task's definition; None where it can't be written so."""
        from dlc.compiler import Compiled, Source
        from dlc.init import initial_values
        from dlc.lang.trace import graph_variables
        from dlc.task.predict import decode_graph

        try:
            graph = decode_graph(task, window)
        except DlcError:
            return None
        data = [n.attrs["label"] for n in graph.inputs if n.attrs["role"] == "data"]
        variables = graph_variables(graph)
        kept = [v.name for v in variables if v.name not in net.values]
        if len(data) != 1 or graph.outputs[0].shape != (1, 1, len(net.classes)):
            return None
        source = Source(net.name, {"decode": graph},
                        lambda seed: initial_values([v for v in variables if v.name in kept], seed))
        loaded = Compiled(source, "cpu").load()
        for name in (v.name for v in variables if v.name not in kept):
            loaded.write(name, net.values[name])
        return cls(loaded, kept, task.precision)

    def scores(self, seen: Sequence[int]) -> Scores:
        """f32[classes]: the scores of what follows `seen`, of which what was asked for before is
        not computed again; never none."""
        old = len(self.fed)
        if list(seen[:old]) != self.fed or len(seen) == old:
            self.forget()
        found = [self.next(code) for code in seen[len(self.fed):]]
        return found[-1]

    def next(self, code: int) -> Scores:
        """The scores of what follows one more character."""
        answer = self.loaded(np.array([[code]]))
        self.fed.append(code)
        found: Scores = answer["prediction"][0, 0].astype(np.float32)
        return found

    def forget(self) -> None:
        """Begin a new sequence."""
        for name in self.kept:
            self.loaded.write(name, np.zeros_like(self.loaded.read(name)))
        self.fed = []

    def agrees(self, whole: Whole) -> bool:
        """Whether it says what the whole window says, of characters at random, up to rounding."""
        count = min(PROBED, whole.window)
        classes = len(whole.net.classes)
        codes = np.random.Generator(np.random.Philox(key=count)).integers(0, classes, count)
        wanted = whole.every(codes.tolist()).astype(np.float64)
        found = np.stack([self.next(code) for code in codes.tolist()]).astype(np.float64)
        self.forget()
        bound = DIGITS[self.precision] ** 0.5 * np.abs(wanted).max(initial=1.0)
        return bool(np.abs(found - wanted).max(initial=0.0) <= bound)
