"""trace: inputs, outputs, names, lines, parameters, state, random numbers, faults."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, Graph, f32, i32, u32


def labels(graph: Graph) -> list[str]:
    return [n.attrs["label"] for n in graph.inputs]


def roles(graph: Graph) -> dict[str, str]:
    return {n.attrs["label"]: n.attrs["role"] for n in graph.inputs}


# --- inputs and outputs ---------------------------------------------------------------------------


def test_types_come_from_the_signature_with_bound_names() -> None:
    def scaled(x: f32["batch", "width"], y: i32["batch"]) -> Any:
        return x * 2

    graph = dlc.trace(scaled, dims={"batch": 4, "width": 3})
    assert [str(n.type) for n in graph.inputs] == ["f32[4, 3]", "i32[4]"]
    assert graph.inputs[0].type.describe() == "f32[batch=4, width=3]"
    assert graph.name == "scaled"
    assert graph.output_names == ("out",)


def test_given_types_replace_annotations() -> None:
    graph = dlc.trace(lambda x, y: x + y, f32[2], f32[2], name="total")
    assert graph.name == "total"
    np.testing.assert_array_equal(dlc.evaluate(graph, np.ones(2, np.float32), [1.0, 2.0]), [2, 3])


def test_an_argument_with_a_default_is_no_input() -> None:
    def scaled(x: f32[2], factor: float = 3.0) -> Any:
        return x * factor

    graph = dlc.trace(scaled)
    assert labels(graph) == ["x"]
    np.testing.assert_array_equal(dlc.evaluate(graph, np.ones(2, np.float32)), [3, 3])


def test_outputs_are_one_several_or_named() -> None:
    def one(x: f32[2]) -> Any:
        return x

    def several(x: f32[2]) -> Any:
        return x, x + 1, 3.0

    def named(x: f32[2]) -> Any:
        return {"low": x - 1, "high": x + 1}

    assert dlc.trace(one).output_names == ("out",)
    assert dlc.trace(several).output_names == ("out0", "out1", "out2")
    assert dlc.trace(named).output_names == ("low", "high")


def test_a_variable_number_of_arguments_is_refused() -> None:
    def total(*xs: f32[2]) -> Any:
        return xs[0]

    with pytest.raises(DlcError, match="fixed number of inputs"):
        dlc.trace(total)


def test_an_annotation_that_does_not_evaluate_is_told() -> None:
    def wrong(x: f32["batch", Undefined]) -> Any:  # type: ignore[name-defined]
        return x

    with pytest.raises(DlcError, match="Undefined"):
        dlc.trace(wrong)


def test_an_input_that_is_not_read_stays_an_input() -> None:
    def first(x: f32[2], y: f32[2]) -> Any:
        return x

    assert labels(dlc.trace(first)) == ["x", "y"]


# --- names and lines ------------------------------------------------------------------------------


def test_nodes_take_the_users_variable_names() -> None:
    def inner(x: Any) -> Any:
        halved = x / 2
        return halved + 1

    def outer(x: f32[2]) -> Any:
        total = inner(x)
        _hidden = total * 3
        return _hidden, total

    graph = dlc.trace(outer)
    names = {n.op.name: n.name for n in graph.nodes()}
    assert names["div"] == "halved"
    assert names["add"] == "total"
    assert names["mul"] == ""


def test_names_are_given_before_a_body_is_made_anew() -> None:
    """Functions that dlc calls: their nodes are copied once they have returned."""
    def slope(x: Any) -> Any:
        squared = x * x
        return dlc.sum(squared)

    def step(total: Any, row: Any) -> Any:
        grown = total + row
        return grown, grown

    def outer(x: f32[3, 2]) -> Any:
        _, rows = dlc.scan(step, x[0], x)
        return dlc.grad(slope)(x), rows

    graph = dlc.trace(outer)
    bodies = [v for n in graph.nodes() for v in n.attrs.values() if isinstance(v, Graph)]
    assert {"squared", "grown"} <= {n.name for body in bodies for n in body.nodes()}


def test_inner_functions_name_first_and_generators_too() -> None:
    def halves(x: Any) -> Any:
        half = x / 2
        yield half
        quarter = half / 2
        yield quarter

    def outer(x: f32[2]) -> Any:
        first, second = halves(x)
        both = first * second
        return both + 1

    names = [n.name for n in dlc.trace(outer).nodes() if n.op.name in ("div", "mul")]
    assert names == ["half", "quarter", "both"]


def test_naming_needs_no_profiler() -> None:
    """A trace is as fast without one, and leaves that of others alone."""
    def doubled(x: f32[2]) -> Any:
        twice = x * 2
        assert sys.getprofile() is profiler
        return twice + 0.5

    for profiler in (None, lambda frame, event, arg: None):
        sys.setprofile(profiler)
        try:
            graph = dlc.trace(doubled)
        finally:
            sys.setprofile(None)
        assert "twice" in {n.name for n in graph.nodes()}


def test_every_node_knows_its_line(tmp_path: Path) -> None:
    """Layers and functions in a chain serve the line where they are written."""
    program = textwrap.dedent("""\
        import dlc
        from dlc import f32, nn
        net = nn.chain(
            nn.dense(4),
            dlc.tanh,
            nn.dense(2))
        def model(x: f32[3, 5]):
            y = net(x)
            return y * 2
        graph = dlc.trace(model)
        """)
    path = tmp_path / "model.py"
    path.write_text(program)
    space: dict[str, Any] = {"__name__": "model"}
    exec(compile(program, str(path), "exec"), space)
    lines = {(n.op.name, str(n.type)): [loc.line for loc in n.locs] for n in space["graph"].nodes()}
    assert lines["matmul", "f32[3, 4]"] == [4]
    assert lines["tanh", "f32[3, 4]"] == [5]
    assert lines["matmul", "f32[3, 2]"] == [6]
    assert lines["mul", "f32[3, 2]"] == [9]
    assert lines["input", "f32[3, 5]"] == [7]
    assert lines["input", "f32[5, 4]"] == [4]


# --- parameters and state -------------------------------------------------------------------------


def test_parameters_follow_the_arguments() -> None:
    def affine(x: f32[2, 3]) -> Any:
        w = dlc.parameter("w", f32[3, 1])
        shift = dlc.state("shift", f32[1])
        return x @ w + shift

    graph = dlc.trace(affine)
    assert roles(graph) == {"x": "arg", "w": "param", "shift": "state"}


def test_state_is_returned_new() -> None:
    def count(x: f32[3]) -> Any:
        seen = dlc.state("seen", i32[()])
        dlc.update_state(seen, seen + 1)
        return x * seen

    graph = dlc.trace(count)
    assert graph.updates == {"seen": "seen"}
    out = dlc.evaluate(graph, np.ones(3, np.float32), np.int32(4))
    np.testing.assert_array_equal(out["out"], [4, 4, 4])
    assert out["seen"] == 5


def test_latest_state_sees_the_updates_of_this_step() -> None:
    def twice(x: f32[()]) -> Any:
        total = dlc.state("total", f32[()])
        dlc.update_state(total, dlc.latest_state(total) + x)
        dlc.update_state(total, dlc.latest_state(total) + x)
        return x

    out = dlc.evaluate(dlc.trace(twice), np.float32(3), np.float32(1))
    assert out["total"] == 7


def test_training_is_known_at_build_time() -> None:
    def mode(x: f32[()]) -> Any:
        return x + 1 if dlc.training() else x

    assert dlc.evaluate(dlc.trace(mode, training=True), np.float32(1)) == 2
    assert dlc.evaluate(dlc.trace(mode), np.float32(1)) == 1


# --- faults ---------------------------------------------------------------------------------------


def test_fault_is_the_number_of_the_first_failed_check() -> None:
    def picked(x: f32[4], i: i32[2], j: i32[2]) -> Any:
        return dlc.take(x, i) + dlc.take(x, j)

    graph = dlc.trace(picked)
    x = np.zeros(4, np.float32)
    good, bad = np.array([0, 3], np.int32), np.array([0, 4], np.int32)

    def fault(i: Any, j: Any) -> int:
        return int(dlc.evaluate(graph, x, i, j)["fault"])

    assert [fault(good, good), fault(bad, good), fault(good, bad), fault(bad, bad)] == [0, 1, 2, 1]
    assert len(graph.notes["checks"]) == 2
    assert graph.notes["checks"][0].loc is not None


def test_a_graph_without_checks_has_no_fault() -> None:
    assert "fault" not in dlc.trace(lambda x: x * 2, f32[2]).output_names


# --- random numbers -------------------------------------------------------------------------------


def draw(function: Any, seed: int = 0, step: int = 0) -> Any:
    graph = dlc.trace(function, f32[()], training=True)
    return dlc.evaluate(graph, np.float32(0), np.uint32(seed), np.int32(step))


def test_random_numbers_are_functions_of_seed_and_step() -> None:
    def noise(x: Any) -> Any:
        return dlc.random.uniform((1000,)) + x

    first = draw(noise)
    np.testing.assert_array_equal(first, draw(noise))
    assert not np.array_equal(first, draw(noise, seed=1))
    assert not np.array_equal(first, draw(noise, step=1))
    assert first.min() >= 0 and first.max() < 1
    assert abs(first.mean() - 0.5) < 0.03


def test_two_sites_are_independent() -> None:
    def two(x: Any) -> Any:
        return dlc.random.uniform(1000), dlc.random.uniform(1000)

    out = draw(two)
    assert abs(np.corrcoef(out["out0"], out["out1"])[0, 1]) < 0.1


def test_a_site_is_stable_under_edits_elsewhere(tmp_path: Path) -> None:
    """New lines, functions and layers before it do not change a site's numbers."""
    before = """
def noise(x):
    return dlc.random.normal(50) + x
"""
    after = """
def extra(x):
    return dlc.random.normal(50)


def noise(x):
    shift = 0.0 * dlc.sin(x)
    return dlc.random.normal(50) + x + shift
"""
    spaces = []
    for text in (before, after):
        path = tmp_path / "edited.py"
        path.write_text(text)
        space: dict[str, Any] = {"dlc": dlc}
        exec(compile(text, str(path), "exec"), space)
        spaces.append(space)

    def with_extra(x: Any) -> Any:
        return spaces[1]["noise"](x + 0.0 * spaces[1]["extra"](x).sum())

    np.testing.assert_array_equal(draw(spaces[0]["noise"]), draw(with_extra))


def test_normal_numbers() -> None:
    z = draw(lambda x: dlc.random.normal(20000, mean=1.0, std=2.0) + x)
    assert abs(z.mean() - 1) < 0.05
    assert abs(z.std() - 2) < 0.05
    centred = (z - z.mean()) / z.std()
    assert abs((centred ** 3).mean()) < 0.06
    assert abs((centred ** 4).mean() - 3) < 0.15


@pytest.mark.parametrize("p", [0.0, 0.25, 1.0])
def test_bernoulli_numbers(p: float) -> None:
    hits = draw(lambda x: dlc.random.bernoulli(4000, p).cast(f32) + x)
    assert set(np.unique(hits)) <= {0.0, 1.0}
    assert abs(hits.mean() - p) < 0.03


def test_seed_and_step_are_inputs_only_where_numbers_are_drawn() -> None:
    assert labels(dlc.trace(lambda x: x * 2, f32[2])) == ["x"]
    graph = dlc.trace(lambda x: x * dlc.random.uniform(2), f32[2])
    assert labels(graph) == ["x", "seed", "step"]
    assert [n.type for n in graph.inputs[1:]] == [u32[()], i32[()]]


def test_a_list_of_graph_values_is_refused_where_an_array_is_wanted() -> None:
    def f(x: f32[3]) -> Any:
        return x * [x, x, x]

    def ragged(x: f32[3]) -> Any:
        return x * [[1.0], [2.0, 3.0]]

    with pytest.raises(DlcError, match=r"graph values in it is not an array(.|\n)*dlc.concat"):
        dlc.trace(f)
    with pytest.raises(DlcError, match="different lengths"):
        dlc.trace(ragged)


def test_nested_results_have_names() -> None:
    def model(w: f32[3], b: f32[()]) -> Any:
        def loss(p: Any) -> Any:
            return dlc.sum(dlc.tanh(p["layers"][0] * 2.0)) + p["b"] ** 2

        value, slopes = dlc.value_and_grad(loss)({"layers": [w], "b": b})
        return value, slopes, {"deep": [{"w": w}, (b, w)]}

    w, b = np.float32([0.1, 0.2, 0.3]), np.float32(2.0)
    found = dlc.evaluate(model, w, b)
    assert list(found) == ["out0", "out1.layers0", "out1.b", "out2.deep0.w", "out2.deep1",
                           "out2.deep2"]
    np.testing.assert_allclose(found["out1.layers0"], 2 - 2 * np.tanh(2 * w) ** 2, rtol=1e-5)
    assert found["out1.b"] == 4.0
    np.testing.assert_array_equal(found["out2.deep2"], w)
    text = dlc.print_graph(dlc.trace(model))
    assert dlc.print_graph(dlc.parse_graph(text)) == text
    with dlc.compile(model).load() as run:
        assert list(run(w, b)) == list(found)


def test_nested_results_of_one_name() -> None:
    def model(x: f32[2]) -> Any:
        return {"a": {"b": x}, "a.b": x}

    with pytest.raises(DlcError, match=r"two values called .a\.b."):
        dlc.trace(model)
