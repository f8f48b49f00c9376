"""What DLC_DEBUG tells of a compilation, on standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlc.compiler import Compiled


def tell(compiled: Compiled, level: int) -> None:
    """What DLC_DEBUG asks for, on standard error: passes, launches, graphs, kernels."""
    from dlc.reference.text import print_graph

    def say(text: str) -> None:
        print(text, file=sys.stderr)

    for entry, records in compiled.records.items():
        for record in records:
            say(f"{entry} {record.name}: {record.nodes} nodes, {record.seconds * 1e3:.1f} ms")
            if level >= 3:
                say(print_graph(record.graph))
        for number, launch in enumerate(compiled.program.entries[entry].flat):
            if level >= 2:
                say(f"{entry} launch {number + 1}: {launch.name}, {', '.join(launch.lines)}")
    for kernel in compiled.kernels if level >= 4 else ():
        say(kernel.text)
