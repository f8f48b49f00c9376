"""The parts of a suite: fixed for each case, all of them in ten days in a row, and in 20 shards."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import conftest
from tests.conformance import cut

NAMES = [f"case{i}" for i in range(1000)]


@pytest.mark.parametrize("first", [0, 7, 20786])
def test_ten_days_in_a_row_run_every_case(first: int) -> None:
    days = [cut.parts(False, seed, "") for seed in range(first, first + 10)]
    run = [set(cut.chosen("suite", NAMES, day)) for day in days]
    assert set().union(*run) == set(NAMES)
    assert sum(map(len, run)) == len(NAMES)  # each once
    assert all(50 < len(names) < 160 for names in run)


@pytest.mark.parametrize("machine", ["avx512", "avx2", "scalar", "neon"])
def test_each_slice_meets_each_instruction_set_of_the_machine(machine: str) -> None:
    sets = cut.NATIVE[machine]
    met = {(seed % 10, cut.rotated(False, seed, machine)) for seed in range(10 * len(sets))}
    assert met == {(part, isa) for part in range(10) for isa in sets}
    assert {cut.rotated(True, seed, machine) for seed in range(10)} == {machine}


def test_shards_are_the_parts_and_a_full_run_is_all_of_them() -> None:
    shards = [cut.parts(True, 5, f"{k}/20") for k in range(1, 21)]
    assert [set(s) for s in shards] == [{k} for k in range(20)]
    assert cut.parts(True, 5, "") == set(range(20))
    for text in ("0/20", "21/20", "1/10", "x/20", "3"):
        with pytest.raises(ValueError, match="none of 1/20 to 20/20"):
            cut.shard(text)


def test_a_case_stays_where_it_is_when_others_come() -> None:
    day = cut.parts(False, 3, "")
    before = cut.chosen("suite", NAMES[::2], day)
    assert before == [n for n in cut.chosen("suite", NAMES, day) if n in NAMES[::2]]
    # written down: another hash would move every case, and ten days would not be ten slices
    assert [cut.part_of("opinfo", name) for name in ("abs", "matmul", "where")] == [1, 17, 7]


def test_what_failed_before_is_always_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cut, "FULL", False)
    monkeypatch.setattr(cut, "BEFORE", tmp_path)
    (tmp_path / "suite.txt").write_text("# once wrong\ncase7\ncase93\n")
    for seed in range(10):
        names = cut.chosen("suite", NAMES, cut.parts(False, seed, ""))
        assert {"case7", "case93"} <= set(names)
    monkeypatch.setattr(cut, "FULL", True)  # in a shard each case is counted once
    assert len(cut.chosen("suite", NAMES, frozenset([cut.part_of("suite", "case7")]))) < 90
    (tmp_path / "suite.txt").write_text("gone\n")
    with pytest.raises(KeyError, match="gone"):
        cut.chosen("suite", NAMES)


def test_sweeps_have_their_first_seeds_always_and_the_others_once_in_ten_days(
        monkeypatch: pytest.MonkeyPatch) -> None:
    later: list[int] = []
    for day in range(10):
        monkeypatch.setattr(cut, "RUNNING", cut.parts(False, day, ""))
        seeds = cut.swept("sweep", 4, 200)
        assert seeds[:4] == [0, 1, 2, 3]
        assert all([mark.name for mark in seed.marks] == ["conformance"] for seed in seeds[4:])
        later += [seed.values[0] for seed in seeds[4:]]
    assert sorted(later) == list(range(4, 200))


def test_marked_sweeps_have_a_share_always_and_the_others_once_in_ten_days(
        monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """The last case, each fifth before it and those to be kept; the others are conformance's."""
    def cases() -> list[pytest.Item]:
        found: list[pytest.Item] = [
            pytest.Function.from_parent(request.node.parent, name=name, callobj=list)
            for name in (*(f"test_x[{i}]" for i in range(98)), "test_y[0]")]
        for item in found[:-1]:
            item.add_marker(pytest.mark.swept(5, keep=("0", "41")))
        return found

    always, later = {"0", "41", *map(str, range(97, -1, -5))}, []
    for day in range(10):
        monkeypatch.setattr(cut, "RUNNING", cut.parts(False, day, ""))
        left = cut.split(cases(), ())
        here = [i for i in left if i.get_closest_marker("conformance") is None]
        assert {i.name for i in here} == {"test_y[0]", *(f"test_x[{n}]" for n in always)}
        later += [i.name for i in left if i not in here]
    assert sorted(later) == sorted({f"test_x[{n}]" for n in range(98)} - {i.name for i in here})
    asked = cases()[1]
    assert asked.nodeid in {i.nodeid for i in cut.split(cases(), [asked.nodeid])
                            if i.get_closest_marker("conformance") is None}


def test_sliced_tests_have_each_case_once_in_ten_days(
        monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    cases: list[pytest.Item] = [pytest.Function.from_parent(
        request.node.parent, name=f"test_x[{i}]", callobj=list) for i in range(98)]
    for item in cases:
        item.add_marker("sliced")
        item.add_marker("conformance")
    met: list[str] = []
    for day in range(10):
        monkeypatch.setattr(cut, "RUNNING", cut.parts(False, day, ""))
        met += [item.name for item in cut.split(cases, ())]
    assert sorted(met) == sorted(item.name for item in cases)


def test_files_with_sweeps_are_read_by_make_conformance(tmp_path: Path) -> None:
    class Options:
        def getoption(self, name: str) -> str:
            return "conformance"

    for name, text in (("test_a.py", 'swept("a", 1, 2)'), ("test_b.py", "mark.conformance"),
                       ("test_c.py", "mark.fuzz"), ("test_d.py", "@pytest.mark.swept(3)")):
        (tmp_path / name).write_text(text)
        found = conftest.pytest_ignore_collect(tmp_path / name, Options())  # type: ignore[arg-type]
        assert found is (True if name == "test_c.py" else None)
