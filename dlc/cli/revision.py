"""FILE@REVISION: a user's file as it is in a revision of its git repository, with what it imports.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dlc.cli.arguments import UsageError
from dlc.cli.source import split_name

NAMED = re.compile(r"(.+?\.(?:py(?::\w+)?|onnx))@(.+)", re.DOTALL)
PYTHON = ":(top,glob)**/*.py"  # a file is written out among all Python files of its revision


@contextmanager
def at_revision(name: str) -> Iterator[str]:
    """The name of a file as it is in a revision: FILE@REVISION or FILE:TASK@REVISION; any other
    name as it is. The modules that the file imports from beside it are forgotten afterwards, so
    that another revision has its own. Raises UsageError where git has none."""
    match = NAMED.fullmatch(name)
    if match is None or split_name(name)[0].exists():
        with forgetting():
            yield name
        return
    file, revision = match.groups()
    path, task = split_name(file)
    with tempfile.TemporaryDirectory() as folder, forgetting():
        found = exported(name, path, revision, Path(folder).resolve())
        yield f"{found}:{task}" if task else str(found)


def exported(name: str, path: Path, revision: str, folder: Path) -> Path:
    """Where the file lies in `folder` once the revision's Python files are there. Raises UsageError
    where the revision or the file in it does not exist."""
    if not path.parent.is_dir():
        raise UsageError(f"{name}: there is no folder {str(path.parent)!r}")
    home = path.parent.resolve()
    top = Path(git(name, home, "rev-parse", "--show-toplevel").decode().strip())
    commit = git(name, home, "rev-parse", "--verify", "--end-of-options",
                 f"{revision}^{{commit}}").decode().strip()
    inner = (home / path.name).relative_to(top.resolve())
    git(name, top, "cat-file", "-e", f"{commit}:{inner.as_posix()}")
    data = git(name, top, "archive", "--format=tar", commit, "--", PYTHON, inner.as_posix())
    with tarfile.open(fileobj=io.BytesIO(data)) as tree:
        tree.extractall(folder, filter="data")
    return folder / inner


def git(name: str, folder: Path, *arguments: str) -> bytes:
    """What git prints. Raises UsageError with its words where it fails or is not installed."""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=False)
    except FileNotFoundError:
        raise UsageError(f"{name}: FILE@REVISION needs git, which is not installed") from None
    if done.returncode:
        told = done.stderr.decode(errors="replace").strip().splitlines()
        raise UsageError(f"{name}: git has no such revision of the file"
                         + (f": {told[-1]}" if told else ""))
    return done.stdout


@contextmanager
def forgetting() -> Iterator[None]:
    """Forget the user's modules that are imported meanwhile: those from folders that sys.path got.
    """
    modules, folders = set(sys.modules), list(sys.path)
    try:
        yield
    finally:
        new = [Path(folder) for folder in sys.path if folder not in folders]
        sys.path[:] = folders
        for name in set(sys.modules) - modules:
            file = getattr(sys.modules[name], "__file__", None)
            if file and any(Path(file).is_relative_to(folder) for folder in new):
                del sys.modules[name]
