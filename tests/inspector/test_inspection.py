"""The record of a program: it is that program, every part of it has a line, and costs add up."""

from __future__ import annotations

import json
import re

import pytest

import dlc
from dlc import f32, nn
from dlc.backend.assemble import assembled
from dlc.inspector.record import FORMAT, EntryInfo
from dlc.ir.graph import Node
from dlc.passes.fuse import grouping
from dlc.passes.fuse.reasons import REASONS
from tests.documents import ROOT
from tests.inspector.programs import compiled, inspection

NAMES = ["lenet", "loop", "branch", "normalized", "recurrent"]
UNLAUNCHED = {"input", "constant", "array", "item", "scan", "cond"}


def entries(name: str) -> list[EntryInfo]:
    return list(inspection(name).entries)


@pytest.mark.parametrize("name", NAMES)
def test_costs_of_lines_add_up_to_the_programs(name: str) -> None:
    """By launch as the Program has them, and by line, with every iteration of loops."""
    for entry in entries(name):
        made = compiled(name).program.entries[entry.name]
        assert [(x.flops, x.bytes) for x in entry.launches] == [(x.flops, x.bytes)
                                                                for x in made.flat]
        for k, launch in enumerate(entry.launches):
            rows = [inspection(name).rows[r] for r in entry.rows_of(k)]
            assert sum(r.flops for r in rows) == launch.flops, launch.name
            assert sum(r.bytes for r in rows) == launch.bytes, launch.name
        assert sum(x.flops for x in entry.lines) == entry.flops > 0
        assert sum(x.bytes for x in entry.lines) == entry.bytes > 0
        assert all(x.place >= 0 for x in entry.lines)


@pytest.mark.parametrize("name", NAMES)
def test_the_peak_is_the_arena(name: str) -> None:
    for entry in entries(name):
        assert sum(s.bytes for s in entry.peak) == compiled(name).peak_bytes
        assert all(s.bytes > 0 for s in entry.peak)
        named = [s for s in entry.peak if s.category != "free"]
        assert named and all(s.place >= 0 for s in named), named


@pytest.mark.parametrize("name", NAMES)
def test_rows_launches_and_buffers_have_lines(name: str) -> None:
    found = inspection(name)
    assert all(row.places for row in found.rows)
    for entry in found.entries:
        assert all(x.places and x.kernels for x in entry.launches)
        assert all(found.source(p) for x in entry.launches for p in x.places)


@pytest.mark.parametrize("name", NAMES)
def test_every_operator_before_fusion_is_in_a_launch(name: str) -> None:
    """Those of bodies too; and a launch has what it computes there with the same lines."""
    rows = inspection(name).rows
    for entry in entries(name):
        stage = next(s for s in entry.stages if s.name == "separate")
        asked = {r for f in stage.functions for r in f.rows if rows[r].op not in UNLAUNCHED}
        inside = {r for x in entry.launches for r in x.nodes}
        assert asked and asked <= inside, [rows[r] for r in asked - inside]
        assert inside <= {r for f in stage.functions for r in f.rows}
        for k, launch in enumerate(entry.launches):
            ops = [rows[r].op for r in entry.rows_of(k)]
            assert all(rows[r].op in ops for r in launch.nodes), launch


def test_the_program_is_assembled_again_as_it_was() -> None:
    """What the record is made from is the Program, whether or not it was kept on disk."""
    made = compiled("normalized")
    graphs = {entry: records[-1].graph for entry, records in made.records.items()}
    again, _ = assembled(made.program.name, graphs, "cpu", made.program.isa,
                         dict(made.program.meta))
    assert again == made.program


def test_every_value_between_launches_has_a_reason() -> None:
    """The rows are in docs/fusion.md; makers come before readers."""
    page = (ROOT / "docs" / "fusion.md").read_text()
    for name in NAMES:
        for entry in entries(name):
            for edge in entry.edges:
                assert f"`{edge.row}`" in page and edge.words and "{" not in edge.words
                assert edge.reader < 0 or edge.maker < edge.reader, edge


def test_rows_and_words_of_refusals_agree() -> None:
    """All that `Fuser.refusal` can answer has words, and the other way round."""
    text = ROOT.joinpath("dlc", "passes", "fuse", "grouping.py").read_text()
    part = text[text.index("def refusal"):text.index("def _better_later")] + str(
        grouping.ALONE_ROWS) + text[text.index("def _no_prologue"):text.index("def _may_inline")]
    given = set(re.findall(r"[\"'](\w+_\w+|scatter|routine|control|rearranged)[\"']", part))
    assert given | {"circle", "order"} == set(REASONS)


def test_a_planted_reason() -> None:
    """Two products, and a value that two launches read: the rows that the table has for them."""
    def two(x: f32[64, 64], w: f32[64, 64], v: f32[64, 64]) -> Node:
        hidden = x @ w
        return hidden @ v + hidden.sum(1)

    from dlc.inspector.gather import inspect

    (entry,) = inspect(dlc.compile(two)).entries
    rows = {(e.value, e.row) for e in entry.edges}
    assert ("hidden", "two_contractions") in rows
    assert ("hidden", "contraction_to_reduction") in rows


def test_stages_tell_what_a_pass_changed() -> None:
    stages = {s.name: s for s in entries("lenet")[0].stages}
    assert next(iter(stages)) == "input" and list(stages)[-1] == "plan_memory"
    assert not stages["cse"].added or stages["cse"].removed
    assert stages["differentiate"].added
    rules = stages["simplify"].rules
    assert rules and all(rule.count > 0 and rule.places for rule in rules)
    rows = inspection("lenet").rows
    added = {rows[r].part for r in stages["differentiate"].added}
    assert 1 in added  # the gradients


def test_a_loop_is_told_with_its_launches() -> None:
    (entry,) = entries("loop")
    inside = [x for x in entry.launches if x.loop]
    assert inside and {x.runs for x in inside} == {12}


def test_the_record_is_json() -> None:
    found = inspection("normalized").as_json()
    assert json.loads(json.dumps(found))["format"] == FORMAT


def squashed(x: Node) -> Node:
    return dlc.tanh(x) * 2


def test_rows_know_their_layers() -> None:
    """Forward, in the gradient and in the optimizer; a loop's body belongs to the layer it is in.
    """
    net = nn.chain(nn.chain(nn.dense(4), squashed), nn.chain(nn.dense(4), squashed))

    def twice(x: f32[2, 4]) -> Node:
        return net(x)

    rows = [inspection("recurrent").rows[r] for f in entries("recurrent")[0].stages[-1].functions
            for r in f.rows]
    scopes = {(row.scope, row.part) for row in rows}
    assert {(name, part) for name in ("lstm1", "dense1") for part in range(3)} <= scopes
    assert {row.scope for row in rows} == {"", "lstm1", "dense1"}
    shared = dlc.trace(twice)
    assert {n.loc.scope for n in shared.nodes() if n.op.name == "tanh"} == {
        "block1/squashed1", "block2/squashed1"}, "of the layer that uses it, not of the first"
    gates = [row for row in rows if row.op == "matmul"]
    assert gates and all(row.scope for row in gates)
