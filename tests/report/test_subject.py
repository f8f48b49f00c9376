"""What a task is, told from its declaration: the kind, the target, the link and the code."""

from __future__ import annotations

from typing import Any

import pytest

import dlc
from dlc import DlcError, f32, i32, nn, optim
from dlc.models.lenet import lenet
from dlc.models.linear_regression import linear_regression
from dlc.models.xor import xor
from tests.report.autoencoder import autoencoder
from tests.report.classifier import classifier
from tests.report.gan import gan
from tests.report.writer import writer

ADAM = optim.adam(1e-3)


def subject(task: dlc.Task) -> dict[str, Any]:
    found: dict[str, Any] = task.meta(task.graphs())["subject"]
    return found


def row(kind: str, target: str = "", link: str = "", code: str = "") -> dict[str, str]:
    return {"kind": kind, "target": target, "link": link, "code": code}


@pytest.mark.parametrize(("task", "expected"), [
    (lenet, row("classes", "label", "softmax")),
    (classifier, row("classes", "label", "softmax")),
    (xor, row("yes_no", "y", "sigmoid")),
    (linear_regression, row("values", "y")),
    (autoencoder, row("reconstruction", "image", "sigmoid", "code")),
    (gan, row("samples")),
    (writer, row("tokens", "y", "softmax")),
], ids=lambda value: getattr(value, "name", ""))
def test_kinds_of_tasks(task: dlc.Task, expected: dict[str, str]) -> None:
    assert subject(task) == expected


def test_the_name_of_a_task_says_nothing() -> None:
    """The same declaration under the names of other networks."""
    for name in ("gan", "autoencoder", "vae", "gpt"):
        renamed = dlc.task(optimizer=ADAM, batch=4, name=name)(classifier.evaluate)
        assert subject(renamed)["kind"] == "classes"


def test_a_code_with_noise_is_the_value_that_all_paths_pass() -> None:
    """The mean and the spread are as narrow as z, but neither is on all paths."""
    hidden, mean, spread = nn.dense(16, name="h"), nn.dense(3, name="m"), nn.dense(3, name="s")
    out = nn.dense(64, name="o")

    @dlc.task(optimizer=ADAM, batch=4)
    def vae(image: f32["batch", 1, 8, 8]) -> dlc.Loss:
        h = nn.relu(hidden(nn.flatten(image)))
        mu, log_std = mean(h), spread(h)
        z = mu + dlc.exp(log_std) * dlc.random.normal((int(image.shape[0]), 3))
        flat = image.reshape((int(image.shape[0]), 64))
        return dlc.loss(nn.mse(out(z), flat) + 0.1 * (mu * mu).mean())

    assert subject(vae) == row("reconstruction", "image", code="z")
    graph = vae.graphs(4, ("eval",))["eval"]
    code = dict(zip(graph.output_names, graph.outputs, strict=True))["report.code"]
    assert tuple(code.shape) == (4, 3)


def test_a_network_without_a_bottleneck_has_no_code() -> None:
    wide = nn.dense(8)

    @dlc.task(optimizer=ADAM, batch=4)
    def same(x: f32["batch", 8]) -> dlc.Loss:
        return dlc.loss(nn.mse(wide(x), x))

    assert subject(same) == row("reconstruction", "x")
    assert "report.code" not in same.graphs(4, ("eval",))["eval"].output_names


def test_rows_flattened_for_the_loss_are_rows_again() -> None:
    """cross_entropy over [batch * time, classes]: the prediction is [batch, time, classes]."""
    embed, out = nn.embedding(5, 4), nn.dense(5)

    @dlc.task(optimizer=ADAM, batch=3)
    def flat(x: i32["batch", 7], y: i32["batch", 7]) -> dlc.Loss:
        logits = out(embed(x))
        return dlc.loss(nn.cross_entropy(logits.reshape((-1, 5)), y.reshape((-1,))))

    assert subject(flat) == row("tokens", "y", "softmax")
    predicted = flat.graphs(3, ("predict",))["predict"].outputs[0]
    assert tuple(predicted.shape) == (3, 7, 5)


def test_a_judge_of_classes_does_not_make_samples_classes() -> None:
    """What is predicted is made of no data, whatever the losses compare."""
    make, judge = nn.dense(6, name="make"), nn.dense(3, name="judge")

    @dlc.task(optimizer=ADAM, batch=4)
    def conditional(x: f32["batch", 6], label: i32["batch"]) -> dlc.Loss:
        fake = make(dlc.random.normal((int(x.shape[0]), 2)))
        return dlc.loss(nn.cross_entropy(judge(fake) + judge(x), label), prediction=fake)

    assert subject(conditional) == row("samples")


def test_a_loss_by_hand_has_the_only_unread_input_as_its_target() -> None:
    head, three = nn.dense(1, name="head"), nn.dense(3, name="three")

    def by_hand(x: f32["batch", 2], y: f32["batch", 1]) -> dlc.Loss:
        out = head(x)
        return dlc.loss(dlc.square(out - y).mean(), prediction=out)

    def classes(x: f32["batch", 2], label: i32["batch"]) -> dlc.Loss:
        out = three(x)
        return dlc.loss(-(nn.log_softmax(out) * dlc.one_hot(label, 3)).sum(), prediction=out)

    def two(x: f32["batch", 2], y: f32["batch", 1], weight: f32["batch", 1]) -> dlc.Loss:
        out = head(x)
        return dlc.loss((weight * dlc.square(out - y)).mean(), prediction=out)

    for function, expected in ((by_hand, row("values", "y")), (classes, row("classes", "label")),
                               (two, row("nothing"))):
        assert subject(dlc.task(optimizer=ADAM, batch=4)(function)) == expected


def test_a_mean_of_the_target_makes_no_reconstruction() -> None:
    """The intercept of a regression may be the mean of y."""
    head = nn.dense(1)

    @dlc.task(optimizer=ADAM, batch=4)
    def centred(x: f32["batch", 5], y: f32["batch", 1]) -> dlc.Loss:
        return dlc.loss(nn.mse(head(x) + y.mean(), y))

    assert subject(centred) == row("values", "y")


@pytest.mark.parametrize(("report", "expected"), [
    ({"shows": "values"}, row("values", "y", "sigmoid")),
    ({"shows": "nothing"}, row("nothing")),
    ({"code": "hidden"}, row("yes_no", "y", "sigmoid", "hidden")),
    ({"target": "x"}, row("yes_no", "x", "sigmoid")),
])
def test_a_task_may_say_it_itself(report: dict[str, str], expected: dict[str, str]) -> None:
    body, head = nn.dense(3), nn.dense(1)

    @dlc.task(optimizer=ADAM, batch=4, report=report)
    def told(x: f32["batch", 2], y: f32["batch", 1]) -> dlc.Loss:
        hidden = dlc.tanh(body(x))
        return dlc.loss(nn.binary_cross_entropy_with_logits(head(hidden), y))

    assert subject(told) == expected


@pytest.mark.parametrize(("report", "words"), [
    ({"show": "classes"}, "has no key 'show'.*shows"),
    ({"shows": "clases"}, "shows 'clases'.*classes"),
    ("classes", "report='classes' is invalid"),
    ({"code": 3}, "is invalid"),
])
def test_reports_that_do_not_exist(report: Any, words: str) -> None:
    with pytest.raises(DlcError, match=f"(?s){words}"):
        dlc.task(optimizer=ADAM, report=report)


def test_an_unknown_code_is_answered_with_the_values_that_there_are() -> None:
    head = nn.dense(1)

    @dlc.task(optimizer=ADAM, batch=4, report={"code": "hiden"})
    def task(x: f32["batch", 2], y: f32["batch", 1]) -> dlc.Loss:
        hidden = x * 2.0
        return dlc.loss(nn.mse(head(hidden), y))

    with pytest.raises(DlcError, match=r"(?s)'hiden'.*hidden"):
        task.graphs()
