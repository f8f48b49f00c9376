"""`make networks`: train every bundled network from three seeds; print name, seed, figure, required
figure and seconds, a line each. `--record` writes models/figures.json and docs/networks.md.

    python -m tests.networks.run [NAME ...] [--seeds 0,1,2] [--record] [--precision bf16]
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from typing import Any

from dlc.cli.models import FIGURES, figures
from dlc.cli.source import load_task
from dlc.derive.precision import PRECISIONS
from dlc.models import GOALS
from tests.networks.measure import Measured, beaten, measure, parameters
from tests.networks.page import PAGE, page


def main() -> int:
    """Train, print and record. 1 where a figure was not reached."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", default=list(GOALS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--precision", default="f32", choices=list(PRECISIONS))
    options = parser.parse_args()
    if options.record and options.precision != "f32":
        parser.error("figures on record are those of f32")
    seeds = [int(s) for s in options.seeds.split(",")]
    missed = 0
    for name in options.names:
        found = [measured(name, seed, options.precision) for seed in seeds]
        missed += sum(not reached(each, options.precision) for each in found)
        if options.record:
            record(found)
    if options.record:
        PAGE.write_text(page(), encoding="utf-8")
    print(f"{len(options.names)} networks, {len(seeds)} seeds: {missed} figures not reached")
    return int(missed > 0)


_DONE: dict[tuple[str, int, str], Measured] = {}


def measured(name: str, seed: int, precision: str = "f32") -> Measured:
    """A network's run, printed the first time; networks that others must beat run once."""
    key = name, seed, precision
    if key not in _DONE:
        _DONE[key] = measure(*key)
        print(_DONE[key].line(), flush=True)
    return _DONE[key]


def reached(found: Measured, precision: str = "f32") -> bool:
    """Whether a run is within its bound, and better than the network that it has to beat."""
    good = found.goal.reached(found.figure)
    if found.goal.beats:
        good = good and beaten(found, measured(found.goal.beats, found.seed, precision))
    return good


def record(found: list[Measured]) -> None:
    """Write what a network reached into models/figures.json."""
    name = found[0].name
    known: dict[str, Any] = dict(figures())
    known[name] = {"data": str(load_task(name).data), "date": datetime.date.today().isoformat(),
                   "figures": [float(f"{m.figure:.6g}") for m in found],
                   "parameters": parameters(name),
                   "seconds": [round(m.seconds, 1) for m in found],
                   "seeds": [m.seed for m in found]}
    write(known)
    figures.cache_clear()


def write(known: dict[str, Any]) -> None:
    """models/figures.json, a line for each network."""
    lines = [f" {json.dumps(name)}: {json.dumps(known[name], sort_keys=True)}"
             for name in sorted(known)]
    FIGURES.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
