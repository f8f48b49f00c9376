"""FILE on the command line: the task in a Python file, or a bundled model by its name."""

from __future__ import annotations

import linecache
import os
import sys
import sysconfig
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import TracebackType

from dlc.cli.arguments import UsageError
from dlc.errors import DlcError, DoesNotFit, Loc, nearest
from dlc.intake import user_path
from dlc.models import GOALS, file_of
from dlc.task.task import Task

_PACKAGE = Path(__file__).parent.parent
_INSTALLED = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "purelib", "platlib")})


@contextmanager
def at_task(thing: object) -> Iterator[None]:
    """A memory limit that nothing meets is told at the line of the task."""
    try:
        yield
    except DoesNotFit as problem:
        raise DoesNotFit(problem.message, getattr(thing, "loc", None), problem.hint,
                         problem.needed) from None


def bundled_models() -> list[str]:
    """The names of the models that come with dlc, by chapter."""
    return list(GOALS)


def bundled_file(name: str) -> Path:
    """The file of a bundled model."""
    return _PACKAGE / "models" / f"{file_of(name)}.py"


def load_task(file: str) -> Task:
    """The task of FILE: a bundled model's name, or a path (PATH:NAME where a file holds several).

    Raises DlcError: no such file or model, a file that does not run (told at its line), no task.
    """
    if not file:
        raise DlcError("FILE is empty", None, f"bundled are {', '.join(bundled_models())}")
    path, name = split_name(file)
    if file not in bundled_models():
        if path.suffix == ".py" or os.sep in file or os.path.lexists(path):
            return pick_task(path, run_file(path), name)
        raise DlcError(f"there is no file and no bundled model {file!r}"
                       f"{nearest(file, bundled_models())}", None,
                       f"bundled are {', '.join(bundled_models())}")
    with user_code():
        module = import_module(f"dlc.models.{file_of(file)}")
    return pick_task(bundled_file(file), module, file)


def changed_task(file: str, settings: Sequence[str]) -> Task:
    """The task of FILE with what --set gives. Raises UsageError or DlcError."""
    task, options = load_task(file), settings_given(settings)
    return task.with_options(**options) if options else task


def settings_given(settings: Sequence[str]) -> dict[str, str]:
    """What the arguments KEY=VALUE of --set say. Raises UsageError for another form."""
    found: dict[str, str] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {setting} is invalid; it takes KEY=VALUE, e.g. lr=0.01")
        if found.get(key, value) != value:
            raise UsageError(f"--set {setting}: {key} is {found[key]} already")
        found[key] = value
    return found


def split_name(file: str) -> tuple[Path, str]:
    """(path, name of the task in it, "" when none is given)."""
    head, colon, tail = file.rpartition(":")
    if colon and tail.isidentifier() and head.endswith(".py"):
        return user_path(head), tail
    return user_path(file), ""


def run_file(path: Path) -> types.ModuleType:
    """The module that running `path` makes. Raises DlcError at the line that fails."""
    if not path.exists() and not path.is_symlink():
        beside = [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise DlcError(f"there is no file {str(path)!r}{nearest(path.name, beside)}")
    if not path.is_file():
        what = "a folder" if path.is_dir() else (
            "a broken link" if path.is_symlink() else "a pipe or a device")
        raise DlcError(f"{path} is {what}, not a Python file", None,
                       f"bundled models are {', '.join(bundled_models())}")
    place = str(path.resolve())
    try:
        code = compile(path.read_bytes(), place, "exec")
    except SyntaxError as error:
        raise syntax_error(place, error) from None
    except (OSError, ValueError) as error:
        raise DlcError(f"{path} cannot be read: {error}") from None
    name = path.stem if path.stem.isidentifier() and path.stem not in sys.modules else "dlc_file"
    module = types.ModuleType(name)
    module.__file__ = place
    sys.modules[name] = module
    sys.path.insert(0, str(path.resolve().parent))
    with user_code():
        exec(code, module.__dict__)
    return module


def syntax_error(place: str, error: SyntaxError) -> DlcError:
    """A SyntaxError as the user's own."""
    column = (error.offset or 0) - 1
    end = (error.end_offset or 0) - 1
    same = error.end_lineno == error.lineno and end > column >= 0
    loc = Loc(error.filename or place, error.lineno or 1, column, end if same else column + 1)
    return DlcError(f"{type(error).__name__}: {error.msg}", loc)


def pick_task(path: Path, module: types.ModuleType, name: str) -> Task:
    """The task called `name`, the only one, or the one named like the file."""
    found = {key: value for key, value in vars(module).items() if isinstance(value, Task)}
    distinct = {id(task): key for key, task in found.items()}
    if name and name not in found:
        raise DlcError(f"{path} has no task {name!r}{nearest(name, list(found))}", None,
                       f"tasks in it: {', '.join(found) or 'none'}")
    if name or path.stem in found:
        return found[name or path.stem]
    if not found:
        raise DlcError(f"{path} defines no task", None, "decorate the function that returns the "
                       'loss: @dlc.task(data="digits", optimizer=optim.adam(1e-3))')
    if len(distinct) > 1:
        raise DlcError(f"{path} defines the tasks {', '.join(found)}", None,
                       f"say which: {path}:{next(iter(found))}")
    return next(iter(found.values()))


@contextmanager
def user_code() -> Iterator[None]:
    """Exceptions that the user's own code raises inside become DlcError at the user's line."""
    try:
        yield
    except DlcError:
        raise
    except SyntaxError as error:
        raise syntax_error(error.filename or "", error) from error
    except (Exception, SystemExit) as error:
        loc = users_line(error.__traceback__)
        if loc is None:
            raise
        raise DlcError(f"{type(error).__name__}: {error}".rstrip(": "), loc) from error


def users_line(trace: TracebackType | None) -> Loc | None:
    """The user's line that an exception came through last; None when dlc itself raised it."""
    found, innermost = None, None
    while trace is not None:
        file = innermost = trace.tb_frame.f_code.co_filename
        if not is_library(file):
            found = Loc(file, trace.tb_lineno, *columns(trace))
        trace = trace.tb_next
    own = innermost is not None and innermost.startswith(str(_PACKAGE) + os.sep)
    from_models = innermost is not None and innermost.startswith(str(_PACKAGE / "models"))
    return None if own and not from_models else found


def is_library(file: str) -> bool:
    """Whether `file` is dlc's, Python's or an installed package's, and not the user's."""
    if file.startswith(str(_PACKAGE / "models") + os.sep):
        return False
    own = file.startswith((str(_PACKAGE) + os.sep, str(_PACKAGE.resolve().parent / "runtime")))
    return own or file.startswith(_INSTALLED) or not linecache.getline(file, 1)


def columns(trace: TracebackType) -> tuple[int, int]:
    """The columns of the call that a frame stands in, (-1, -1) when it spans lines."""
    places = list(trace.tb_frame.f_code.co_positions())
    line, end_line, column, end_column = places[trace.tb_lasti // 2]
    if line != end_line or column is None or end_column is None:
        return -1, -1
    return column, end_column
