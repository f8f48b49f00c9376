"""PTX to machine code with NVIDIA's linker, nvJitLink: what ptxas makes of a kernel, without a GPU.

It comes with `pip install "dlc[cuda]"` (the wheel nvidia-nvjitlink, which needs no driver), and is
called by its C interface (nvJitLink.h, https://docs.nvidia.com/cuda/nvjitlink).
"""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

PTX_INPUT = 2  # NVJITLINK_INPUT_PTX
LIBRARY = "libnvJitLink.so*"


class LinkerError(Exception):
    """Machine code that can't be made; the message says what is missing or what is wrong."""


@dataclass(frozen=True)
class MachineCode:
    """A kernel as ptxas assembled it: the cubin, and for each thread its registers, the bytes that
    it spills and those of its stack; for each block its barriers and bytes of shared memory."""

    cubin: bytes
    registers: int
    spilled: int
    stack: int
    barriers: int
    shared: int


def assembled(ptx: str, architecture: str) -> MachineCode:
    """The machine code of a kernel's PTX. Raises LinkerError with ptxas' own words."""
    options = [f"-arch={architecture}", "-verbose", "-Xptxas=-v"]
    words = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
    handle = ctypes.c_void_p()
    if library().nvJitLinkCreate(ctypes.byref(handle), len(options), words):
        raise LinkerError(f"nvJitLink does not know the architecture {architecture}")
    try:
        return _assembled(handle, ptx.encode())
    finally:
        library().nvJitLinkDestroy(ctypes.byref(handle))


def _assembled(handle: ctypes.c_void_p, data: bytes) -> MachineCode:
    link = library()
    status = link.nvJitLinkAddData(handle, PTX_INPUT, data, ctypes.c_size_t(len(data)), b"kernel")
    status = status or link.nvJitLinkComplete(handle)
    if status:
        raise LinkerError(_log(handle, "Error").strip() or f"nvJitLink fails with status {status}")
    size = ctypes.c_size_t()
    link.nvJitLinkGetLinkedCubinSize(handle, ctypes.byref(size))
    cubin = ctypes.create_string_buffer(size.value)
    link.nvJitLinkGetLinkedCubin(handle, cubin)
    return figures(cubin.raw, _log(handle, "Info"))


def _log(handle: ctypes.c_void_p, kind: str) -> str:
    size = ctypes.c_size_t()
    getattr(library(), f"nvJitLinkGet{kind}LogSize")(handle, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value + 1)
    getattr(library(), f"nvJitLinkGet{kind}Log")(handle, text)
    return text.value.decode(errors="replace")


def figures(cubin: bytes, log: str) -> MachineCode:
    """What ptxas reports of a kernel. Raises LinkerError where it reports no registers."""
    def number(pattern: str) -> int:
        found = re.findall(pattern, log)
        return max(map(int, found), default=0)

    if "registers" not in log:
        raise LinkerError(f"ptxas reports no registers: {log.strip()!r}")
    return MachineCode(cubin, number(r"Used (\d+) registers"),
                       number(r"(\d+) bytes spill stores"), number(r"(\d+) bytes stack frame"),
                       number(r"Used \d+ registers, used (\d+) barriers"),
                       number(r"(\d+) bytes smem"))


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """nvJitLink. Raises LinkerError where it is not installed."""
    spec = find_spec("nvidia")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).glob(f"*/lib/{LIBRARY}"), reverse=True):
            return ctypes.CDLL(str(path))
    raise LinkerError('machine code needs NVIDIA\'s linker: pip install "dlc[cuda]"')
