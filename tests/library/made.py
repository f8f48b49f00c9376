"""Libraries built and programs compiled against them, for the tests of libraries."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

HERE = Path(__file__).parent
STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic")
# what an optimizer may find wrong is found in the library too, whose C is compiled with it
SANITIZED = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def has(program: str) -> bool:
    """Whether a program is installed; tests that need another one say so and end."""
    found = shutil.which(program) is not None
    if not found:
        print(f"{program} is not installed: what needs it was not run")
    return found


def run(command: Sequence[str], cwd: Path, status: int = 0, **environment: str) -> str:
    """What a command prints on both outputs; AssertionError for another exit status."""
    done = subprocess.run(list(command), cwd=cwd, env={**os.environ, **environment}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                          timeout=200)  # a thread that waits for ever
    assert done.returncode == status, f"{' '.join(command)}: {done.returncode}\n{done.stdout}"
    return done.stdout


def program(folder: Path, source: Path, name: str, compiler: Sequence[str] = ("cc",)) -> Path:
    """`source`, compiled strictly against the library in `folder`."""
    out = folder / source.stem
    run([*compiler, *STRICT, f"-DHEADER=\"{name}.h\"", str(source), "-o", str(out), "-I.", "-L.",
         f"-l{name}", "-pthread", "-Wl,-rpath,$ORIGIN"], folder)
    return out


def sanitized(folder: Path, source: Path, name: str) -> Path:
    """`source` and the library's own C as one program that checks memory and arithmetic."""
    out, checked = folder / f"{source.stem}_sanitized", folder / "sanitized"
    if not checked.exists():
        checked.mkdir()
        run(["cc", "-std=gnu11", *SANITIZED, "-Wno-overlength-strings", "-c", "-I..", "-I../source",
             *map(str, (folder / "source").glob("*.c"))], checked)
    parts = [str(p) for inner in (checked, folder / "source") for p in inner.glob("*.o")]
    run(["cc", "-std=gnu11", *SANITIZED, f"-DHEADER=\"{name}.h\"", "-I.", str(source), *parts,
         "-o", str(out), "-pthread", "-lm"], folder)
    return out


def imported(path: Path) -> ModuleType:
    """A wrapper as its user imports it: its folder is where modules are looked for."""
    import importlib

    sys.path.insert(0, str(path.parent))
    try:
        for name in (path.stem, f"{path.stem}_plain"):
            sys.modules.pop(name, None)
        return importlib.import_module(path.stem)
    finally:
        sys.path.remove(str(path.parent))


def tensors_of(path: Path) -> bytes:
    """The part of a safetensors file behind its header, and the header without its metadata."""
    import json

    content = path.read_bytes()
    size = 8 + int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8:size])
    header.pop("__metadata__", None)
    return json.dumps(header, sort_keys=True).encode() + content[size:]


def rows_of(folder: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The training data that --data wrote: pictures and labels."""
    image = np.fromfile(folder / "image.rows", np.float32).reshape(-1, 1, 10, 10)
    return image, np.fromfile(folder / "label.rows", np.int32)
