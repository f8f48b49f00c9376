"""The parts of a report that follow the task: ROC, bits, projections, pictures, curves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dlc.runtime.report.answers import Answers
from dlc.runtime.report.classes import classes_section
from dlc.runtime.report.codes import codes_section, projection
from dlc.runtime.report.curves import curves_section
from dlc.runtime.report.numbers import of_reconstruction, of_text, of_yes_no
from dlc.runtime.report.pictures import explained, reconstruction_section, samples_section
from dlc.runtime.report.roc import curves, roc, roc_section
from dlc.runtime.report.text import bits, drawn, text_section
from tests.report.test_page import check

Numbers = np.ndarray[Any, Any]


def pairs_above(scores: Numbers, yes: Numbers) -> float:
    """The area by its definition: of all (yes, no), how many are in order, ties counting half."""
    apart = np.sign(scores[yes][:, None] - scores[~yes][None]).astype(np.float64)
    return float((apart + 1).mean() / 2)


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_roc_area_is_the_share_of_pairs_in_order(levels: int, rng: np.random.Generator) -> None:
    scores = rng.integers(0, levels, 300).astype(np.float32)
    yes = rng.random(300) < 0.3
    curve = roc(scores, yes.astype(np.float32))
    assert curve is not None
    assert abs(curve.area - pairs_above(scores, yes)) < 1e-12
    for rate in (curve.false_rate, curve.true_rate):
        assert rate[0] == 0 and rate[-1] == 1 and (np.diff(rate) >= 0).all()


def test_roc_of_perfect_reversed_and_equal_scores() -> None:
    yes = np.array([0, 0, 1, 1])
    areas = [curve.area for curve in (roc(np.float32(s), yes) for s in
                                      ([1, 2, 3, 4], [4, 3, 2, 1], [7, 7, 7, 7])) if curve]
    assert areas == [1.0, 0.0, 0.5]
    assert roc(np.float32([1, 2]), np.array([1, 1])) is None


def yes_no(scores: Numbers, truth: Numbers, **more: Any) -> Answers:
    return Answers("yes_no", "y", "sigmoid", arrays={"y": truth}, of=len(truth), prediction=scores,
                   **more)


def test_yes_no_shows_a_curve_and_a_matrix() -> None:
    answers = yes_no(np.float32([[-3], [3], [1], [-1]]), np.float32([[0], [1], [0], [1]]))
    html = roc_section(answers) + classes_section(answers)
    check(html)
    assert "AUC 0.750" in html and "Probability of yes" in html and 'class="confusion"' in html
    assert of_yes_no(answers)[0][1] == "0.750"


def test_several_answers_have_a_curve_each_and_no_matrix(rng: np.random.Generator) -> None:
    truth = (rng.random((80, 3)) < 0.5).astype(np.float32)
    answers = yes_no(truth + rng.normal(size=(80, 3)).astype(np.float32), truth,
                     classes=("a", "<b>", "c"))
    html = roc_section(answers)
    check(html)
    assert [name for name, _ in curves(answers)] == ["a", "<b>", "c"] and "&lt;b&gt;" in html
    assert classes_section(answers) == "" and "Probability of yes" not in html


def test_two_classes_have_a_curve_of_the_second(rng: np.random.Generator) -> None:
    label = rng.integers(0, 2, 90).astype(np.int32)
    logits = rng.normal(size=(90, 2)).astype(np.float32)
    answers = Answers("classes", "label", "softmax", arrays={"label": label}, prediction=logits)
    expected = pairs_above(logits[:, 1] - logits[:, 0], label == 1)
    assert abs(curves(answers)[0][1].area - expected) < 1e-12


def text_answers(rng: np.random.Generator, **more: Any) -> Answers:
    scores = rng.normal(size=(4, 6, 3)).astype(np.float32)
    codes = rng.integers(0, 3, (4, 6)).astype(np.int32)
    return Answers("tokens", "y", "softmax", arrays={"y": codes}, prediction=scores, **more)


def test_bits_are_the_logarithm_of_the_probability(rng: np.random.Generator) -> None:
    answers = text_answers(rng, classes=("a", "\n", "<"))
    scores, codes = answers.prediction, answers.truth
    assert scores is not None and codes is not None
    odds = np.exp(scores.astype(np.float64))
    odds /= odds.sum(axis=-1, keepdims=True)
    expected = -np.log2(np.take_along_axis(odds, codes[..., None], -1)[..., 0])
    found = bits(answers)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert of_text(answers)[0][1] == f"{expected.mean():.3f}"
    html = text_section(answers)
    check(html)
    assert "new line" in html and "&lt;" in html


def test_tokens_that_are_no_characters_have_no_text(rng: np.random.Generator) -> None:
    answers = text_answers(rng, classes=("the", "a", "of"))
    assert text_section(answers) == "" and of_text(answers)[0][0] == "bits per position"


def test_drawn_follows_the_scores() -> None:
    rng = np.random.default_rng(0)
    scores = np.log(np.float32([0.2, 0.5, 0.3]))
    counts = np.bincount([drawn(scores, 1.0, rng) for _ in range(3000)], minlength=3) / 3000
    # four standard deviations of a share of 3,000 draws
    assert np.abs(counts - [0.2, 0.5, 0.3]).max() < 4 * np.sqrt(0.25 / 3000)
    assert drawn(scores, 0, rng) == 1


def test_projection_keeps_the_widest_directions(rng: np.random.Generator) -> None:
    plane = rng.normal(size=(50, 2)) * [5, 2]
    turn, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    points, axes = projection(plane @ turn[:2] + 3)
    centred = plane - plane.mean(axis=0)
    inner = points @ points.T
    np.testing.assert_allclose(inner, centred @ centred.T, atol=1e-9)
    share = np.linalg.svd(centred, compute_uv=False) ** 2
    assert axes[0] == f"component 1 ({share[0] / share.sum():.0%})"
    same, _ = projection(plane)
    np.testing.assert_array_equal(same, plane)
    assert projection(plane[:, :1])[0].shape == (50, 2)
    assert projection(plane[:1].repeat(3, axis=1))[0].shape == (1, 2)


def reconstruction(rng: np.random.Generator, shape: tuple[int, ...], **more: Any) -> Answers:
    image = rng.random((30, *shape)).astype(np.float32)
    label = np.arange(30, dtype=np.int32) % 3
    return Answers("reconstruction", "image", arrays={"image": image, "label": label},
                   prediction=image + np.float32(0.01), code=rng.random((30, 4), np.float32),
                   code_name="z<1>", of=30, **more)


@pytest.mark.parametrize("shape", [(1, 6, 6), (36,)])
def test_reconstructions_are_pictures_or_rows(shape: tuple[int, ...],
                                              rng: np.random.Generator) -> None:
    answers = reconstruction(rng, shape)
    html = reconstruction_section(answers) + codes_section(answers)
    check(html)
    assert html.count("<img") == (48 if len(shape) > 1 else 0)
    assert "Colours are classes" in html and "z&lt;1&gt;" in html
    share = explained(answers)
    spread = ((answers.arrays["image"] - answers.arrays["image"].mean(axis=0)) ** 2).mean()
    # f32: a few eps of values below 2
    assert share is not None and abs(1 - share - 1e-4 / spread) < 1e-5
    assert of_reconstruction(answers)[1][1:] == ("4 values", "for 36")


def test_logits_are_shown_as_probabilities(rng: np.random.Generator) -> None:
    image = rng.random((9, 4)).astype(np.float32) * 0.8 + 0.1
    logits = np.log(image / (1 - image))
    share = explained(Answers("reconstruction", "x", "sigmoid", arrays={"x": image},
                              prediction=logits))
    assert share is not None and share > 1 - 1e-6


@pytest.mark.parametrize("shape", [(64,), (1, 8, 8), (3,)])
def test_samples_stand_beside_the_nearest_data(shape: tuple[int, ...],
                                               rng: np.random.Generator) -> None:
    real = rng.random((50, *((1, 8, 8) if np.prod(shape) == 64 else shape))).astype(np.float32)
    made = real[:20].reshape(20, *shape)
    html = samples_section(Answers("samples", arrays={"image": real}, prediction=made,
                                   trained={"image": real}))
    check(html)
    if np.prod(shape) == 64:
        assert html.count("<img") == 20 + 24 and html.count("distance 0<") == 12
    else:
        assert html.count("<circle") == 70


def test_alternating_phases_have_curves_of_their_own() -> None:
    history = [{"epoch": e, "step": e, "samples": 4, "step_ms": 1.0, "test": {"loss": 0.5},
                "train": {"loss": 1 / e, "d.loss": 1 / e, "d.seen": 0.5, "d.lr": 0.1,
                          "g.loss": float(e), "g.lr": 0.1 / e}} for e in (1, 2, 3)]
    phases = [{"name": n, "every": k, "start": 0, "stop": None, "optimizer": "adam<"}
              for n, k in (("d", 1), ("g", 2))]
    html = curves_section(history, phases)
    check(html)
    assert html.count("loss of each phase") == 2 and "every 2 steps" in html
    assert html.count("<h3>Phase") == 2 and "adam&lt;" in html
    assert ">seen" in html and html.count(">learning rate<") == 1, "one that changes"
    assert "loss, test" in html
