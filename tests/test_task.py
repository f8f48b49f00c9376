"""Tasks: train and eval graphs, predicated updates, faults, phases, frozen parameters, options."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, augment, f32, i32, nn, optim

net = nn.chain(nn.dense(8), dlc.tanh, nn.dense(3))


@dlc.task(data="xor", optimizer=optim.adam(0.05), batch=6, epochs=2)
def classes(x: f32["batch", 4], label: i32["batch"]) -> dlc.Loss:
    """The task that most tests here look at."""
    logits = net(x)
    return dlc.loss(nn.cross_entropy(logits, label), accuracy=nn.accuracy(logits, label))


def batch(rng: np.random.Generator, size: int = 6) -> dict[str, Any]:
    return {"x": rng.normal(size=(size, 4)).astype(np.float32),
            "label": rng.integers(0, 3, size).astype(np.int32)}


def step(graph: dlc.Graph, values: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """Run one step and take its updates over into `values`."""
    named = {n.attrs["label"] for n in graph.inputs}
    out = dlc.evaluate(graph, **data, **{k: v for k, v in values.items() if k in named})
    values.update({k: out[k] for k in graph.updates})
    return dict(out)


# --- graphs ---------------------------------------------------------------------------------------


def test_inputs_have_roles() -> None:
    graph = classes.graphs()["train"]
    roles = {n.attrs["label"]: n.attrs["role"] for n in graph.inputs}
    assert roles["x"] == roles["label"] == "data"
    assert roles["dense1.weight"] == "param"
    assert roles["adam.m/dense1.weight"] == roles["step"] == "state"


def test_outputs_are_metrics_fault_and_updates() -> None:
    graph = classes.graphs()["train"]
    assert graph.output_names[:4] == ("loss", "accuracy", "lr", "fault")
    assert set(graph.output_names[4:]) == set(graph.updates)
    kinds = dict(zip(graph.output_names, (str(o.type) for o in graph.outputs), strict=True))
    assert kinds["loss"] == kinds["accuracy"] == kinds["lr"] == "f32[()]"
    assert kinds["fault"] == "i32[()]"
    persistent = {n.attrs["label"]: str(n.type) for n in graph.inputs}
    assert all(kinds[name] == persistent[name] for name in graph.updates)


def test_eval_changes_nothing_and_shows_its_prediction() -> None:
    graph = classes.graphs()["eval"]
    assert graph.updates == {}
    assert graph.output_names == ("loss", "accuracy", "fault", "prediction")
    assert str(graph.outputs[-1].type) == "f32[6, 3]"


def test_the_gradient_is_one_node_over_the_forward() -> None:
    kinds = [n.op.name for n in classes.graphs()["train"].nodes()]
    assert kinds.count("grad") == 1
    assert "matmul" not in kinds


def test_training_lowers_the_loss(rng: np.random.Generator) -> None:
    graphs = classes.graphs()
    values, data = classes.initial_values(graphs), batch(rng)
    losses = [float(step(graphs["train"], values, data)["loss"]) for _ in range(40)]
    assert losses[-1] < 0.1 * losses[0]
    assert values["step"] == 40
    known = {n.attrs["label"] for n in graphs["eval"].inputs}
    out = dlc.evaluate(graphs["eval"], **data, **{k: v for k, v in values.items() if k in known})
    assert out["accuracy"] == 1
    np.testing.assert_array_equal(out["prediction"].argmax(1), data["label"])


def test_a_smaller_batch_shares_all_variables(rng: np.random.Generator) -> None:
    full, tail = classes.graphs(), classes.graphs(batch=2)
    kinds = [{v.name: str(v.type) for v in classes.variables(g)} for g in (full, tail)]
    assert kinds[0] == kinds[1]
    values = classes.initial_values(full)
    assert np.isfinite(step(tail["train"], values, batch(rng, 2))["loss"])


def test_a_parameter_that_depends_on_the_batch_is_refused() -> None:
    @dlc.task(optimizer=optim.sgd(), batch=4)
    def wrong(x: f32["batch", 2]) -> dlc.Loss:
        return dlc.loss((x * dlc.parameter("w", f32[x.shape[0], 1])).sum())

    with pytest.raises(DlcError, match="can't depend on the batch"):
        wrong.variables({**wrong.graphs(), "tail": wrong.graphs(batch=2)["train"]})


# --- predication ----------------------------------------------------------------------------------


def untouched(before: dict[str, Any], after: dict[str, Any]) -> None:
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name], err_msg=name)


def test_a_loss_that_is_not_finite_keeps_everything(rng: np.random.Generator) -> None:
    graph = classes.graphs()["train"]
    values, data = classes.initial_values(classes.graphs()), batch(rng)
    step(graph, values, data)
    before = dict(values)
    data["x"][2, 1] = np.nan
    out = step(graph, values, data)
    assert out["fault"] == -1
    assert np.isnan(out["loss"])
    untouched(before, values)


@pytest.mark.parametrize("label", [-1, 3, 2**31 - 1])
def test_a_label_out_of_range_keeps_everything(rng: np.random.Generator, label: int) -> None:
    graphs = classes.graphs()
    values, data = classes.initial_values(graphs), batch(rng)
    before = dict(values)
    data["label"][5] = label
    out = step(graphs["train"], values, data)
    assert out["fault"] == 1
    untouched(before, values)
    check = graphs["train"].notes["checks"][0]
    assert "out of 0 .. 2" in check.text
    assert check.loc is not None and check.loc.file == __file__
    assert dlc.evaluate(graphs["eval"], **data, **{
        n.attrs["label"]: values[n.attrs["label"]] for n in graphs["eval"].inputs
        if n.attrs["label"] not in data})["fault"] == 1


def test_running_statistics_are_predicated_too(rng: np.random.Generator) -> None:
    normal = nn.chain(nn.dense(4), nn.batch_norm(), nn.dense(3))

    @dlc.task(optimizer=optim.sgd(0.1), batch=6)
    def model(x: f32["batch", 4], label: i32["batch"]) -> dlc.Loss:
        return dlc.loss(nn.cross_entropy(normal(x), label))

    graphs = model.graphs()
    values, data = model.initial_values(graphs), batch(rng)
    step(graphs["train"], values, data)
    assert (values["batch_norm1.mean"] != 0).all()
    before = dict(values)
    data["x"][0, 0] = np.inf
    assert step(graphs["train"], values, data)["fault"] == -1
    untouched(before, values)


# --- modes ----------------------------------------------------------------------------------------


def test_augmentation_is_in_training_only(rng: np.random.Generator) -> None:
    @dlc.task(optimizer=optim.sgd(0.1), batch=2, augment=augment.affine(shift=2, rotate=20))
    def model(image: f32["batch", 1, 8, 8]) -> dlc.Loss:
        w = dlc.parameter("w", f32[8, 8])
        return dlc.loss(((image * w).sum() - 1) ** 2)

    graphs = model.graphs()
    assert {n.attrs["label"] for n in graphs["train"].inputs} >= {"seed", "step"}
    assert {n.attrs["label"] for n in graphs["eval"].inputs} == {"image", "w"}
    plain = model.with_options(augment="false").graphs()
    assert "seed" not in {n.attrs["label"] for n in plain["train"].inputs}


def test_augmentation_by_name() -> None:
    @dlc.task(optimizer=optim.sgd(0.1), batch=2, augment={"b": lambda x: x * 0})
    def model(a: f32["batch"], b: f32["batch"]) -> dlc.Loss:
        w = dlc.parameter("w", f32[()], dlc.init.ones)
        return dlc.loss((a * w).sum(), b=b.sum())

    ones = np.ones(2, np.float32)
    graphs = model.graphs()
    out = dlc.evaluate(graphs["train"], a=ones, b=ones, w=np.float32(1), step=np.int32(0))
    assert out["loss"] == 2 and out["b"] == 0


# --- what is trained ------------------------------------------------------------------------------


@pytest.mark.parametrize("frozen", ["dense1.*", ["dense1.weight", "dense1.bias"]])
def test_frozen_parameters_keep_their_values(frozen: Any) -> None:
    graph = dlc.task(optimizer=optim.adam(), frozen=frozen, batch=6)(classes.evaluate).graphs()
    assert "dense1.weight" not in graph["train"].updates
    assert "dense2.weight" in graph["train"].updates
    assert not [n for n in graph["train"].updates if n.startswith("adam") and "dense1" in n]


def test_a_layer_can_be_frozen() -> None:
    body, head = nn.chain(nn.dense(4), dlc.tanh), nn.dense(3)

    @dlc.task(optimizer=optim.sgd(), batch=6, frozen=body)
    def model(x: f32["batch", 4], label: i32["batch"]) -> dlc.Loss:
        return dlc.loss(nn.cross_entropy(head(body(x)), label))

    assert set(model.graphs()["train"].updates) == {"head.weight", "head.bias", "step"}


def test_phases_train_their_own_parameters(rng: np.random.Generator) -> None:
    """A small adversarial pair: each phase has its optimizer, its parameters, its step counter."""
    maker = nn.chain(nn.dense(4, name="hidden"), dlc.tanh, nn.dense(2), name="maker")
    judge = nn.chain(nn.dense(4), dlc.tanh, nn.dense(1), name="judge")

    def discriminate(real: f32["batch", 2]) -> dlc.Loss:
        made = maker(dlc.random.normal((int(real.shape[0]), 3)))
        return dlc.loss(nn.softplus(-judge(real)).mean() + nn.softplus(judge(made)).mean())

    def generate(real: f32["batch", 2]) -> dlc.Loss:
        made = maker(dlc.random.normal((int(real.shape[0]), 3)))
        return dlc.loss(nn.softplus(-judge(made)).mean())

    gan = dlc.task(name="gan", batch=5, data="points", evaluate=discriminate, phases=[
        dlc.phase("disc", discriminate, optim.adam(0.01), params=judge),
        dlc.phase("gen", generate, optim.sgd(0.1), params="maker/*", every=2)])
    graphs = gan.graphs()
    assert list(graphs) == ["train.disc", "train.gen", "eval"]
    trained = {k: {n for n in g.updates if "." in n and not n.startswith(("disc.", "gen."))}
               for k, g in graphs.items()}
    assert all(n.startswith("judge/") for n in trained["train.disc"])
    assert all(n.startswith("maker/") for n in trained["train.gen"])
    assert "disc.step" in graphs["train.disc"].updates
    assert "disc.adam.m/judge/dense1.weight" in graphs["train.disc"].updates
    values = gan.initial_values(graphs)
    data = {"real": rng.normal(size=(5, 2)).astype(np.float32)}
    for _ in range(3):
        step(graphs["train.disc"], values, data)
    step(graphs["train.gen"], values, data)
    assert (values["disc.step"], values["gen.step"]) == (3, 1)
    assert [(p["entry"], p["every"]) for p in gan.meta(graphs)["phases"]] == [
        ("train.disc", 1), ("train.gen", 2)]


def test_a_phase_without_optimizer_updates_by_hand(rng: np.random.Generator) -> None:
    """The LMS rule of Widrow and Hoff: no gradient node, a parameter set by the step itself."""
    def lms(x: f32["batch", 2], y: f32["batch"]) -> dlc.Loss:
        w = dlc.parameter("w", f32[2], dlc.init.zeros)
        error = y - (x * w).sum(1)
        dlc.update_state(w, w + 0.5 * (error[:, None] * x).mean(0))
        return dlc.loss((error * error).mean())

    task = dlc.task(name="lms", batch=20, phases=[dlc.phase("lms", lms, None)])
    graphs = task.graphs()
    assert "grad" not in {n.op.name for n in graphs["train.lms"].nodes()}
    values = task.initial_values(graphs)
    x = rng.normal(size=(20, 2)).astype(np.float32)
    for _ in range(60):
        step(graphs["train.lms"], values, {"x": x, "y": x @ np.array([2, -1], np.float32)})
    np.testing.assert_allclose(values["w"], [2, -1], atol=1e-3)


# --- options and meta -----------------------------------------------------------------------------


def test_options_given_as_text() -> None:
    changed = classes.with_options(batch="3", epochs="7", patience="2", data="mine.csv", lr="0.5")
    assert (changed.batch, changed.epochs, changed.patience, changed.data) == (3, 7, 2, "mine.csv")
    assert changed.meta(changed.graphs())["learning_rate"] == "0.5"
    assert (classes.batch, classes.patience) == (6, None)
    assert changed.with_options(patience="none").patience is None


def test_settings_of_the_function_are_options() -> None:
    @dlc.task(optimizer=optim.sgd(), batch=2)
    def model(x: f32["batch"], width: int = 3, scale: float = 1.0, twice: bool = False,
              ) -> dlc.Loss:
        w = dlc.parameter("w", f32[width])
        return dlc.loss(w.sum() * x.sum() * (2 * scale if twice else scale))

    changed = model.with_options(width="5", twice="yes", scale="-0.5")
    assert changed.settings == {"width": 5, "twice": True, "scale": -0.5}
    types = {v.name: str(v.type) for v in changed.variables(changed.graphs())}
    assert types["w"] == "f32[5]"
    with pytest.raises(DlcError, match="true or false"):
        model.with_options(twice="maybe")


@pytest.mark.parametrize(("key", "value"), [
    ("batch", "0"), ("epochs", "1.5"), ("lr", "-1"), ("lr", "nan"), ("augment", "true"),
    ("patience", "soon"), ("widht", "3")])
def test_options_that_do_not_fit(key: str, value: str) -> None:
    with pytest.raises(DlcError, match=key if key != "augment" else "augmentation"):
        classes.with_options(**{key: value})


def test_meta_is_plain_data() -> None:
    meta = classes.meta(classes.graphs())
    assert json.loads(json.dumps(meta)) == json.loads(json.dumps(meta))
    assert meta["parameters"] == 4 * 8 + 8 + 8 * 3 + 3
    assert meta["metrics"] == ("loss", "accuracy")
    assert (meta["target"], meta["classes"]) == ("label", 3)
    assert meta["parameter_types"]["dense1.weight"]["shape"] == [4, 8]
    assert "test_task.py:" in meta["parameter_types"]["dense1.weight"]["loc"]
    assert meta["checks"]["train"][0]["text"].startswith("one_hot of 3 classes")
    assert not meta["sets_steps_per_epoch"]


def test_a_schedule_over_epochs_asks_for_their_length() -> None:
    task = dlc.task(optimizer=optim.sgd(optim.cosine(0.1)), batch=6)(classes.evaluate)
    graphs = task.graphs()
    assert task.meta(graphs)["sets_steps_per_epoch"]
    assert "steps_per_epoch" not in graphs["train"].updates
    assert task.initial_values(graphs)["steps_per_epoch"] == 1


def test_regression_has_a_target_without_classes() -> None:
    line = nn.dense(1)

    @dlc.task(optimizer=optim.sgd(), batch=4)
    def fit(x: f32["batch", 2], y: f32["batch", 1]) -> dlc.Loss:
        return dlc.loss(nn.mse(line(x), y))

    meta = fit.meta(fit.graphs())
    assert (meta["target"], meta["classes"]) == ("y", 0)


def test_a_task_is_still_its_function() -> None:
    def loss_of(x: f32[6, 4], label: i32[6]) -> Any:
        return classes(x, label).value

    assert str(dlc.trace(loss_of).outputs[0].type) == "f32[()]"


def test_the_seed_changes_first_values_and_is_kept() -> None:
    graphs = classes.with_options(batch="6").graphs()
    one, two = (classes.initial_values(graphs, seed) for seed in (1, 2))
    assert not np.array_equal(one["dense1.weight"], two["dense1.weight"])
    np.testing.assert_array_equal(one["dense1.weight"],
                                  classes.initial_values(graphs, 1)["dense1.weight"])


def test_metadata_of_training_alone() -> None:
    """What reports need is told from the evaluation, which is traced where it is not given."""
    from dlc.models.xor import xor

    alone, whole = xor.meta(xor.graphs(kinds=("train",))), xor.meta(xor.graphs())
    assert alone == {**whole, "checks": {"train": whole["checks"]["train"]}}
