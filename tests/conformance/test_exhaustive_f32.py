"""Every f32 function of the prelude over all 2**32 bit patterns, when its text has changed.

exhaustive_f32.json holds, per function, a digest of its text and the largest error measured over
every pattern. Where the digest still holds, one 64th of the patterns is checked against that
error, another one each day; `--update-golden` writes the file after a full run.
"""

from __future__ import annotations

import ast
import hashlib
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from dlc.backend.cpu.prelude import prelude_text
from tests.backend.cpu.ulp import BOUNDS, worst
from tests.conformance.cut import Tally

RECORD = Path(__file__).with_name("exhaustive_f32.json")
BLOCK = 1 << 14  # keeps a block's arrays in the second-level cache
DAYS = int(time.time() // 86400)


def closure_digest(function: str) -> str:
    """SHA-256 of the statements of `function` and of all prelude functions that it calls."""
    text = prelude_text()
    lines = text.splitlines()
    bodies = {f.name: f for f in ast.parse(text).body if isinstance(f, ast.FunctionDef)}
    pending, seen = [function], set()
    while pending:
        name = pending.pop()
        seen.add(name)
        names = {n.id for n in ast.walk(bodies[name]) if isinstance(n, ast.Name)}
        pending.extend((names & bodies.keys()) - seen)
    digest = hashlib.sha256()
    for name in sorted(seen):
        first, last = bodies[name].body[1].lineno, bodies[name].end_lineno  # past the docstring
        digest.update("\n".join([lines[bodies[name].lineno - 1], *lines[first - 1:last]]).encode())
    return digest.hexdigest()


def sweep(name: str, start: int, step: int) -> tuple[float, int]:
    """(largest error, its pattern) over the patterns start, start + step, ...; two threads."""
    def block(first: int) -> tuple[float, int]:
        last = min(first + BLOCK * step, 1 << 32)
        return worst(name, np.arange(first, last, step, dtype=np.uint32))

    block(start)  # compiles in one thread
    with ThreadPoolExecutor(2) as pool:
        return max(pool.map(block, range(start, 1 << 32, BLOCK * step)))


@pytest.mark.sliced
@pytest.mark.conformance
@pytest.mark.parametrize("name", BOUNDS)
def test_error_over_bit_patterns(name: str, request: pytest.FixtureRequest,
                                 tally: Callable[[str], Tally]) -> None:
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    entry, digest = record.get(name, {}), closure_digest(f"{name}_f32")
    full = entry.get("digest") != digest
    error, pattern = sweep(name, 0, 1) if full else sweep(name, DAYS * 37 % 64, 64)
    value = np.uint32(pattern).view(np.float32)
    kind = "all 2**32" if full else f"patterns {DAYS * 37 % 64} modulo 64 of 2**32"
    print(f"{name}_f32: {error:.4f} ULP at {value!r} (0x{pattern:08x}), {kind}")
    tally("functions over every f32").add()
    limit = BOUNDS[name] if full else entry["max_ulp"]
    assert error <= limit, f"{name}_f32 is off by {error} ULP at 0x{pattern:08x}; bound {limit}"
    if full and request.config.getoption("--update-golden"):
        record[name] = {"digest": digest, "max_ulp": error, "at": f"0x{pattern:08x}"}
        RECORD.write_text(json.dumps(dict(sorted(record.items())), indent=1) + "\n")


def test_record_is_current() -> None:
    """The committed errors are those of today's text, and within the bounds."""
    record = json.loads(RECORD.read_text())
    stale = [n for n in BOUNDS if record.get(n, {}).get("digest") != closure_digest(f"{n}_f32")]
    assert not stale, (f"the text of {', '.join(stale)} changed: run pytest -m conformance "
                       "--update-golden tests/conformance/test_exhaustive_f32.py")
    assert {n: record[n]["max_ulp"] <= BOUNDS[n] for n in BOUNDS} == dict.fromkeys(BOUNDS, True)
