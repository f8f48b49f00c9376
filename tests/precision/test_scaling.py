"""Loss scaling in f16: skipped steps leave no trace but the scale, and the runs that have them are
resumed, shown and explained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, i32, nn, optim, tanh
from dlc.derive.precision import PRECISIONS
from dlc.faults import cause_of
from dlc.reference.evaluate import run
from dlc.runtime.train.checkpoint import read_checkpoint
from dlc.runtime.train.training import TrainingFault
from dlc.task import scaling
from tests.instruction_sets import RUNS, loaded

RNG = np.random.default_rng(7)
X = RNG.normal(size=(64, 6)).astype(np.float32)
DATA = {"x": X, "y": (X[:, :2].sum(1) > 0).astype(np.int32)}
net = nn.chain(nn.dense(16), nn.batch_norm(), tanh, nn.dropout(0.1), nn.dense(2))
STATE = tuple(f"loss_scaling.{name}" for name in ("scale", "sound", "skipped"))


@dlc.task(optimizer=optim.adam(optim.cosine(0.01)), batch=16, epochs=4, precision="f16")
def sorted_out(x: f32["batch", 6], y: i32["batch"]) -> Any:
    logits = net(x)
    return dlc.loss(nn.cross_entropy(logits, y), accuracy=nn.accuracy(logits, y))


def begun(graph: Any, **given: Any) -> dict[str, Any]:
    values = sorted_out.initial_values({"train": graph}, 0)
    return {**values, "steps_per_epoch": np.int32(4), "x": X[:16], "y": DATA["y"][:16], **given}


def stepped(graph: Any, values: dict[str, Any]) -> dict[str, Any]:
    found = run(graph, [values[n.attrs["label"]] for n in graph.inputs])
    return dict(zip(graph.output_names, found, strict=True))


GRAPH = sorted_out.graphs()["train"]
# at this scale the largest gradient is no f16
OVERFLOWS = {"loss_scaling.scale": np.float32(2.0**24)}


def test_a_sound_step_counts_and_reports() -> None:
    out = stepped(GRAPH, begun(GRAPH))
    assert (out["fault"], out["skipped"], out["loss_scale"]) == (0, 0, 2.0**15)
    assert [out[name] for name in STATE] == [2.0**15, 1, 0] and out["step"] == 1
    assert not np.array_equal(out["dense1.weight"], begun(GRAPH)["dense1.weight"])


def test_a_skipped_step_leaves_everything_but_the_scale() -> None:
    """Parameters, moments and running statistics; the step counts, its loss is finite."""
    values = begun(GRAPH, **OVERFLOWS)
    out = stepped(GRAPH, values)
    assert (out["fault"], out["skipped"], out["loss_scale"]) == (0, 1, 2.0**24)
    assert [out[name] for name in STATE] == [2.0**23, 0, 1] and out["step"] == 1
    assert np.isfinite(out["loss"])
    kept = set(GRAPH.updates) - {*STATE, "step"}
    assert {"batch_norm1.mean", "adam.m/dense1.weight", "dense1.weight"} <= kept
    for name in kept:
        assert out[name].tobytes() == values[name].tobytes(), name


@pytest.mark.parametrize(("sound", "scale", "then"), [
    (1998, 2.0**15, (2.0**15, 1999)), (1999, 2.0**15, (2.0**16, 0)), (1999, 1.0, (2.0, 0))])
def test_the_scale_grows_after_sound_steps(sound: int, scale: float,
                                           then: tuple[float, int]) -> None:
    out = stepped(GRAPH, begun(GRAPH, **{"loss_scaling.sound": np.int32(sound),
                                         "loss_scaling.scale": np.float32(scale)}))
    assert (out[STATE[0]], out[STATE[1]], out["skipped"]) == (*then, 0)


def test_the_scale_stays_within_its_bounds() -> None:
    """Gradients too small for any scale let it grow to 2 ** 24, and no further."""
    @dlc.task(optimizer=optim.sgd(0.1), precision="f16")
    def faint(x: f32["batch", 6], y: i32["batch"]) -> Any:
        return dlc.loss(nn.cross_entropy(net(x), y) * 1e-9)

    graph = faint.graphs(16)["train"]
    last = {"loss_scaling.sound": np.int32(scaling.GROWS_AFTER - 1)}
    for scale, then in ((2.0**23, 2.0**24), (2.0**24, 2.0**24)):
        out = stepped(graph, begun(graph, **last, **{"loss_scaling.scale": np.float32(scale)}))
        assert (out["skipped"], out[STATE[0]], out[STATE[1]]) == (0, then, 0)


def test_at_the_smallest_scale_an_overflow_is_a_fault_with_its_cause() -> None:
    values = begun(GRAPH, **{"loss_scaling.scale": np.float32(scaling.SMALLEST),
                             "dense2.weight": np.full((16, 2), 1e6, np.float32)})
    out = stepped(GRAPH, values)
    assert out["fault"] == -1 and out["step"] == 0
    assert [out[name] for name in STATE] == [scaling.SMALLEST, 0, 0]
    told = str(cause_of(GRAPH, values, -1))
    assert "the loss is nan: cast gives inf" in told and "from dense2.weight = 1e+06" in told


def test_a_gradient_that_overflows_at_the_smallest_scale_is_told() -> None:
    """The loss is finite: what is named is the first value of the gradient that is not."""
    @dlc.task(optimizer=optim.sgd(0.1), precision="f16")
    def steep(x: f32["batch", 6], y: i32["batch"]) -> Any:
        return dlc.loss(nn.cross_entropy(net(x), y) * 1e8)

    graph = steep.graphs(16)["train"]
    values = begun(graph, **{"loss_scaling.scale": np.float32(scaling.SMALLEST)})
    out = stepped(graph, values)
    assert out["fault"] == -1 and np.isfinite(out["loss"])
    told = str(cause_of(graph, values, -1))
    assert "a gradient is not finite at the loss scale 1: cast gives" in told
    assert "at [0, 0] of f16[" in told


@pytest.mark.parametrize("every", [1, 2])
def test_a_skipped_batch_is_as_if_it_had_not_been_there(every: int) -> None:
    """Adam's corrections, the schedule and the sums of accumulated gradients count what was taken:
    the steps that follow a skipped one give the same bits as without it."""
    plain = nn.chain(nn.dense(4), tanh, nn.dense(2))

    @dlc.task(optimizer=optim.accumulate(optim.adam(optim.cosine(0.1)), every), precision="f16")
    def quiet(x: f32["batch", 6], y: i32["batch"]) -> Any:
        return dlc.loss(nn.cross_entropy(plain(x), y))

    graph = quiet.graphs(16)["train"]
    begin = {**quiet.initial_values({"train": graph}, 0), "steps_per_epoch": np.int32(9)}
    usual = {"loss_scaling.scale": np.float32(2.0**10)}
    ends = []
    for scales in ([usual, usual, usual], [usual, OVERFLOWS, usual, usual]):
        values, rows = dict(begin), iter(range(3))
        for scale in scales:
            at = 0 if scale is OVERFLOWS else 16 * next(rows)
            given = {"x": X[at:at + 16], "y": DATA["y"][at:at + 16]}
            out = stepped(graph, {**values, **scale, **given})
            assert out["skipped"] == (scale is OVERFLOWS)
            values.update({name: out[name] for name in graph.updates})
        ends.append(values)
    for name in set(graph.updates) - {*STATE, "step"}:
        assert ends[0][name].tobytes() == ends[1][name].tobytes(), name


def test_every_device_skips_as_the_evaluator_does() -> None:
    """The kernels and the evaluator agree on what is finite, and to the bit on what is kept."""
    for given in ({}, OVERFLOWS):
        values = begun(GRAPH, **given)
        wanted = stepped(GRAPH, values)
        for isa, device in RUNS:
            with loaded(sorted_out, isa, device, tails={}) as program:
                names = [port.name for port in program.compiled.program.persistent]
                for name in names:
                    program.write(name, values[name])
                found = program(x=values["x"], y=values["y"])
                after = {name: program.read(name) for name in names}
            assert found["skipped"] == wanted["skipped"] == bool(given)
            for name in (*STATE, "step"):
                assert after[name] == wanted[name], (isa, device, name)
            kept = set(GRAPH.updates) - {*STATE, "step"} if given else ()
            assert all(after[n].tobytes() == values[n].tobytes() for n in kept), (isa, device)


# --- a run ----------------------------------------------------------------------------------------


def losses(moment: Any, into: list[Any]) -> None:
    into.append((moment.metrics.get("loss"), moment.metrics["skipped"]))


@pytest.fixture
def high(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs begin at a scale at which steps are skipped."""
    monkeypatch.setattr(scaling, "FIRST", scaling.LARGEST)


def test_skipped_steps_enter_no_mean(high: None) -> None:
    """From the scale 2 ** 24 the first steps are skipped, and each halves it."""
    seen: list[Any] = []
    done = sorted_out.train(DATA, on_step=lambda m: losses(m, seen))
    skipped = [gone for _, gone in seen]
    count = int(sum(skipped))
    assert 0 < count < len(seen) and skipped[0] == 1
    assert all((loss is None) == bool(gone) for loss, gone in seen)
    shares = [r["train"]["skipped"] for r in done.history]
    rows = [16] * 3 + [len(X) * 4 // 5 - 48]
    assert sum(shares) * sum(rows) == sum(
        rows[i % 4] for i, gone in enumerate(skipped) if gone)
    assert all(np.isfinite(r["train"]["loss"]) for r in done.history if r["train"]["skipped"] < 1)
    assert done.values["loss_scaling.skipped"] == count
    assert done.values["loss_scaling.scale"] == 2.0**(24 - count)
    assert done.history[-1]["train"]["loss_scale"] == 2.0**(24 - count)


def test_resuming_is_exact_with_its_scale(high: None, tmp_path: Path) -> None:
    whole = sorted_out.train(DATA, folder=tmp_path / "whole")
    sorted_out.train(DATA, folder=tmp_path / "parts", on_step=lambda m: m.step == 2)
    saved = read_checkpoint(tmp_path / "parts" / "last.safetensors").arrays
    assert saved["loss_scaling.skipped"] == 2 and saved["loss_scaling.scale"] == 2.0**22
    assert {a.dtype.name for n, a in saved.items() if "weight" in n} == {"float32"}
    resumed = sorted_out.train(DATA, folder=tmp_path / "parts", resume=True)
    for name, value in whole.values.items():
        assert value.tobytes() == resumed.values[name].tobytes(), name
    assert [r["train"] for r in whole.history] == [r["train"] for r in resumed.history]


UNTESTABLE = r"step 4 \(epoch 1, testing\): .*the loss is nan"


def test_a_loss_that_is_never_finite_ends_the_run() -> None:
    """After 15 skipped steps nothing is left to halve."""
    with pytest.warns(UserWarning, match=UNTESTABLE), pytest.raises(
            TrainingFault, match=r"step 15 .*the loss is nan: cast gives inf"):
        sorted_out.train({**DATA, "x": X * np.float32(1e30)})


def test_a_run_whose_every_step_was_skipped_is_no_success(tmp_path: Path) -> None:
    """However short: the loss or a gradient that no scale mends, and a scale still on its way."""
    @dlc.task(optimizer=optim.sgd(1e-3), batch=17, epochs=4, precision="f16")
    def stray(x: f32["batch", 6], y: i32["batch"]) -> Any:
        return dlc.loss(nn.cross_entropy(net(x), y) * 1e8)

    with pytest.raises(TrainingFault, match=r"step 11 \(epoch 4, skipped by loss scaling as all "
                       r"steps before it\): .*gradient is not finite at the loss scale 16: cast"):
        stray.train(DATA, folder=tmp_path)
    assert read_checkpoint(tmp_path / "last.safetensors").position.epoch == 4
    with pytest.warns(UserWarning, match=UNTESTABLE), pytest.raises(
            TrainingFault, match=r"step 7 .*the loss is nan: cast gives -inf") as found:
        sorted_out.with_options(epochs=2).train({**DATA, "x": X * np.float32(1e30)})
    assert found.value.fault.inputs["loss_scaling.scale"] == 2.0**8


def test_only_a_phase_that_took_no_step_ends_the_run() -> None:
    def tame(x: f32["batch", 6], y: i32["batch"]) -> Any:
        return dlc.loss(nn.cross_entropy(net(x), y))

    def wild(x: f32["batch", 6], y: i32["batch"]) -> Any:
        return dlc.loss(nn.cross_entropy(net(x), y) * 1e4)

    both = dlc.task(name="both", precision="f16", batch=17, epochs=3, phases=[
        dlc.phase("tame", tame, optim.sgd(0.1)),
        dlc.phase("wild", wild, optim.sgd(1e-9), every=2)])
    with pytest.raises(TrainingFault, match=r"step 8 .*loss scale 2048: cast gives") as found:
        both.train(DATA)
    assert found.value.fault.inputs["wild.step"] == 4
    long_enough = both.with_options(epochs=8).train(DATA)
    assert long_enough.history[-1]["train"]["wild.skipped"] == 0


def test_phases_have_a_scale_each() -> None:
    def loss_of(x: f32["batch", 6], y: i32["batch"]) -> Any:
        return dlc.loss(nn.cross_entropy(net(x), y))

    both = dlc.task(name="both", precision="f16", batch=16, phases=[
        dlc.phase("first", loss_of, optim.sgd(0.1)), dlc.phase("second", loss_of, optim.sgd(0.1)),
        dlc.phase("third", loss_of)])
    graphs = both.graphs()
    assert "first.loss_scaling.scale" in graphs["train.first"].updates
    assert "second.loss_scaling.scale" in graphs["train.second"].updates
    assert not any("loss_scaling" in name for name in graphs["train.third"].updates)


# --- the option -----------------------------------------------------------------------------------


def test_options_are_checked_and_shown() -> None:
    assert set(PRECISIONS) == {"f32", "bf16", "f16"}
    with pytest.raises(DlcError, match="precision='half' is invalid"):
        dlc.task(optimizer=optim.sgd(0.1), precision="half")
    with pytest.raises(DlcError, match=r"precision='fp16' is invalid \(did you mean f16") as found:
        sorted_out.with_options(precision="fp16")
    assert found.value.loc is None  # a text of the command line stands in no file
    graphs = sorted_out.with_options(precision="bf16").graphs()
    assert sorted_out.with_options(precision="bf16").meta(graphs)["precision"] == "bf16"
    assert not any("loss_scaling" in name for name in graphs["train"].updates)
    with pytest.raises(DlcError, match="'loss_scale' can't be the name of a metric"):
        dlc.loss(dlc.asarray(1.0), loss_scale=dlc.asarray(1.0))
