"""Conformance tests import the peers: collected only when asked for, their figures shown.

A full run notes each finished test in a journal. One that was ended goes on where it was, and one
that came to its end writes its counts to results.json and to the page.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import cut, results
from tests.documents import replaced

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"
PEERLESS = {"test_exhaustive_f32.py", "test_page.py", "test_cut.py", "test_onnx_referee.py",
            "test_nnsmith_fresh.py", "test_results.py", "test_together.py"}
# Tests that ask cut.chosen which cases run: they belong to every shard. All others are cases
# themselves.
BOTH = "test_evaluated", "test_compiled"
PARTED = {
    "test_opinfo_errors.py": ("test_what_torch_refuses",),
    "test_opinfo.py": BOTH, "test_opinfo_integers.py": BOTH, "test_jax_harnesses.py": BOTH,
    "test_nnsmith.py": (*BOTH, "test_the_fresh_corpora_are_accounted_for_evaluated"),
    "test_onnx.py": ("test_nodes_evaluated", "test_nodes_of_other_dtypes_evaluated",
                     "test_nodes_compiled", "test_nodes_of_other_dtypes_compiled"),
    "test_equivalent.py": ("test_rewritten_programs_compiled",),
    "test_training.py": ("test_training_compiled",),
    "test_training_onnx.py": ("test_training_compiled",),
    "test_edges.py": ("test_edges_through_kernels",), "test_peers.py": ("test_twenty_steps",),
    "test_full_size.py": ("test_one_step_in_full_size",),
    "test_jax.py": ("test_derivatives", "test_on_the_cpu"),
    "test_numerics.py": ("test_along_the_last_axis", "test_along_the_first_axis_and_both_ends",
                         "test_ten_million_elements", "test_products", "test_dots")}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave files that need PyTorch and JAX alone unless `-m conformance` chooses them."""
    if asked(config) or collection_path.name in PEERLESS or not collection_path.name.startswith(
            "test_"):
        return None
    return True


def asked(config: pytest.Config) -> bool:
    """Whether this is a run of the conformance tests."""
    return bool(config.getoption("markexpr") == "conformance")


def pytest_configure(config: pytest.Config) -> None:
    if asked(config):
        os.environ["DLC_CPU"] = cut.isa()
        # as a reference, in half the time
        os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long ones first, so that no process is left with one at the end. In a shard: the tests that
    belong to it, without those that have passed."""
    if not asked(config):
        return
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    if not cut.FULL:
        return
    done = {(row["test"], row["isa"]) for row in results.journal()
            if not row["failed"] and {row["part"]} == cut.RUNNING}
    left = [item for item in items if belongs(item) and (
        item.nodeid, isa_of(item.nodeid)) not in done]
    config.hook.pytest_deselected(items=[item for item in items if item not in left])
    items[:] = left


def belongs(item: pytest.Item) -> bool:
    """Whether a test is in this run's parts; those of other folders choose their cases."""
    if "tests/conformance" not in item.nodeid:
        return True
    return parted(item.nodeid) or cut.part_of("tests", item.nodeid) in cut.RUNNING


def parted(test: str) -> bool:
    """Whether a test runs its part of a suite."""
    path, _, name = test.partition("::")
    return name.partition("[")[0] in PARTED.get(Path(path).name, ())


def isa_of(test: str) -> str:
    """What a test runs on: "" is the evaluator, which no instruction set changes."""
    return "" if "evaluated" in test.rpartition("::")[2] else cut.isa()


@pytest.fixture
def tally(record_property: Callable[[str, Any], None]) -> Callable[[str], cut.Tally]:
    """`tally(suite)`: counts of this test for the table of suites."""
    return lambda suite: cut.Tally(suite, record_property)


def tallies(report: pytest.TestReport) -> list[dict[str, Any]]:
    """The counts of a test; one that counts nothing is a case itself."""
    found = [value for key, value in report.user_properties if key == "tally"]
    suite = Path(report.nodeid.partition("::")[0]).name
    return found or [{"suite": suite, "passed": int(report.passed), "wrong": 0, "excluded": {},
                      "drawn": ""}]


class Shard:
    """The run as its controlling process sees it."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that has run."""
        if report.when != "call" or "tests/conformance" not in report.nodeid:
            return
        line = {"isa": isa_of(report.nodeid), "failed": report.failed, "part": -1,
                "tallies": tallies(report), "sources": "", "commit": "", "date": ""}
        self.lines.append(line)
        if cut.FULL and len(cut.RUNNING) == 1:
            results.note(report.nodeid, line["isa"], min(cut.RUNNING), report.failed,
                         line["tallies"])


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    if asked(session.config) and "PYTEST_XDIST_WORKER" not in os.environ:
        session.config.pluginmanager.register(Shard(), "conformance shard")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A shard that came to its end: its rows of results.json, and the page."""
    ended = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED,
                           pytest.ExitCode.NO_TESTS_COLLECTED)
    config = session.config
    if not config.pluginmanager.hasplugin("conformance shard") or config.option.collectonly:
        return
    if ended and config.getoption("--conformance-results") and len(cut.RUNNING) == 1:
        part, lines = min(cut.RUNNING), results.journal()
        new = [row for isa in ("", cut.isa()) for row in results.rows_of(part, isa, lines)]
        results.write(results.merged(results.read(), new))
        PAGE.write_text(replaced(PAGE.read_text(), "suites", results.table(results.read())))
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:  # all have passed in an earlier run
            session.exitstatus = pytest.ExitCode.OK


def figures(config: pytest.Config) -> Iterator[str]:
    """Passed, left out and wrong of this run, by suite."""
    shard = config.pluginmanager.getplugin("conformance shard")
    lines = shard.lines if shard else []
    share = f"parts {sorted(p + 1 for p in cut.RUNNING)} of {cut.PARTS}"
    yield (f"{share} on {cut.isa()}, seed {cut.SEED} (CONFORMANCE_SEED): passed / excluded / wrong")
    for isa in ("", cut.isa()):
        for row in results.rows_of(-1, isa, lines):
            name = f"{row['suite']}, {results.how(isa)}"
            yield (f"{name}: {row['passed']:,} / {sum(row['excluded'].values()):,} / "
                   f"{row['wrong']:,}")
            yield from (f"{name}: {n:,} left out: {reason}" for reason, n in sorted(
                row["excluded"].items()))


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter,
                            config: pytest.Config) -> None:
    """Print what the conformance tests measured: counts, errors, seeds."""
    if not asked(config):
        return
    reports = [report for report in terminalreporter.stats.get("passed", [])
               if "tests/conformance" in report.nodeid]
    terminalreporter.section("what conformance measured")
    for line in [*(x for r in reports for x in r.capstdout.splitlines()), *figures(config)]:
        terminalreporter.write_line(line)
