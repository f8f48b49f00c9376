"""A task as a shared library without Python: what `dlc build` compiles and links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc import env
from dlc.compiler import Compiled, Source, instruction_set, limited, task_source
from dlc.definition import as_data, of_task
from dlc.errors import DlcError, short_path
from dlc.independence import rows_are_apart
from dlc.ir.graph import Graph
from dlc.network import Network
from dlc.program import Program
from dlc.task.meta import varying_data
from dlc.task.task import Task
from dlc.task_training import begun_anew, check_monitor, dataset_of, what_is_trained

if TYPE_CHECKING:
    from dlc.runtime.build.package import Built
    from dlc.runtime.build.plan import Plan, Planned
    from dlc.runtime.data import Dataset
    from dlc.runtime.train.position import Identity
    from dlc.runtime.train.training import TrainConfig

Values = Mapping[str, np.ndarray[Any, Any]]
SETS = ("avx512", "avx2", "scalar")  # the widest first


@dataclass(frozen=True)
class Made:
    """A library's plan, the first values of its parameters and state, and the data that the task
    trains on (None: it names none, or does not train here); `without` says why it predicts nothing.
    """

    plan: Plan
    initial: Values
    dataset: Dataset | None
    without: str


def build_library(task: Task, folder: Path, *, train: bool = True, predict: bool | None = None,
                  isas: Sequence[str] = (), seed: int = 0, data: bool = False,
                  memory_limit: int | None = None) -> Built:
    """Write the library of `task` for the instruction sets `isas` (default: this machine's) into
    `folder`: what trains, what predicts (None: where the task predicts from rows), or both. `seed`
    is that of its initial.safetensors; `data` writes the training data beside it. What trains takes
    `memory_limit` bytes at most.

    Raises DlcError for a task that cannot be built, at its line where there is one.
    """
    from dlc.runtime.build.link import LinkFailed, compiler
    from dlc.runtime.build.package import write_data, write_package
    from dlc.runtime.build.plan import PlanError

    check_name(task)
    sets = chosen_sets(isas)
    refuse_varying(task)
    refuse_parts(task, train)
    if data and not train:
        raise DlcError("--data: data are for training, and this library predicts alone", None,
                       "no --data, or a library that trains as well")
    cc = compiler()
    make_folder(folder)
    try:
        made = plan_of(task, train, predict, sets, seed, memory_limit)
        built = write_package(made.plan, folder, made.initial, cc, made.without)
        if data:
            write_data(made.plan, folder, bound(made))
        return built
    except PlanError as problem:
        raise DlcError(f"{task.name}: {problem}", task.loc) from None
    except LinkFailed as problem:
        raise DlcError(f"the C compiler does not link {task.name}: {problem}", None,
                       f"what it was given is in {folder / 'source'}; CC names another "
                       "compiler") from None


def check_name(task: Task) -> None:
    """Raise DlcError for a name that names in C cannot begin with."""
    if not (task.name.isascii() and task.name.isidentifier()):
        raise DlcError(f"{task.name}: names in C cannot begin so", task.loc,
                       "letters, digits and underscores of ASCII")


def make_folder(folder: Path) -> None:
    """Make `folder` where it is not there. Raises DlcError for one with files that `dlc build` has
    not written: it would write over them, a net.py by the wrapper of its own name."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()) and not (folder / "source" / "model.c").is_file():
        raise DlcError(f"-o {folder}: holds files that are no library of dlc", None,
                       "a new or an empty folder")


def chosen_sets(isas: Sequence[str]) -> tuple[str, ...]:
    """The instruction sets, the widest first. Raises DlcError for one that is none, or that this
    machine has not."""
    from dlc.runtime.compile.isa import IsaError, machine_isa, target_cpu

    if machine_isa() not in SETS:
        raise DlcError(f"dlc build writes libraries for x86-64; this machine has {machine_isa()}")
    for isa in isas:
        if isa not in SETS:
            raise DlcError(f"--isa {isa}: there is no such instruction set", None,
                           f"sets are {', '.join(SETS)}")
        try:
            target_cpu(isa)
        except IsaError as problem:
            raise DlcError(f"--isa {isa}: {problem}, and kernels are tested where they are built"
                           ) from None
    return tuple(isa for isa in SETS if isa in (isas or (instruction_set(),)))


def plan_of(task: Task, train: bool, predict: bool | None, isas: Sequence[str], seed: int,
            memory_limit: int | None) -> Made:
    """Compile everything and say what the library is made of. Raises DlcError, PlanError."""
    from dlc.runtime.build.plan import Plan

    dataset = dataset_of(task) if train and task.data != "" else None
    source = limited(training_source(task, dataset), memory_limit)
    values = first_values(source, dataset, seed)
    network, without = None, ""
    try:
        network = network_of(task, values) if predict in (True, None) else None
    except DlcError as problem:
        if predict or not train:
            raise
        without = problem.message
    variants = {}
    for isa in isas:
        trains = (training(source, isa),) if train else ()
        variants[isa] = (*trains, *(predictions(network, isa) if network else ()))
    first = variants[isas[0]][0].program
    config = configured(task, source, dataset, first, seed) if train else None
    held = as_data(task, *((dataset.classes, dataset.words) if dataset else ()))
    folders = folders_of([*source.graphs.values(), *(network_graphs(network))])
    initial = {p.name: values[p.name] for p in first.persistent}
    return Made(Plan(task.name, variants, movable(identity_of(task, config, seed), folders),
                     config.phases if config else (), config.each_epoch if config else {},
                     movable(held, folders), in_order=dataset is not None and dataset.lanes > 0),
                initial, dataset, without)


def refuse_varying(task: Task) -> None:
    """Raise DlcError for a task whose rows have several lengths."""
    varying = varying_data({"eval": task.graphs(task.batch, ("eval",))["eval"]})
    if varying:
        raise DlcError(f"{task.name}: {', '.join(varying)} varies from row to row, and a library "
                       "takes rows of one length", task.loc, "a dimension of one size")


def refuse_parts(task: Task, train: bool) -> None:
    """Raise DlcError for a library that would run a step in several parts."""
    if train and task.micro_batches > 1:
        raise DlcError(f"{task.name}: a step has {task.micro_batches} micro-batches, and a library "
                       "runs a batch as one", task.loc, "--set micro_batches=1, or --predict")


def training_source(task: Task, dataset: Dataset | None) -> Source:
    """What `dlc train` compiles."""
    tails = dataset.tails(task.batch) if dataset is not None else {}
    return task_source(task, task.batch, tails)


def first_values(source: Source, dataset: Dataset | None, seed: int) -> Values:
    """What `dlc train` begins with, the length of an epoch among it."""
    from dlc.runtime.train.loop import EPOCH_LENGTH

    values = dict(source.initial(seed))
    if EPOCH_LENGTH in values and dataset is not None and dataset.in_memory:
        batches = -(-dataset.samples // int(source.meta["batch"]))  # type: ignore[call-overload]
        values[EPOCH_LENGTH] = np.asarray(batches, values[EPOCH_LENGTH].dtype)
    return values


def training(source: Source, isa: str) -> Planned:
    """The program of a task's steps and evaluations."""
    from dlc.runtime.build.plan import Planned, meanings

    program = Compiled(source, "cpu", env.number("DLC_CHECK"), isa).program
    entries = tuple(name for name in program.entries if not name.startswith("eval_set"))
    return Planned(program, entries, {name: meanings(program, name) for name in entries})


def configured(task: Task, source: Source, dataset: Dataset | None, program: Program,
               seed: int) -> TrainConfig:
    """The settings of `dlc train`: its phases, and what its checkpoints are of."""
    from dlc.runtime.train.training import config_from_meta

    check_monitor(task, source.meta)
    return config_from_meta(
        program.meta, program, seed=seed, each_epoch=begun_anew(task, source, seed),
        task=what_is_trained(source, dataset.train if dataset is not None else {}))


def identity_of(task: Task, config: TrainConfig | None, seed: int) -> Identity:
    """What checkpoints of the library belong to; of one that predicts alone, the name counts."""
    from dlc.runtime.train.position import Identity

    if config is None:
        return Identity(task.name, "", seed, task.batch)
    return Identity(config.model, config.task, config.seed, config.batch, config.learning_rate,
                    config.epochs)


def network_graphs(network: Network | None) -> list[Graph]:
    """The graphs of the blocks of a prediction."""
    return [network.graph(block) for block in network.blocks] if network is not None else []


def folders_of(graphs: Sequence[Graph]) -> list[str]:
    """The folders of the user's files as lines are printed with them, where these are absolute."""
    files = {short_path(loc.file) for graph in graphs for node in graph.nodes()
             for loc in node.locs}
    return sorted({f"{Path(f).parent}/" for f in files if Path(f).is_absolute()}, key=len)[::-1]


def movable(thing: Any, folders: Sequence[str]) -> Any:
    """What a checkpoint says, its places without folders: a library is moved to other machines."""
    if isinstance(thing, str):
        for folder in folders:
            thing = thing.replace(folder, "")
        return thing
    if isinstance(thing, Mapping):
        return {key: movable(value, folders) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [movable(value, folders) for value in thing]
    if is_dataclass(thing) and not isinstance(thing, type):
        return replace(thing, **{f.name: movable(getattr(thing, f.name), folders)
                                 for f in fields(thing)})
    return thing


def network_of(task: Task, values: Values) -> Network:
    """The network that predicts. Raises DlcError for one whose rows depend on one another, or that
    draws samples."""
    network = Network(of_task(task), values, f"the first values of {task.name}")
    if not network.inputs:
        raise DlcError(f"{task.name} predicts nothing from rows: it draws samples", task.loc,
                       "--train builds what trains")
    block = network.blocks[-1]
    if not rows_are_apart(network.graph(block), network.wanted):
        with network:  # tells when it runs
            network.predict(**{name: np.zeros((block, *kind.shape), kind.dtype.numpy)
                               for name, kind in network.inputs.items()})
    return network


def predictions(network: Network, isa: str) -> list[Planned]:
    """The programs of a network's blocks, as `predict` compiles them."""
    from dlc.runtime.build.plan import Planned, meaning

    found = []
    for block in network.blocks:
        graph = network.graph(block)
        source = Source(network.name, {"main": graph}, lambda seed: {})
        program = Compiled(source, "cpu", env.number("DLC_CHECK"), isa).program
        checks = [meaning(c.text, str(c.loc or "")) for c in graph.notes["checks"]]
        found.append(Planned(program, ("main",), {"main": checks}, block))
    return found


def bound(made: Made) -> Values:
    """The training data as the inputs take them. Raises DlcError where there are none."""
    from dlc.runtime.data import bind_arrays

    if made.dataset is None or not made.dataset.in_memory:
        raise DlcError(f"--data: {made.plan.name} has no training data in memory")
    ports = {p.name: p for planned in made.plan.programs for k in range(len(planned.entries))
             for p in made.plan.data_ports(planned.entry(k)) if not planned.block}
    return bind_arrays(made.dataset.name, made.dataset.train, tuple(ports.values()))
