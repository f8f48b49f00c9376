"""The head of a report: what was trained, when and how, and the numbers that matter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from dlc.runtime.report.charts import show_bytes
from dlc.runtime.report.classes import classified
from dlc.runtime.report.pictures import explained
from dlc.runtime.report.roc import curves
from dlc.runtime.report.text import bits
from dlc.runtime.report.values import regression

if TYPE_CHECKING:
    from dlc.runtime.report.answers import Answers
    from dlc.runtime.report.page import ReportInput

WORDS = {"classes": "Classifier", "yes_no": "Yes-or-no classifier", "values": "Regression",
         "tokens": "Sequence model", "reconstruction": "Autoencoder", "samples": "Generator"}
Number = tuple[str, str, str]  # what it is, its value, a remark
MAX_LARGE = 4


def header(given: ReportInput) -> str:
    """What was trained on what, when and how; the numbers that matter large, the rest small."""
    result = given.result
    about = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(str(v))}</dd></div>"
                    for k, v in given.about.items() if k != "command")
    command = given.about.get("command")
    shown = "" if command is None else f'<pre class="command">{escape(str(command))}</pre>'
    large = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd><p>{escape(note)}</p></div>"
                    for k, v, note in large_numbers(given)[:MAX_LARGE])
    small = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>"
                    for k, v in small_numbers(given).items())
    return (f'<header><p class="kind">{escape(what(given.answers))}</p>'
            f"<h1>{escape(result.model)}</h1>"
            f'<p class="soft">{escape(given.dataset.describe())}</p>'
            f'<dl class="about">{about}</dl>{shown}'
            f'<dl class="large">{large}</dl><dl class="small">{small}</dl></header>')


def what(answers: Answers) -> str:
    """The kind of network in words."""
    return "Text model" if answers.is_text else WORDS.get(answers.kind, "Training run")


def large_numbers(given: ReportInput) -> list[Number]:
    """The numbers that one looks for first in a task of this kind, then the losses."""
    found = [*of_classes(given.answers), *of_yes_no(given.answers), *of_values(given.answers),
             *of_text(given.answers), *of_reconstruction(given.answers)]
    return found + measured(given, bool(found)) + losses(given)


def measured(given: ReportInput, known: bool) -> list[Number]:
    """The task's own first metric, where nothing better is known of it."""
    result = given.result
    part = "test" if result.test_loss is not None else "training"
    first = next((name for name in result.metrics if not name.endswith((".lr", ".loss", "lr"))), "")
    if known or not first:
        return []
    return [(f"{part} {first}", f"{result.metrics[first]:.4f}", "")]


def losses(given: ReportInput) -> list[Number]:
    """The loss of the test data beside that of training; of several phases, each one's."""
    result = given.result
    last = result.history[-1]["train"] if result.history else {}
    phases = [name for name in last if name.endswith(".loss")]
    if len(phases) > 1:
        return [(name.replace(".", " "), number(last[name]), "training") for name in phases]
    if result.test_loss is not None:
        note = "" if result.train_loss is None else f"training {number(result.train_loss)}"
        return [("test loss", number(result.test_loss), note)]
    return [] if result.train_loss is None else [("training loss", number(result.train_loss), "")]


def number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else str(value)


def of_classes(answers: Answers) -> list[Number]:
    found = classified(answers)
    if found is None:
        return []
    right = len(found.truth) - len(found.wrong)
    return [(f"{answers.part} accuracy", f"{right / len(found.truth):.1%}",
             f"{right} of {len(found.truth)} right")]


def of_yes_no(answers: Answers) -> list[Number]:
    found = curves(answers)
    if not found:
        return []
    mean = sum(curve.area for _, curve in found) / len(found)
    return [("area under the ROC", f"{mean:.3f}", "0.5 is chance" if len(found) == 1 else
             f"mean of {len(found)}")]


def of_values(answers: Answers) -> list[Number]:
    found = regression(answers)
    return [] if found is None else [("variance explained", f"{found.r2:.1%}", "R²")]


def of_text(answers: Answers) -> list[Number]:
    found = bits(answers)
    if found is None:
        return []
    mean = float(found.mean())
    unit = "character" if answers.is_text else "position"
    said = answers.prediction
    chance = 0.0 if said is None else math.log2(said.shape[-1])
    return [(f"bits per {unit}", f"{mean:.3f}", f"guessing: {chance:.2f}"),
            ("perplexity", f"{2 ** mean:.3g}", f"of {2 ** chance:.0f} classes")]


def of_reconstruction(answers: Answers) -> list[Number]:
    share, truth = explained(answers), answers.truth
    found: list[Number] = []
    if share is not None:
        found.append(("variance kept", f"{share:.1%}", "of the samples around their mean"))
    if answers.code is not None and truth is not None:
        found.append(("code", f"{answers.code[0].size} values", f"for {truth[0].size}"))
    return found


def small_numbers(given: ReportInput) -> Mapping[str, str]:
    """The rest, by name."""
    result = given.result
    how = ", ".join(word for word, true in (("stopped early", result.stopped_early),
                                            ("interrupted", bool(result.interrupted))) if true)
    found = {"epochs": f"{result.epochs}" + (f" ({how})" if how else ""),
             "best epoch": str(result.best_epoch) if result.best_epoch else "no epoch complete",
             "steps": f"{result.steps:,}"}
    if result.step_ms is not None:
        found["median step"] = f"{result.step_ms:.3g} ms"
    return {**found, "training": f"{result.train_s:.1f} s",
            "compiling": f"{result.compile_s:.2f} s", "parameters": f"{result.parameters:,}",
            "memory": show_bytes(result.peak_bytes), "target": result.target}
