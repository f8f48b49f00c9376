"""Compiling the library's C and linking it with the kernels: by cc, else by the package ziglang."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from dlc.errors import DlcError

# Kernels call the C library's functions by name; no two instructions of C are joined into one.
FLAGS = ("-std=gnu11", "-O2", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-pthread",
         "-Wall", "-Wextra", "-Wno-overlength-strings")
LINKS = ("-shared", "-Wl,-z,defs", "-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack")
LIBRARIES = ("-lm",)
INSTALL = "pip install 'dlc[build]'"


class LinkFailed(Exception):
    """What the C compiler said of the library."""


def compiler() -> list[str] | None:
    """The command of a C compiler: CC, else cc, else Zig's in the package ziglang; None without.

    Raises DlcError for a CC that names no program.
    """
    named = os.environ.get("CC", "")
    try:
        chosen = shlex.split(named)
    except ValueError:  # a quotation mark without its other
        chosen = [named]
    if chosen and not shutil.which(chosen[0]):
        raise DlcError(f"CC={named}: there is no such program", None,
                       "the command of a C compiler; without CC it is cc")
    if chosen:
        return chosen
    found = shutil.which("cc")
    if found:
        return [found]
    if importlib.util.find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "cc"]
    return None


def command(cc: Sequence[str], name: str, objects: Sequence[str]) -> list[str]:
    """What links the library in the folder above that of its sources."""
    return [*cc, *FLAGS, *LINKS, f"-Wl,-soname,lib{name}.so", "-Wl,--version-script=exports.map",
            "-I..", "-o", f"../lib{name}.so", *sorted(p for p in SOURCES if p.endswith(".c")),
            "model.c", *objects, *LIBRARIES]


def link(folder: Path, name: str, objects: Sequence[str], cc: Sequence[str]) -> Path:
    """The library from what lies in `folder`/source. Raises LinkFailed."""
    done = subprocess.run(command(cc, name, objects), cwd=folder / "source", capture_output=True,
                          text=True, check=False)
    if done.returncode:
        raise LinkFailed((done.stderr or done.stdout).strip()[-4000:])
    return folder / f"lib{name}.so"


def script(name: str, objects: Sequence[str]) -> str:
    """link.sh: the same by hand, with the compiler that CC names."""
    return "\n".join(["#!/bin/sh", "# Links the library again, from this folder.",
                      'cd "$(dirname "$0")" || exit 1',
                      'exec ${CC:-cc} ' + shlex.join(command((), name, objects)), ""])


def library_sources() -> dict[str, str]:
    """The library's own C by name of file."""
    return {path.name: path.read_text() for path in sorted(
        (Path(__file__).parent / "library").iterdir()) if path.suffix in (".c", ".h")}


SOURCES = library_sources()
