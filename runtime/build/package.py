"""The folder that `dlc build` writes: header, library, sources, examples, wrappers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dlc.runtime.build import link
from dlc.runtime.build.model import ModelWriter, words_text
from dlc.runtime.build.plan import Arrays, Plan, PlanError, Planned, Row
from dlc.runtime.compile import workers
from dlc.runtime.compile.cache import Cache
from dlc.runtime.compile.runner import RUNNER
from dlc.runtime.train.checkpoint import Checkpoint, write_checkpoint
from dlc.runtime.train.position import Position

HERE = Path(__file__).parent
TOKEN = "dlcnet"  # what sources and wrappers call a network
CMAKE = """# Builds the examples against the library, wherever this folder lies.
cmake_minimum_required(VERSION 3.13)
project({name}_examples C)
add_library({name}_library SHARED IMPORTED)
set_target_properties({name}_library PROPERTIES
    IMPORTED_LOCATION "${{CMAKE_CURRENT_SOURCE_DIR}}/lib{name}.so"
    INTERFACE_INCLUDE_DIRECTORIES "${{CMAKE_CURRENT_SOURCE_DIR}}")
"""
EXAMPLE = """add_executable({example} {example}.c)
target_link_libraries({example} {name}_library)
"""


@dataclass(frozen=True)
class Built:
    """What was written: the folder and the library; `library` is None where there was no C
    compiler, and `command` then links it. `without` says why it predicts nothing, where that is so.
    """

    folder: Path
    library: Path | None
    command: str
    kernels: int
    without: str


def write_package(plan: Plan, folder: Path, initial: Arrays,
                  compiler: Sequence[str] | None, without: str = "") -> Built:
    """Write everything into `folder` and link it by `compiler` (None: leave the object files).

    Raises PlanError, CompileError, FeatureError, LinkFailed, OSError.
    """
    source = folder / "source"
    source.mkdir(parents=True, exist_ok=True)
    for old in source.glob("*.o"):
        old.unlink()
    compiled = {isa: Kernels(programs, isa) for isa, programs in plan.variants.items()}
    objects = {f"{symbol}.o": data for k in compiled.values() for symbol, data in k.objects.items()}
    for name, data in objects.items():
        (source / name).write_bytes(data)
    written = ModelWriter(plan, {isa: k.symbols for isa, k in compiled.items()},
                          {isa: k.runner for isa, k in compiled.items()},
                          {isa: k.numbers for isa, k in compiled.items()}).text()
    texts = {**link.SOURCES, "model.c": written, "words.h": words_text(),
             "exports.map": f"{{ global: {TOKEN}_*; local: *; }};\n",
             "link.sh": link.script(plan.name, sorted(objects))}
    header = texts.pop(f"{TOKEN}.h")
    for name, text in texts.items():
        (source / name).write_text(named(text, plan.name))
    write_surroundings(plan, folder, header)
    write_checkpoint(folder / "initial.safetensors",
                     Checkpoint(dict(initial), plan.identity, Position(), plan.network))
    library = None if compiler is None else link.link(folder, plan.name, sorted(objects), compiler)
    return Built(folder, library, f"sh {source / 'link.sh'}",
                 sum(len(k.symbols) for k in compiled.values()), without)


class Kernels:
    """The kernels of an instruction set: the names of their functions, the objects, and of each
    program the numbers of its kernels, from 1, as its launches count them."""

    def __init__(self, programs: Sequence[Planned], isa: str) -> None:
        cache, numbered = Cache(), dict[str, int]()
        runner = workers.runtime_job(RUNNER, isa)
        self.numbers, wanted = [], [runner]
        for planned in programs:
            jobs = workers.program_jobs(planned.program)
            used = used_kernels(planned)
            for k in sorted(used):
                if jobs[k].symbol not in numbered:
                    numbered[jobs[k].symbol] = len(numbered) + 1
                    wanted.append(jobs[k])
            self.numbers.append([numbered[job.symbol] if k in used else 0
                                 for k, job in enumerate(jobs)])
        self.objects = workers.objects(wanted, cache)
        self.symbols, self.runner = list(numbered), runner.symbol


def used_kernels(planned: Planned) -> set[int]:
    """The numbers of the kernels that the library's entries launch."""
    return {segment.kernel for k in range(len(planned.entries))
            for launch in planned.entry(k).flat for stage in launch.stages for segment in stage}


def named(text: str, name: str) -> str:
    """A source with the network's own name."""
    return (text.replace("dlc.runtime.build.wrapper_plain", f"{name}_plain")
            .replace("from dlc.runtime.build import wrapper_plain", f"import {name}_plain")
            .replace("wrapper_plain.", f"{name}_plain.")
            .replace(TOKEN, name).replace(TOKEN.upper(), name.upper()))


def write_surroundings(plan: Plan, folder: Path, header: str) -> None:
    """Header, examples, CMake file and wrappers."""
    text = header.replace("INTERFACE\n", interface(plan)).replace('"NETWORK"', plan.name)
    examples = [name for name, there in (("train", bool(plan.phases)),
                                         ("predict", bool(plan.prediction))) if there]
    files = {f"{TOKEN}.h": text,
             "CMakeLists.txt": CMAKE.format(name=plan.name) + "".join(
                 EXAMPLE.format(name=plan.name, example=example) for example in examples),
             f"{TOKEN}.py": (HERE / "wrapper_numpy.py").read_text(),
             f"{TOKEN}_plain.py": (HERE / "wrapper_plain.py").read_text()}
    for example in examples:
        rows = str(plan.batches[0].rows) if plan.batches else ""
        files[f"{example}.c"] = (HERE / "examples" / f"{example}.c").read_text().replace(
            "BATCH_ROWS", rows)
    for name, content in files.items():
        (folder / named(name, plan.name)).write_text(named(content, plan.name))


def interface(plan: Plan) -> str:
    """What the network takes and gives, as lines of the header's first comment."""
    def sizes(trains: bool) -> str:
        return " or ".join(str(b.rows) for b in plan.batches if b.trains == trains)

    lines = []
    if plan.phases:
        lines += [f"{TOKEN}_step takes batches of {sizes(True)} rows, {TOKEN}_evaluate of "
                  f"{sizes(False)}:", *rows_text(plan.inputs), f"metrics are "
                  f"{', '.join(plan.metrics)}."]
    if plan.prediction:
        lines += [f"{TOKEN}_predict takes any number of rows of", *rows_text(plan.predict_inputs),
                  "and gives as many of", *rows_text(plan.prediction)]
    return "".join(f" * {line}\n" for line in lines)


def rows_text(rows: Sequence[Row]) -> list[str]:
    return [f"    {row.name}: {row.type}" for row in rows]


def write_data(plan: Plan, folder: Path, arrays: Mapping[str, np.ndarray]) -> list[Path]:
    """The training data as files of raw rows, NAME.rows each, for the example."""
    paths = []
    for row in plan.inputs:
        paths.append(folder / f"{row.name}.rows")
        np.ascontiguousarray(arrays[row.name]).tofile(paths[-1])
    if not paths:
        raise PlanError("there are no data to write: the library predicts alone")
    return paths
