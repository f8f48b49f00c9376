"""Results of conformance runs: shards that go on, rows that grow stale, the table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conformance import conftest, cut, results


@pytest.fixture
def tree(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Sources, a journal and a file of results apart."""
    for path in ("dlc/reference/evaluate.py", "dlc/backend/lower.py", "runtime/compile/lower.py",
                 "runtime/report/page.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("first = 1\n")
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.setattr(results, "JOURNAL", tmp_path / "journal" / "journal.jsonl")
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results.json")
    results.digest.cache_clear()
    yield tmp_path
    results.digest.cache_clear()


def changed(path: Path) -> None:
    path.write_text("second = 1\n")
    results.digest.cache_clear()


def tally(suite: str, passed: int, wrong: int = 0, **excluded: int) -> dict[str, Any]:
    return {"suite": suite, "passed": passed, "wrong": wrong, "excluded": excluded, "drawn": ""}


def test_rows_grow_stale_with_the_sources_that_decide_them(tree: Path) -> None:
    rows = [{"isa": isa, "sources": results.digest(isa)} for isa in ("", "avx2")]
    assert [results.stale(r) for r in rows] == [False, False]
    changed(tree / "runtime" / "report" / "page.py")
    assert [results.stale(r) for r in rows] == [False, False]
    changed(tree / "runtime" / "compile" / "lower.py")
    assert [results.stale(r) for r in rows] == [False, True]
    changed(tree / "dlc" / "reference" / "evaluate.py")
    assert [results.stale(r) for r in rows] == [True, True]


def test_what_computes_nothing_makes_no_row_stale(tree: Path) -> None:
    """A comment, a docstring, an import, and a function that moves into another file."""
    lower, graph = tree / "dlc" / "backend" / "lower.py", tree / "dlc" / "backend" / "nest.py"
    lower.write_text("def f(x):\n    return x + 1\n\n\ndef g(x):\n    return x - 1\n")
    results.digest.cache_clear()
    before = results.digest("avx2")
    lower.write_text('"""Sums."""\nimport math\n\n\ndef f(x):\n    """One\n    more."""\n'
                     "    # why\n    return x + 1  # here\n")
    graph.write_text("def g(x):\n    return x - 1\n")
    results.digest.cache_clear()
    assert results.digest("avx2") == before
    graph.write_text("def g(x):\n    return x - 2\n")
    results.digest.cache_clear()
    assert results.digest("avx2") != before


def test_the_sources_are_those_of_passes_kernels_and_the_evaluator() -> None:
    names = {str(p.relative_to(results.ROOT)) for p in results.sources("avx2")}
    assert {"dlc/passes/fuse/fuse.py", "dlc/backend/lower.py", "dlc/backend/assemble.py",
            "dlc/backend/cpu/prelude/__init__.py", "dlc/ops/leaf.py", "dlc/reference/evaluate.py",
            "runtime/compile/lower.py", "runtime/cpu/threads.py"} <= names
    assert all(any(results.ROOT.glob(p)) for p in results.COMPILER)
    evaluated = {str(p.relative_to(results.ROOT)) for p in results.sources("")}
    assert evaluated < names and "dlc/passes/fuse/fuse.py" not in evaluated


def test_a_shard_goes_on_where_it_was_ended(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that passed are not run again, unless a source has changed; failed ones are."""
    names = [f"tests/conformance/test_opinfo.py::test_{kind}[{i}]" for i in range(3)
             for kind in ("evaluated", "compiled")]
    hooks = SimpleNamespace(pytest_deselected=lambda items: None)
    config: Any = SimpleNamespace(getoption=lambda name: "conformance", hook=hooks)
    monkeypatch.setattr(cut, "FULL", True)

    def left(isa: str, part: int = 0) -> list[str]:
        monkeypatch.setenv("DLC_CPU", isa)
        monkeypatch.setattr(cut, "RUNNING", frozenset([part]))
        items: Any = [SimpleNamespace(nodeid=n, get_closest_marker=lambda name: None)
                      for n in names]
        conftest.pytest_collection_modifyitems(config, items)
        return [item.nodeid for item in items]

    assert left("avx2") == names
    for name in names[:4]:
        monkeypatch.setenv("DLC_CPU", "avx2")
        results.note(name, conftest.isa_of(name), 0, name == names[1], [])
    with results.JOURNAL.open("a") as file:
        file.write('{"test": "cut off by a ki')
    assert left("avx2") == [names[1], *names[4:]]
    assert left("scalar") == [names[1], names[3], *names[4:]]  # what is evaluated runs once
    assert left("avx2", part=1) == names  # the same tests run another part of their suites
    changed(tree / "runtime" / "compile" / "lower.py")
    assert left("avx2") == [names[1], names[3], *names[4:]]
    changed(tree / "dlc" / "reference" / "evaluate.py")
    assert left("avx2") == names


def test_the_tests_that_choose_their_cases_run_in_every_shard() -> None:
    """Else a shard would run its part of them only when they happen to be cases of that part."""
    folder = Path(conftest.__file__).parent
    for name, functions in conftest.PARTED.items():
        text = (folder / name).read_text()
        assert all(f"def {function}(" in text for function in functions), name
    choosing = {path.name for path in folder.glob("test_*.py") if "chosen(" in path.read_text()}
    assert choosing - {"test_cut.py", "test_results.py"} <= {
        *conftest.PARTED, "test_targets_fire.py"}  # of which a full run takes all


def test_rows_sum_a_part_up_and_take_the_place_of_older_ones(tree: Path) -> None:
    results.note("a", "avx2", 4, False, [tally("one", 5, odd=2), tally("two", 1)])
    results.note("b", "avx2", 4, True, [tally("one", 3, wrong=2, odd=1)])
    results.note("c", "avx2", 4, True, [tally("two", 7)])  # a test that fails without a count
    results.note("a", "avx2", 5, False, [tally("one", 100)])
    results.note("e", "", 4, False, [tally("one", 50)])
    rows = results.rows_of(4, "avx2", results.journal())
    assert [(r["suite"], r["passed"], r["wrong"], r["excluded"]) for r in rows] == [
        ("one", 8, 2, {"odd": 3}), ("two", 8, 1, {})]
    old = [{**rows[0], "passed": 1}, {**rows[0], "part": 9}]
    results.write(results.merged(old, rows))
    assert [(r["suite"], r["part"], r["passed"]) for r in results.read()] == [
        ("one", 4, 8), ("one", 9, 8), ("two", 4, 8)]


def test_the_table_says_what_is_stale_and_what_never_ran(tree: Path) -> None:
    results.note("a", "avx2", 4, False, [tally("torch OpInfo", 1500, rare=2)])
    row, = results.rows_of(4, "avx2", results.journal())
    rows = [{**row, "date": "2026-01-02"}, {**row, "part": 5, "sources": "old",
                                            "date": "2026-01-01"}]
    lines = results.table(rows).splitlines()
    assert ("| torch OpInfo | compiled, avx2 | 3,000 | 4 | 0 | 2 of 20 | 2026-01-02 | 1 of 2 |"
            in lines)
    assert "| torch OpInfo | compiled, avx2 | 4 | rare |" in lines
    assert "| torch OpInfo | compiled, scalar | | | | 0 of 20 | not run | |" in lines
    assert "| torch OpInfo | evaluated | | | | 0 of 20 | not run | |" in lines
    assert not any("equivalent rewrites | evaluated" in line for line in lines)


def test_the_committed_rows_are_of_known_parts_and_whole() -> None:
    for row in results.read():
        assert set(row) == {"suite", "isa", "part", "passed", "wrong", "excluded", "drawn",
                            "sources", "commit", "date"}
        assert 0 <= row["part"] < cut.PARTS and row["commit"]
    text = results.RESULTS.read_text()
    assert json.loads(text) == results.read() and len(text.splitlines()) == len(results.read()) + 2
