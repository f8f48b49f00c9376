"""Rows of several lengths: a task trains, evaluates, resumes and predicts as with single rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, i32, nn, optim
from dlc.init import initial_values
from dlc.inspection import Inspector
from dlc.runtime.data import load_dataset
from dlc.task_training import dataset_of, prepare
from tests.instruction_sets import NATIVE, generated_for

LETTERS, BOUND = 7, 12
spell = nn.chain(nn.embedding(LETTERS, 5), nn.gru(6), nn.dense(LETTERS), name="spell")
kind = nn.dense(2, name="kind")


@dlc.task(optimizer=optim.adam(1e-2), batch=4, epochs=3, buckets=3)
def words(x: i32["batch", f"time<={BOUND}"], y: i32["batch", f"time<={BOUND}"],
          label: i32["batch"]) -> Any:
    logits = spell(x)
    scores = kind(logits.mean(1))
    loss = nn.cross_entropy(logits, y)
    return dlc.loss(loss, prediction=logits, right=nn.accuracy(logits, y),
                    kind=nn.accuracy(scores, label),
                    macro=dlc.over_set(lambda z, y: nn.f1(z, y).mean(), logits, y))


def rows(count: int, seed: int = 3) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, BOUND + 1, count)
    lengths[0] = BOUND
    x = [rng.integers(0, LETTERS, n).astype(np.int32) for n in lengths]
    return {"x": x, "y": [(v * 3 + 1) % LETTERS for v in x],
            "label": np.array([v.sum() % 2 for v in x], np.int32)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("words")
    return folder, words.train(rows(39), folder=folder)


@pytest.mark.conformance
@pytest.mark.sliced
def test_a_resumed_run_ends_with_the_same_bytes(trained: Any, tmp_path: Path) -> None:
    _, whole = trained
    # within an epoch, whose batches of all sizes have an order of their own
    words.train(rows(39), folder=tmp_path, on_step=lambda at: at.step == 12)
    again = words.train(rows(39), folder=tmp_path, resume=True)
    assert [r["test"] for r in again.history] == [r["test"] for r in whole.history]
    assert all(again.values[k].tobytes() == v.tobytes() for k, v in whole.values.items())


@pytest.mark.conformance
@pytest.mark.sliced
def test_metrics_are_those_of_single_rows(trained: Any) -> None:
    """Means over all letters, whatever the batches were; a metric of the whole set sees each."""
    _, result = trained
    test = load_dataset(rows(39)).test
    said = [result.network.predict([x])[0].astype(np.float64) for x in test["x"]]
    truth = np.concatenate(list(test["y"]))
    scores = np.concatenate(said)
    assert [len(s) for s in said] == test["x"].lengths.tolist()
    losses = np.log(np.exp(scores).sum(1)) - scores[np.arange(len(truth)), truth]
    found = scores.argmax(1)
    counts = [(2 * ((found == c) & (truth == c)).sum(), (found == c).sum() + (truth == c).sum())
              for c in range(LETTERS)]
    metrics = result.metrics
    # sums of f32 losses of a few units: each within some 20 roundings
    assert abs(metrics["loss"] - losses.mean()) < 20 * np.finfo(np.float32).eps * losses.max()
    assert abs(metrics["right"] - (found == truth).mean()) < 1e-6
    assert abs(metrics["macro"] - np.mean([a / max(b, 1) for a, b in counts])) < 1e-6


@pytest.mark.conformance
@pytest.mark.sliced
def test_predictions_of_several_lengths(trained: Any) -> None:
    folder, result = trained
    net = dlc.load(folder / "last.safetensors")
    x = rows(25, seed=8)["x"]
    found = net.predict(x)
    assert [f.shape for f in found] == [(len(v), LETTERS) for v in x]
    for one, v in zip(found, x, strict=True):
        np.testing.assert_allclose(net.predict([v])[0], one, rtol=2e-5, atol=2e-6)
    assert len(net.compiled) <= 2 * 3 and net.predict(np.zeros((0, 3), np.int32)) == []
    hidden = dlc.outputs(result.network, "logits").predict(x[:3])
    assert [h.tobytes() for h in hidden] == [f.tobytes() for f in result.network.predict(x[:3])]


def test_specializations_are_few_and_share_memory() -> None:
    """As many as sizes and a smaller last batch; the largest alone needs as many bytes."""
    prepared = prepare(words, dataset_of(words, rows(39)))
    entries = prepared.compiled.program.entries
    prepared.loaded.close()
    possible = {f"{k}{s}" for k in ("train", "eval") for s in ("", "_3", "_6", "_tail")}
    assert {"train", "train_tail", "eval"} <= set(entries) <= {*possible, "eval_set"}
    assert {"train_3", "train_6"} & set(entries)
    largest = dlc.compile(words, batch=4, tails=dataset_of(words, rows(39)).tails(4))
    assert prepared.compiled.peak_bytes == largest.peak_bytes


@pytest.mark.parametrize(("change", "message"), [
    (lambda d: d["x"].__setitem__(4, np.zeros(BOUND + 1, np.int32)),
     r"field 'x', row 4: is 13 long along 'time'; 1 to 12"),
    (lambda d: d["x"].__setitem__(2, np.zeros(0, np.int32)), r"row 2: is 0 long"),
    (lambda d: d["y"].__setitem__(3, np.zeros(1, np.int32)),
     r"row 3: 'x' is \d+ long along 'time' and 'y' 1; one length for both"),
    (lambda d: d.update(x=np.zeros((39, 3, 2), np.int32)), r"has rows of \[3, 2\]"),
    (lambda d: d.update(label=d["y"]), r"field 'label': is not an array: its rows are"),
    (lambda d: d.update(x=np.zeros(50, np.int32), x_offsets=np.array([0, 60])),
     "x_offsets': does not say where rows begin"),
])
def test_rows_that_do_not_fit(change: Any, message: str) -> None:
    data = rows(39)
    change(data)
    with pytest.raises(DlcError, match=message):
        words.train((data, rows(8)))


@pytest.mark.conformance
@pytest.mark.sliced
def test_offsets_and_lines_and_streams(tmp_path: Path, trained: Any) -> None:
    """The same rows in another form train to the same bytes."""
    data = rows(39)
    packed = {"label": data["label"]}
    for name in ("x", "y"):
        packed[name] = np.concatenate(data[name])
        packed[f"{name}_offsets"] = np.cumsum([0, *map(len, data[name])])
    np.savez(tmp_path / "words.npz", **packed)
    one = words.train(str(tmp_path / "words.npz"))
    assert one.history[-1]["test"] == trained[1].history[-1]["test"]
    (tmp_path / "poem.txt").write_text("ab\n\nbca\nc\nabc\n")
    poem = load_dataset(f"{tmp_path}/poem.txt?lines=1&test=0.25")
    assert poem.classes == ("\n", "a", "b", "c")
    assert [v.tolist() for v in poem.train["x"]] == [[1, 2], [2, 3, 1], [3]]
    assert [v.tolist() for v in poem.train["y"]] == [[2, 0], [3, 1, 0], [0]]

    def batches(epoch: int) -> Any:
        for at in range(0, 12, 4):
            yield {k: v[at:at + 4] for k, v in data.items()}

    assert len(words.train(batches, epochs=1).history) == 1


# --- one step -------------------------------------------------------------------------------------

mixed = nn.chain(nn.conv(4, 3, padding=1, name="conv"), nn.tanh, nn.max_pool(2), name="mixed")
reader = nn.transformer_encoder(2, 6, dropout=0.0, name="reader")


@dlc.task(optimizer=optim.sgd(1.0), batch=3)
def summed(x: f32["batch", "time<=10", 4], y: f32["batch", "time<=10"], label: i32["batch"]) -> Any:
    h = reader(x)
    wide = dlc.swapaxes(mixed(dlc.swapaxes(h, 1, 2)), 1, 2)
    each = nn.mse(nn.dense(1, name="each")(h)[:, :, 0], y, reduction="sum")
    whole = nn.cross_entropy(nn.dense(3, name="whole")(wide.max(1) + wide.mean(1)), label,
                             reduction="sum")
    return dlc.loss(each + whole, prediction=h)


@pytest.mark.swept(3)
@pytest.mark.parametrize("isa", NATIVE)
def test_a_step_adds_up_what_rows_give_alone(isa: str, rng: np.random.Generator) -> None:
    """Loss and gradients of a padded batch are the sums over the rows, each run by the evaluator
    at its own length, in f32: within the rounding of some 2,000 terms of a few units."""
    lengths = np.array([10, 4, 7], np.int32)
    data = {"x": rng.uniform(-1, 1, (3, 10, 4)).astype(np.float32),
            "y": rng.uniform(-1, 1, (3, 10)).astype(np.float32),
            "label": np.array([0, 2, 1], np.int32), "time": lengths}
    graph = summed.graphs(3, ("train",))["train"]
    values = initial_values(graph.notes["variables"], 1)
    total = {k: np.zeros(v.shape, np.float64) for k, v in values.items() if "." in k}
    loss = 0.0
    for i, n in enumerate(lengths):
        alone = summed.graphs(1, ("train",), {"time": int(n)})["train"]
        found = dlc.evaluate(alone, x=data["x"][i:i + 1, :n], y=data["y"][i:i + 1, :n],
                             label=data["label"][i:i + 1], time=lengths[i:i + 1], **values)
        loss += float(found["loss"])
        for k in total:
            total[k] += values[k].astype(np.float64) - found[k]
    with generated_for(isa), dlc.compile(summed, batch=3).load() as program:
        for k, v in values.items():
            program.write(k, v)
        got = program(entry="train", **data)
        after = {k: program.read(k) for k in total}
    bound = 2000 * np.finfo(np.float32).eps
    assert abs(got["loss"] - loss) <= bound * max(1.0, abs(loss))
    for k, want in total.items():
        gradient = values[k].astype(np.float64) - after[k]
        assert np.abs(gradient - want).max() <= bound * max(1.0, np.abs(want).max()), k


@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_over_the_steps_is_refused(training: bool) -> None:
    """Its features are the axis 1 unless told, which here are the steps."""
    def normal(x: f32["batch", "time<=8", 3]) -> Any:
        return nn.batch_norm(name="norm")(x)

    with pytest.raises(DlcError, match="axis 1 is to hold its features, and its length varies"):
        dlc.trace(normal, dims={"batch": 2, "time": 8}, training=training)


def test_batch_norm_takes_what_is_there(rng: np.random.Generator) -> None:
    """Statistics and running statistics are those of the rows' steps alone."""
    norm = nn.batch_norm(axis=2, name="norm")

    def function(x: f32["batch", "time<=6", 2]) -> Any:
        return norm(x)

    x, lengths = rng.normal(size=(3, 6, 2)).astype(np.float32), np.array([6, 1, 3], np.int32)
    graph = dlc.trace(function, dims={"batch": 3}, training=True)
    values = initial_values(graph.notes["variables"], 0)
    found = dlc.evaluate(graph, x=x, time=lengths, **values)
    steps = np.concatenate([row[:n] for row, n in zip(x, lengths, strict=True)]).astype(np.float64)
    want = (x - steps.mean(0)) / np.sqrt(steps.var(0) + 1e-5)
    for i, n in enumerate(lengths):
        np.testing.assert_allclose(found["out"][i, :n], want[i, :n], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found["norm.mean"], 0.1 * steps.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["norm.var"], 0.9 + 0.1 * steps.var(0, ddof=1), rtol=1e-5)


# --- padding that would count ---------------------------------------------------------------------

table = nn.embedding(LETTERS, 2, name="table")
LAPSES = {"the last column": lambda h: h[:, -1], "a reversal": lambda h: dlc.last(dlc.flip(h, 1)),
          "a merged axis": lambda h: h.reshape(int(h.shape[0]), -1).mean(1, keepdims=True),
          "a sorted axis": lambda h: dlc.sort(h, 1)[:, 2]}


@pytest.mark.swept(3)
@pytest.mark.parametrize("lapse", LAPSES)
def test_a_task_that_counts_padding_is_refused(lapse: str) -> None:
    """Before its first step, at the line that lets padding in; whatever came before is unharmed."""
    @dlc.task(optimizer=optim.sgd(0.1), batch=4, buckets=1)
    def careless(x: i32["batch", "time<=6"], label: i32["batch"]) -> Any:
        h = dlc.tanh(table(x))
        found = LAPSES[lapse](h)
        return dlc.loss(nn.cross_entropy(found + h.mean(1), label))

    data = {"x": [np.arange(n, dtype=np.int32) % LETTERS for n in (6, 2, 3, 5, 1, 4)],
            "label": np.arange(6, dtype=np.int32) % 2}
    with pytest.raises(DlcError, match="depends on what stands behind the ends of rows") as found:
        careless.train((data, data))
    assert found.value.loc is not None and found.value.loc.file.endswith("test_lengths.py")


def test_lengths_of_a_plain_function_are_an_input() -> None:
    def function(x: f32["batch", "time<=5"], time: i32["batch"]) -> Any:
        return x.sum(1), time * 2

    def without(x: f32["batch", "time<=5"]) -> Any:
        return x.sum(1), dlc.valid(x), dlc.lengths(x) * 2

    x, lengths = np.arange(10, dtype=np.float32).reshape(2, 5), np.array([2, 4], np.int32)
    for f in (function, without):
        graph = dlc.trace(f, dims={"batch": 2})
        found = dlc.evaluate(graph, x, lengths)
        assert [n.attrs["label"] for n in graph.inputs] == ["x", "time"]
        assert found["out0"].tolist() == [1.0, 26.0] and found["fault"] == 0
    assert found["out1"].tolist() == [[True] * 2 + [False] * 3, [True] * 4 + [False]]
    assert dlc.evaluate(graph, x, np.array([2, 6], np.int32))["fault"] == 1


def test_an_axis_of_the_same_size_is_another() -> None:
    """Zeros [batch, time] and zeros [batch, features] are two values where both are 4 wide."""
    def function(x: f32["batch", "time<=4"], h: f32["batch", 4]) -> Any:
        return (dlc.zeros_like(x) + x).sum(1), (dlc.zeros((2, 4)) + h).sum(1)

    ones = np.ones((2, 4), np.float32)
    found = dlc.evaluate(dlc.trace(function, dims={"batch": 2}), ones, ones,
                         np.array([1, 2], np.int32))
    assert found["out0"].tolist() == [1.0, 2.0] and found["out1"].tolist() == [4.0, 4.0]


@pytest.mark.parametrize(("function", "dims", "message"), [
    (lambda x: x, {"batch": 2, "time": 9}, r"can't be 9"),
    (lambda x: dlc.lengths(x, 0), {"batch": 2}, "axis 0 has one length for all rows"),
    (lambda x: dlc.last(x, 7), {"batch": 2}, "axis 7"),
    (lambda x: dlc.adaptive_avg_pool(x[:, None], 2), {"batch": 2}, "bins depend on each row's"),
    (lambda x: nn.max_pool(2, ceil_mode=True)(x[:, None]), {"batch": 2}, "ceil_mode depends on"),
    (lambda x: nn.conv(2, 3, stride=2, padding="same")(x[:, None]), {"batch": 2},
     "padding='same' with stride 2 depends on"),
])
def test_what_does_not_go_with_lengths(function: Any, dims: dict[str, int], message: str) -> None:
    def annotated(x: f32["batch", "time<=8"]) -> Any:
        return function(x)

    with pytest.raises(DlcError, match=message):
        dlc.trace(annotated, dims=dims)


@pytest.mark.parametrize("text", ["time<=", "time<=0", "<=4", "2<=4", "time<=4.5", "time<=-1"])
def test_a_bound_that_is_none(text: str) -> None:
    with pytest.raises(TypeError, match="is not a name and its largest size"):
        f32["batch", text]


def test_a_bounded_dimension_has_rows_before_it() -> None:
    def function(x: f32["time<=4", 2]) -> Any:
        return x

    with pytest.raises(DlcError, match="has no axis of rows before it"):
        dlc.trace(function)


def test_folds_and_inspection_of_rows_of_several_lengths() -> None:
    folds = [load_dataset(rows(20), fold=f"{k}/4", test=0) for k in (1, 2, 3, 4)]
    seen = sorted(v.tobytes() for d in folds for v in d.test["x"])
    assert seen == sorted(v.tobytes() for v in rows(20)["x"])
    inspector = Inspector(words, load_dataset(rows(20)))
    inspected = inspector.batches("inside")
    inspector.close()
    assert [b["x"].shape for b in inspected] == [(4, BOUND)] * 4


def test_two_dimensions_shrink_together() -> None:
    """A row is in the first size that holds both; attention from one to the other sees its keys."""
    attend = nn.multi_head_attention(1, name="attend")

    @dlc.task(optimizer=optim.sgd(0.1), batch=3, buckets=2)
    def pairs(a: f32["batch", "source<=6", 2], b: f32["batch", "target<=3", 2]) -> Any:
        met = attend(b, a)
        return dlc.loss(nn.mse(met, b), prediction=met)

    rng = np.random.default_rng(4)
    a = [rng.normal(size=(n, 2)).astype(np.float32) for n in (1, 2, 3, 6, 2, 3, 1, 3, 2)]
    b = [rng.normal(size=(n, 2)).astype(np.float32) for n in (1, 2, 1, 2, 3, 2, 1, 2, 1)]
    trained = pairs.train(({"a": a, "b": b}, {"a": a[:3], "b": b[:3]}), epochs=1)
    net = trained.network
    found = net.predict(a, b)
    assert [f.shape for f in found] == [v.shape for v in b]
    assert {key[1:] for key in net.compiled} == {(3, 2), (6, 3)}
    for one, x, y in zip(found, a, b, strict=True):
        np.testing.assert_allclose(net.predict([x], [y])[0], one, rtol=1e-5, atol=1e-6)
