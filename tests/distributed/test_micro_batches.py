"""Steps of several micro-batches in one process: their meaning, on every instruction set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, f64, i32, nn, optim
from dlc.passes.halves import executed, halves
from dlc.program import update_entry
from dlc.runtime.data import epoch_order, load_dataset
from dlc.runtime.steps import Phase
from dlc.runtime.train.checkpoint import read_checkpoint
from dlc.runtime.train.interrupt import StopRequest
from dlc.runtime.train.micro import MicroSteps
from dlc.runtime.train.training import TrainingFault
from dlc.runtime.world.world import World
from tests.distributed.exact import BATCH, MICRO, SAMPLES, by_hand, exact, parts, rows
from tests.instruction_sets import RUNS, loaded

EPS = float(np.finfo(np.float32).eps)


def steps_of(program: Any, task: Any, data: Any, batches: Any) -> Any:
    """The report of steps on `batches`, rows of `data`, on a loaded program."""
    stepper = MicroSteps(program.running, task.micro_batches, World(), StopRequest)
    return stepper.run_steps([Phase("train", feeds=data, index=np.asarray(batches))], len(batches))


@pytest.mark.parametrize(("isa", "device"), RUNS)
def test_steps_are_those_by_hand_on_every_instruction_set(isa: str, device: str) -> None:
    """Full batches, whose shares are powers of 2: bit for bit."""
    data, batches = rows(), np.arange(32).reshape(2, BATCH)
    with loaded(exact, isa, device, tails={"train": SAMPLES % (BATCH // MICRO)}) as program:
        report = steps_of(program, exact, data, batches)
        w, seen, losses = by_hand(list(batches), parts, data)
        assert report.log["train_update", "loss"].tolist() == losses
        assert program.read("w").tolist() == w.tolist()
        assert program.read("seen").tolist() == seen.tolist()


def test_an_epoch_with_a_smaller_last_batch() -> None:
    """Of its 6 rows 4 are a micro-batch and 2 the last one: shares of 2/3 and 1/3, rounded once,
    as is each product and the sum of the two."""
    data = rows()
    done = exact.train(data, epochs=1, seed=5)
    order = epoch_order(5, 0, len(load_dataset(data).train["y"]))
    train = load_dataset(data).train
    batches = [order[at:at + BATCH] for at in range(0, len(order), BATCH)]
    w, seen, losses = by_hand(batches, parts, train)
    sizes = [len(b) for b in batches]
    assert len({len(p) for b in batches for p in parts(b)}) > 1
    mean = float(np.average(losses, weights=sizes))
    assert abs(done.history[0]["train"]["loss"] - mean) <= 4 * EPS * max(losses)
    scale = max(1.0, float(np.abs(w).max()), float(np.abs(seen).max())) * 8
    assert np.abs(done.values["w"] - w).max() <= 4 * EPS * scale
    assert np.abs(done.values["seen"] - seen).max() <= 4 * EPS * scale


def test_batches_of_a_stream_are_cut_alike() -> None:
    """Also a last one of fewer micro-batches; one that leaves rows over is refused."""
    data = rows(36)
    batches = [{k: v[at:at + BATCH] for k, v in data.items()} for at in range(0, 36, BATCH)]
    done = exact.train(batches, epochs=1)
    numbers = [np.arange(at, min(at + BATCH, 36)) for at in range(0, 36, BATCH)]
    w, seen, _ = by_hand(numbers, parts, data)
    assert done.values["w"].tolist() == w.tolist()
    assert done.values["seen"].tolist() == seen.tolist()
    with pytest.raises(DlcError, match="a batch of 6 samples; up to 16, in micro-batches of 4,"):
        exact.train([{k: v[:6] for k, v in data.items()}], epochs=1)


def test_as_many_micro_batches_as_one_likes_where_nothing_is_rounded() -> None:
    """The loss over the batch is one whatever it is cut in; also where it is not cut."""
    data, found = rows(20), []  # 16 of them are trained on, in one batch
    for count in (1, 2, 4, 8, 16):
        done = exact.train(data, epochs=3, micro_batches=count)
        found.append([done.values[name].tobytes() for name in ("w", "seen")])
    assert all(values == found[0] for values in found)


def test_the_halves_agree_with_the_evaluator() -> None:
    """Each half of a step, compiled, beside NumPy: equal, as nothing is rounded."""
    graphs = executed(exact.graphs(), update_entry)
    data = {k: v[:4] for k, v in rows().items()}
    given = {**data, "micro_batch.number": np.int32(2), "micro_batch.share": np.float64(0.25)}
    values = {"w": np.float32([1, -2, 0]), "seen": np.float32([0, 1, 2]), "step": np.int32(0)}
    with loaded(exact, "avx2", "interpret") as program:
        for name, value in values.items():
            program.write(name, value)
        for entry in ("train", "train_update"):
            labels = [n.attrs["label"] for n in graphs[entry].inputs]
            known = {**values, **given}
            wanted: Any = dlc.evaluate(graphs[entry], *[known[x] for x in labels])
            got = program.call(entry, **{k: v for k, v in given.items()
                                         if k in labels and k not in values})
            for name, value in got.items():
                assert np.array_equal(value, wanted[name]), (entry, name)
            given = wanted


@dlc.task(optimizer=optim.sgd(1.0), batch=8, micro_batches=4)
def smooth(x: f64["batch", 3], y: f64["batch"]) -> Any:
    w = dlc.parameter("w", f64[3, 2], dlc.init.constant(0.3))
    v = dlc.parameter("v", f64[2], dlc.init.constant(0.7))
    off = (dlc.tanh(x @ w) * v).sum(axis=1) - y
    return dlc.loss((off * off).mean())


def test_the_gradient_of_a_step_by_central_differences() -> None:
    """A rate of 1 writes w - g. What halving the distance changes bounds the error of the farther
    one's third derivative; a difference of losses rounds to eps over the distance."""
    rng = np.random.default_rng(3)
    data = {"x": rng.normal(size=(8, 3)), "y": rng.normal(size=8)}
    with loaded(smooth, "avx2", "cpu") as program:
        before = {k: program.read(k) for k in ("w", "v")}
        steps_of(program, smooth, data, np.arange(8)[None])
        for name, value in before.items():
            got = value - program.read(name)
            for at in np.ndindex(value.shape):
                near, far = (slope(data, before, name, at, h) for h in (1e-4, 2e-4))
                bound = abs(near - far) + 64 * np.finfo(np.float64).eps / 1e-4
                assert abs(got[at] - near) <= bound, (name, at)


def slope(data: Any, values: Any, name: str, at: Any, h: float) -> float:
    """The central difference of the loss over the whole batch."""
    def loss(change: float) -> float:
        moved = {k: v.copy() for k, v in values.items()}
        moved[name][at] += change
        off = (np.tanh(data["x"] @ moved["w"]) * moved["v"]).sum(1) - data["y"]
        return float((off * off).mean())

    return (loss(h) - loss(-h)) / (2 * h)


def test_shares_of_f64_losses_are_not_rounded_to_f32() -> None:
    """10 rows in a batch of 12: micro-batches of 3, 3, 3 and 1. Their shares, the products and two
    levels of sums round; the rate is 1, so the parameters' change is the gradient."""
    rng = np.random.default_rng(4)
    data = {"x": rng.normal(size=(13, 3)), "y": rng.normal(size=13)}
    task = smooth.with_options(batch=12)
    parts, whole = (task.train(data, epochs=1, micro_batches=k).values for k in (4, 1))
    assert len(load_dataset(data).train["y"]) == 10
    for name in ("w", "v"):
        bound = 16 * 10 * np.finfo(np.float64).eps * max(1.0, float(np.abs(whole[name]).max()))
        assert np.abs(parts[name] - whole[name]).max() <= bound, name


@dlc.task(optimizer=optim.sgd(0.1), batch=8, micro_batches=4)
def noisy(x: f32["batch", 64], y: f32["batch", 64]) -> Any:
    w = dlc.parameter("w", f32[64], dlc.init.constant(1.0))
    return dlc.loss(((nn.dropout(0.5)(x) * w - y) * (1.0 / 64)).sum())


def test_random_numbers_differ_between_micro_batches_and_follow_from_their_number() -> None:
    ones = {"x": np.ones((2, 64), np.float32), "y": np.zeros((2, 64), np.float32)}
    with loaded(noisy, "avx2", "cpu") as program:
        found = [program.call("train", **ones, **{"micro_batch.number": np.int32(number),
                                                  "micro_batch.share": np.float64(0.25)})
                 for number in (0, 1, 2, 3, 0)]
    masks = [next(v.tobytes() for v in f.values() if v.shape == (64,)) for f in found]
    assert len(set(masks)) == 4 and masks[4] == masks[0]


def test_each_sum_is_one_value_in_the_order_of_the_program() -> None:
    """No pass doubles, merges or moves a sum: the two halves have the same values in one order."""
    graph = exact.graphs()["train"]
    program = dlc.compile(exact).program
    given = [n for n in graph.nodes() if n.op.name == "all_reduce"]
    first, second = program.entries["train"], program.entries["train_update"]
    summed = [p for p in second.inputs if p.role == "summed"]
    assert [p.name for p in first.outputs] == [f"summed.{k}" for k in range(len(given))]
    assert [(p.name, p.type) for p in summed] == [(p.name, p.type) for p in first.outputs]
    assert [tuple(n.shape) for n in given] == [tuple(p.type.shape) for p in first.outputs]
    for entry in program.entries.values():
        assert "all_reduce" not in entry.graph


def test_what_one_micro_batch_decides_alone_is_refused() -> None:
    graph = exact.graphs()["train"]
    number = next(n for n in graph.inputs if n.attrs["role"] == "micro_batch")
    leaking = graph.with_outputs([number, *graph.outputs[1:]])
    with pytest.raises(DlcError, match="differs from one micro-batch to the next"):
        halves(leaking, "train_update")


def test_a_fault_names_its_micro_batch_and_keeps_the_state(tmp_path: Path) -> None:
    data = rows(20)
    data["x"][:, 0] = np.arange(20)
    ninth = load_dataset(data).train["x"][epoch_order(0, 0, 16)[9], 0]
    data["y"][int(ninth)] = 3e38  # in the third micro-batch of four
    with pytest.raises(TrainingFault) as caught:
        exact.train(data, epochs=1, folder=tmp_path)
    told = str(caught.value)
    assert "(epoch 1, batch 1, micro-batch 3 of 4): " in told and "the loss is inf: mul " in told
    fault = caught.value.fault
    assert fault.inputs["x"].shape == (4, 3) and fault.inputs["y"].max() > 1e38
    kept = read_checkpoint(tmp_path / "last.safetensors")
    assert kept.position.step == 0 and not kept.arrays["w"].any()


@dlc.task(optimizer=optim.sgd(0.1), batch=8, epochs=1, micro_batches=4)
def looked_up(i: i32["batch"]) -> Any:
    return dlc.loss(nn.embedding(5, 2)(i).mean())


def test_an_index_out_of_range_is_named_with_its_place() -> None:
    """Of one that is out of range and a loss that is not finite before it, the check counts."""
    i = np.arange(10, dtype=np.int32) % 5
    i[3] = 7
    with pytest.raises(TrainingFault, match=r"micro-batch \d of 4\): .*holds 7 at \[[01]\]"):
        looked_up.train({"i": i}, trap="nan")


@dlc.task(optimizer=optim.sgd(0.1), batch=8, micro_batches=2)
def counted(x: f32["batch", 3], y: i32["batch"]) -> Any:
    most = dlc.state("most", i32[()])
    dlc.update_state(most, dlc.maximum(most, y.max()))
    return dlc.loss(nn.cross_entropy(nn.dense(3)(x), y))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DlcError, match="most is i32 and its update depends on the batch"):
        counted.graphs()
    with pytest.raises(DlcError, match="micro_batches=4 do not divide the batch of 10 rows"):
        exact.with_options(batch=10).graphs()
    with pytest.raises(DlcError, match="power of 2"):
        exact.with_options(micro_batches=3)
    with pytest.raises(DlcError, match=r"dlc\.task: micro_batches=0 is invalid"):
        dlc.task(optimizer=optim.sgd(0.1), micro_batches=0)
    with pytest.raises(DlcError, match="losses of one batch"):
        exact.with_options(optimizer=optim.hessian_free()).graphs()
