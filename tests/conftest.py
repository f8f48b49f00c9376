"""Fixtures of all tests: a generator seeded by the test's name, golden texts, a cache apart."""

from __future__ import annotations

import difflib
import functools
import gc
import os
import secrets
import signal
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from dlc import runtime
from dlc.backend import assemble
from dlc.backend.cpu.isa import ISAS
from dlc.checks import static
from dlc.checks.launches import device_for
from dlc.program import Program
from dlc.runtime.cpu import table_builder

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"

# Examples come from the test's own name, so a failure repeats on every machine.
settings.register_profile("dlc", derandomize=True, deadline=None, database=None, max_examples=50)
settings.register_profile("deep", derandomize=False, deadline=None, max_examples=2000)
settings.load_profile("dlc")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update-golden` writes what the compiler prints now over the texts in tests/golden,
    `--conformance-results` the counts of a whole shard to tests/conformance/results.json."""
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden/*")
    parser.addoption("--conformance-results", action="store_true", help="keep a shard's counts")
    parser.addoption("--isa", help="generate for this instruction set; interpret what cannot run")


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # a shell's `command &` ignores it, and so would every process that a test means to stop
        signal.signal(signal.SIGINT, signal.default_int_handler)
    check_what_is_compiled()
    table_builder.SHORT = 0  # programs of tests are small, and to be run by all their threads
    if "PYTEST_XDIST_WORKER" in os.environ:  # the cores have a process each already
        os.environ.setdefault("DLC_WORKERS", "1")
    # one seed for all processes, and one day, also when they start about midnight
    os.environ.setdefault("FUZZ_SEED", str(1 + secrets.randbelow(1 << 30)))
    os.environ.setdefault("CONFORMANCE_SEED", str(int(time.time()) // 86400))
    if config.getoption("--isa") is not None:
        generate_for(config.getoption("--isa"))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A run of one marker's tests imports no file that does not name it."""
    marker, is_test = config.getoption("markexpr"), collection_path.match("test_*.py")
    if not is_test or not str(marker).isidentifier():
        return None
    text = collection_path.read_text()
    return not (f"mark.{marker}" in text or (marker == "conformance" and "swept(" in text)) or None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of sweeps what this run takes. With `--isa`, tests whose parameters name an instruction set
    are left out: they do the same in `make test`."""
    from tests.conformance.cut import split  # it reads the day, which pytest_configure fixes

    if not config.getoption("--update-golden"):
        items[:] = split(items, config.args)
    if config.getoption("--isa") is None:
        return
    named = [i for i in items if isinstance(i, pytest.Function) and hasattr(i, "callspec")
             and any(isinstance(v, str) and v in ISAS for v in i.callspec.params.values())]
    left = set(named)
    items[:] = [i for i in items if i not in left]
    config.hook.pytest_deselected(items=named)


def pytest_collection_finish() -> None:
    """What is there before the first test stays to the end: looking for garbage in it again and
    again took a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 10)


def generate_for(isa: str) -> None:
    """Programs are compiled for `isa`, and interpreted where this machine lacks it."""
    os.environ["DLC_CPU"] = isa
    original = runtime.load

    @functools.wraps(original)
    def load(program: Program, device: str = "cpu", threads: int | None = None) -> Any:
        return original(program, device_for(program) if device == "cpu" else device, threads)

    runtime.load = load


def check_what_is_compiled() -> None:
    """Whatever a test compiles passes the checkers that need no run (dlc/checks)."""
    original = assemble.assembled

    @functools.wraps(original)
    def checked(*args: Any, **options: Any) -> Any:
        made = original(*args, **options)
        static.check_assembled(*made)
        return made

    assemble.assembled = checked


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator whose seed is the CRC of the test's name and parameters."""
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden(name, text)`: compare `text` with tests/golden/`name`, or rewrite that file.

    Fails with a unified diff, and when the file is not there.
    """
    update = request.config.getoption("--update-golden")

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            return
        if not path.exists():
            pytest.fail(f"tests/golden/{name} is missing; write it with pytest --update-golden")
        before, after = path.read_text(), text
        if before != after:
            lines = difflib.unified_diff(
                before.splitlines(), after.splitlines(), f"golden/{name}", "now", lineterm=""
            )
            pytest.fail("\n".join(lines), pytrace=False)

    return compare


@pytest.fixture(scope="session", autouse=True)
def cache_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One object cache for the whole run, shared by its processes, never the user's own.
    CACHE_OF_TESTS names another, which several runs share (`make faults`)."""
    base = tmp_path_factory.getbasetemp()
    run = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    directory = Path(os.environ.get("CACHE_OF_TESTS") or run / "dlc-cache")
    directory.mkdir(mode=0o700, exist_ok=True)
    os.environ["DLC_CACHE"] = str(directory)
    return directory
