"""Train the networks of files of models/ (all by default) from seed 0, and draw their pictures."""

from __future__ import annotations

import sys

from dlc.cli.source import load_task
from dlc.models import GOALS, file_of
from tests.networks.measure import begun_from
from tests.networks.page import PICTURES
from tests.networks.pictures.choose import panels
from tests.networks.pictures.sheet import sheet


def main(files: list[str]) -> None:
    """Write docs/pictures/networks/FILE.svg for each."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    for file in files or list(dict.fromkeys(map(file_of, GOALS))):
        runs = {name: load_task(name).train(seed=0, init=begun_from(name, 0))
                for name in GOALS if file_of(name) == file}
        label = f"{file}: " + "; ".join(p.title for p in panels(file, runs))
        target = PICTURES / f"{file}.svg"
        target.write_text(sheet(panels(file, runs), label), encoding="utf-8")
        print(f"{target.name}  {target.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
