"""What ptxas makes of a kernel, without a GPU: PTX to machine code with NVIDIA's linker, nvJitLink,
and machine code to a text, SASS, with nvdisasm.

Both come with `pip install "dlc[cuda]"` (the wheels nvidia-nvjitlink and nvidia-cuda-nvdisasm,
which need no driver). The linker is called by its C interface (nvJitLink.h,
https://docs.nvidia.com/cuda/nvjitlink), the disassembler is a program of the CUDA Binary Utilities.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

PTX_INPUT = 2  # NVJITLINK_INPUT_PTX
LIBRARY = "libnvJitLink.so*"
DISASSEMBLER = "nvdisasm"
OFFSET = re.compile(r"^\s*/\*[0-9a-f]+\*/\s*")  # an instruction's place
LABEL = re.compile(r"^[.\w$]+:$")
PATIENCE = 60.0  # seconds: a kernel takes less than one


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


def disassembled(cubin: bytes) -> str:
    """The instructions of a cubin as text, SASS, without what only a linker reads. Raises
    LinkerError where nvdisasm is not installed or fails."""
    program = disassembler()
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        try:
            done = subprocess.run([program, "--print-code", file.name], capture_output=True,
                                  timeout=PATIENCE, check=False)
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise LinkerError(f"{program} does not run: {problem}") from None
    if done.returncode:
        told = done.stderr.decode(errors="replace").strip()
        raise LinkerError(f"{program} fails: {told or done.returncode}")
    return instructions(done.stdout.decode(errors="replace"))


def instructions(text: str) -> str:
    """The instructions and labels of nvdisasm's text, without what fills it up at the end."""
    found: list[str] = []
    for line in text.splitlines():
        if OFFSET.match(line):
            found.append(f"    {OFFSET.sub('', line).removesuffix(';').rstrip()}")
        elif LABEL.match(line) and not line.startswith(".text"):
            found.append(line)
    while found and (found[-1].strip() == "NOP" or LABEL.match(found[-1])):
        found.pop()
    return "\n".join(found)


def disassembler() -> str:
    """The path of nvdisasm: the wheel's, else that of a CUDA toolkit on the PATH. Raises
    LinkerError where there is none."""
    found = next(installed(f"bin/{DISASSEMBLER}"), None) or shutil.which(DISASSEMBLER)
    if found is None:
        raise LinkerError('SASS needs NVIDIA\'s disassembler: pip install "dlc[cuda]"')
    return str(found)


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """nvJitLink. Raises LinkerError where it is not installed."""
    for path in installed(f"lib/{LIBRARY}"):
        return ctypes.CDLL(str(path))
    raise LinkerError('machine code needs NVIDIA\'s linker: pip install "dlc[cuda]"')


def installed(pattern: str) -> Iterator[Path]:
    """Files of NVIDIA's wheels, those of the newest CUDA first."""
    spec = find_spec("nvidia")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        yield from sorted(Path(folder).glob(f"*/{pattern}"), reverse=True)
