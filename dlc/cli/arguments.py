"""The arguments of every command, and one message for invalid ones."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from dlc.errors import DlcError, nearest
from dlc.memory import limit_bytes

COMMANDS = ("train", "tune", "predict", "evaluate", "sample", "show", "plan", "inspect",
            "explain", "diff", "profile", "check", "replay", "export", "build", "bench", "models",
            "devices", "ops", "passes")
SEEDS, THREADS = 2**32 - 1, 256


class UsageError(Exception):
    """Arguments that no command takes."""

    status = 2


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises UsageError and takes no abbreviations."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}\n  see: {self.prog} --help")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As the base class; an unknown option is answered with the nearest ones."""
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            known = [s for action in self._actions for s in action.option_strings]
            name = rest[0].partition("=")[0]
            what = "option" if name.startswith("-") else "argument"
            self.error(f"unknown {what} {name!r}{nearest(name, known)}")
        return found, rest


def parse(given: Sequence[str]) -> argparse.Namespace:
    """The options of a command line; `module` and `function` say what runs it.

    Raises UsageError; ends the process for --help and --version.
    """
    parser, commands = root_parser()
    if not given:
        parser.print_help(sys.stdout)
        raise SystemExit(0)
    if not given[0].startswith("-") and given[0] not in commands:
        raise UsageError(f"unknown command {given[0]!r}{nearest(given[0], list(COMMANDS))}\n"
                         f"  commands are {', '.join(COMMANDS)}")
    options = parser.parse_args(given)
    options.given = list(given)
    return options


def root_parser() -> tuple[Parser, Sequence[str]]:
    """The parser of `dlc`, and the names of its commands."""
    parser = Parser(prog="dlc", description="Compile, train and inspect neural networks.")
    parser.add_argument("--version", action=Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    from dlc.cli.arguments_bench import bench, bench_worker
    from dlc.cli.arguments_build import build
    from dlc.cli.arguments_inspect import check, diff, explain, inspect, plan, profile, replay

    for add in (train, tune, predict, evaluate, sample, show, plan, inspect, explain, diff, profile,
                check, replay, export, build, bench, models, devices, ops, passes,
                bench_worker, tune_worker):
        add(commands)
    return parser, list(commands.choices)


class Version(argparse.Action):
    """--version, read only when it is asked for."""

    def __call__(self, *_: Any, **__: Any) -> None:
        from importlib.metadata import version

        print(f"dlc {version('dlc')}")
        raise SystemExit(0)


def command(commands: Any, name: str, help_: str | None, module: str,
            function: str = "run") -> Parser:
    """A new command; without help it is not listed."""
    words = {"help": help_, "description": help_} if help_ else {}
    parser: Parser = commands.add_parser(name, **words)
    parser.set_defaults(module=module, function=function, command=name)
    return parser


def file_argument(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE",
                        help="a Python file with a task, or the name of a bundled model")
    parser.add_argument("--target", default="cpu", help="compilation target (default cpu)")


def train(commands: Any) -> None:
    """dlc train FILE"""
    parser = command(commands, "train", "train a network, with checkpoints and a report", "train")
    file_argument(parser)
    parser.add_argument("--epochs", type=whole(1), metavar="N", help="total number of epochs")
    parser.add_argument("--batch", type=whole(1), metavar="N", help="samples per step")
    parser.add_argument("--micro-batches", type=whole(1), metavar="N",
                        help="parts in which a step runs its batch, one after the other or divided "
                        "among processes (1, or one for each process)")
    parser.add_argument("--seed", type=whole(0, SEEDS), default=0, metavar="N",
                        help="seed of initial weights, sample order and noise (0)")
    parser.add_argument("--threads", type=whole(1, THREADS), metavar="N",
                        help="CPU threads; the result is the same on any number")
    memory_argument(parser)
    parser.add_argument("--out", metavar="DIR",
                        help="checkpoints, report and inspector (runs/MODEL)")
    parser.add_argument("--resume", action="store_true", help="continue from DIR's last checkpoint")
    parser.add_argument("--init", metavar="CHECKPOINT",
                        help="initial weights: a checkpoint, a run's folder, or any safetensors "
                        "file; reports what was loaded")
    parser.add_argument("--rename", action="append", default=[], metavar="OLD=NEW",
                        help="rename weights of --init, e.g. 'encoder/*=body/*'; may be "
                        "repeated")
    set_argument(parser, "lr=0.01")
    parser.add_argument("--inspect", action="store_true",
                        help="look at gradients, curvature and layers after each epoch")
    parser.add_argument("--trap", choices=("nan",),
                        help="stop at the step that makes a parameter or state not finite, name "
                        "its operator and line, and keep it for `dlc replay`")
    parser.add_argument("--json", action="store_true",
                        help="print one JSON object on standard output")


def memory_argument(parser: Parser) -> None:
    parser.add_argument("--memory-limit", metavar="SIZE", type=memory_size,
                        help="the most memory that the program may take, e.g. 512MB: it computes "
                        "values again instead of keeping them, with the same results")


def set_argument(parser: Parser, example: str = "precision=bf16") -> None:
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
                        help=f"change an option of the task, e.g. {example}; may be repeated")


def tune(commands: Any) -> None:
    """dlc tune FILE"""
    parser = command(commands, "tune", "search options for the best validation metric", "tune")
    parser.add_argument("file", metavar="FILE",
                        help="a Python file with a task, or the name of a bundled model")
    parser.add_argument("--grid", action="append", default=[], metavar="KEY=A,B,C",
                        help="values of an option, as --set takes them; may be repeated")
    parser.add_argument("--random", action="append", default=[], metavar="KEY=LOW:HIGH",
                        help="a range to draw from; lr, or LOW:HIGH:log, log-uniformly; may be "
                        "repeated")
    parser.add_argument("--trials", type=whole(1), metavar="N",
                        help="random draws for each combination of the grids (10)")
    parser.add_argument("--folds", type=whole(1, 1000), default=1, metavar="K",
                        help="cross-validation over the training data (1: a fifth is held out)")
    parser.add_argument("--jobs", type=whole(1, THREADS), metavar="N",
                        help="processes that train at the same time (one a core)")
    parser.add_argument("--out", metavar="DIR", help="journal and plot (runs/MODEL-tune)")
    search_arguments(parser)
    parser.add_argument("--epochs", type=whole(1), metavar="N", help="epochs of every trial")
    parser.add_argument("--batch", type=whole(1), metavar="N", help="samples per step")


def search_arguments(parser: Parser) -> None:
    """What `dlc tune` and its workers share."""
    set_argument(parser, "epochs=20")
    parser.add_argument("--seed", type=whole(0, SEEDS), default=0, metavar="N",
                        help="seed of the random values and of every training (0)")


def tune_worker(commands: Any) -> None:
    """dlc tune-worker, which `dlc tune` starts."""
    parser = command(commands, "tune-worker", None, "tune_worker")
    parser.add_argument("file", metavar="FILE")
    search_arguments(parser)
    parser.add_argument("--folds", type=whole(1, 1000), required=True)
    parser.add_argument("--threads", type=whole(1, THREADS), required=True)


def weights_argument(parser: Parser) -> None:
    """FILE and --weights, for what asks a trained network."""
    parser.add_argument("file", metavar="FILE",
                        help="a Python file with a task, or the name of a bundled model")
    parser.add_argument("--weights", required=True, metavar="CHECKPOINT",
                        help="a checkpoint, or a run's folder: its best checkpoint")
    set_argument(parser)


def predict(commands: Any) -> None:
    """dlc predict FILE --weights CHECKPOINT --data NEW"""
    parser = command(commands, "predict", "predict new data with a trained network", "predict")
    weights_argument(parser)
    parser.add_argument("--data", required=True, metavar="NEW",
                        help="the rows, as --set data= of dlc train takes them; no labels needed")
    parser.add_argument("-o", "--output", metavar="OUT",
                        help="a .csv, .npy or .npz file (CSV on standard output)")
    parser.add_argument("--outputs", metavar="NAMES", default="prediction",
                        help="values by name, separated by commas; several need a .npz "
                        "(prediction)")


def evaluate(commands: Any) -> None:
    """dlc evaluate FILE --weights CHECKPOINT"""
    parser = command(commands, "evaluate", "compute the metrics of a trained network",
                     "evaluate")
    weights_argument(parser)
    parser.add_argument("--data", metavar="DATA",
                        help="data with labels (default: the task's held-out data)")
    parser.add_argument("--json", action="store_true",
                        help="print one JSON object on standard output")


def sample(commands: Any) -> None:
    """dlc sample FILE --weights CHECKPOINT"""
    parser = command(commands, "sample", "generate text or pictures with a trained network",
                     "sample")
    weights_argument(parser)
    parser.add_argument("-n", "--count", type=whole(1), default=64, metavar="N",
                        help="samples of a network that draws random numbers (64)")
    parser.add_argument("-o", "--output", metavar="OUT",
                        help="where they go: pictures in rows to OUT.png, an array to OUT.npy")
    parser.add_argument("--given", action="append", default=[], dest="conditions",
                        metavar="NAME=NUMBER,...",
                        help="one row of an input that all samples are conditioned on; NAME=TEXT "
                        "where its data have words")
    parser.add_argument("--prompt", default="", metavar="TEXT",
                        help="the beginning of the text; of pictures, what they are to show")
    parser.add_argument("--length", type=whole(1), default=200, metavar="N",
                        help="characters to write (200)")
    parser.add_argument("--temperature", type=positive, default=1.0, metavar="T",
                        help="below 1 favours likely characters; 0 always takes the likeliest (1)")
    parser.add_argument("--seed", type=whole(0, SEEDS), default=0, metavar="N",
                        help="seed of the random choices (0)")


def show(commands: Any) -> None:
    """dlc show FILE"""
    parser = command(commands, "show", "print the launches of a step, their bodies, the kernels "
                     "or the memory plan", "show")
    file_argument(parser)
    parser.add_argument("--summary", action="store_true",
                        help="only the table of launches and the passes, without the bodies")
    parser.add_argument("--body", metavar="NAME",
                        help="only this body; with --kernels, its launch and kernels")
    parser.add_argument("--after", metavar="PASS", help="the graph after this pass (or: input)")
    parser.add_argument("--kernels", action="store_true", help="every launch with its kernels")
    parser.add_argument("--ptx", action="store_true",
                        help="with --kernels and --target cuda: PTX and registers")
    sass_arguments(parser, "with --kernels and --target cuda: machine code and registers")
    parser.add_argument("--cost", action="store_true",
                        help="with --target cuda: launches by what they take at least on a device")
    parser.add_argument("--gpu", default="h200", choices=("h200", "a100", "rtx4090"),
                        help="the device of --cost (h200)")
    parser.add_argument("--memory", action="store_true", help="the memory plan")
    memory_argument(parser)
    forms = parser.add_mutually_exclusive_group()
    for name, what in (("json", "all that dlc inspect shows, as JSON"),
                       ("dot", "the graph after PASS (fuse) for Graphviz"),
                       ("svg", "the graph after PASS (fuse) as a picture")):
        forms.add_argument(f"--{name}", dest="form", action="store_const", const=name,
                            help=f"print {what}")
    dims_argument(parser)
    set_argument(parser)


def sass_arguments(parser: Parser, what: str) -> None:
    """--sass, --arch"""
    parser.add_argument("--sass", action="store_true", help=what)
    parser.add_argument("--arch", default="sm_90", choices=("sm_80", "sm_90", "sm_100"),
                        help="the CUDA architecture of PTX and machine code (sm_90)")


def dims_argument(parser: Parser) -> None:
    parser.add_argument("--dim", action=Sizes, dest="dims", default={}, metavar="NAME=N",
                        help="the size of a dynamic dimension of an .onnx file (1); repeatable")


def export(commands: Any) -> None:
    """dlc export FILE -o MODEL.onnx"""
    parser = command(commands, "export", "write a task's prediction as an ONNX model", "export")
    parser.add_argument("file", metavar="FILE",
                        help="a Python file with a task, or the name of a bundled model")
    parser.add_argument("-o", "--output", required=True, metavar="MODEL.onnx",
                        help="the file to write")
    parser.add_argument("--weights", metavar="CHECKPOINT",
                        help="weights of a training run, e.g. runs/lenet/best.safetensors "
                        "(first values)")
    parser.add_argument("--batch", type=whole(1), metavar="N",
                        help="a fixed batch size (default: dynamic)")
    parser.add_argument("--opset", type=whole(17, 23), default=17, metavar="N",
                        help="ONNX operator set version (17)")
    set_argument(parser)


class Sizes(argparse.Action):
    """NAME=N, collected in a dict."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any,
                 option_string: str | None = None) -> None:
        name, _, size = str(values).partition("=")
        if not name or not size.isascii() or not size.isdigit():
            raise argparse.ArgumentError(self, f"{values!r} is not NAME=N, e.g. batch=8")
        namespace.dims = {**namespace.dims, name: int(size)}


def models(commands: Any) -> None:
    """dlc models"""
    command(commands, "models", "list the bundled models", "models", "models")


def devices(commands: Any) -> None:
    """dlc devices"""
    command(commands, "devices", "list the devices of this machine", "devices", "devices")


def ops(commands: Any) -> None:
    """dlc ops"""
    parser = command(commands, "ops", "list the operators", "listing", "ops")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    parser.add_argument("--promotion", action="store_true", help="print the promotion table")


def passes(commands: Any) -> None:
    """dlc passes"""
    parser = command(commands, "passes", "list the passes or rewrite rules", "listing", "passes")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    parser.add_argument("--rules", action="store_true", help="list the rewrite rules of simplify")


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """A converter for whole numbers from `low` to `high`."""
    fits = f"a whole number from {low}" + ("" if high is None else f" to {high}")

    def convert(text: str) -> int:
        number = int(text) if text.isascii() and text.isdigit() else -1
        if number < low or (high is not None and number > high):
            raise argparse.ArgumentTypeError(f"{text} is invalid; it takes {fits}")
        return number

    return convert


def memory_size(text: str) -> int:
    """512MB as bytes."""
    try:
        return limit_bytes(text)
    except DlcError as problem:
        raise argparse.ArgumentTypeError(f"{problem.message}; it takes {problem.hint}") from None


def positive(text: str) -> float:
    """A finite number, 0 or larger."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise argparse.ArgumentTypeError(f"{text} is invalid; it takes a number, 0 or larger")
    return number
