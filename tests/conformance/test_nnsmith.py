"""NNSmith's random models against what PyTorch computed; optimized against unoptimized.

304 frozen models, in a full run 2,450 fresh ones beside them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import dlc
from dlc.passes import PIPELINE, run_pipeline
from tests.conformance import cut
from tests.conformance.nnsmith_models import (
    FROZEN,
    SUITES,
    Case,
    account,
    cases,
    corpus,
    fresh_folders,
)
from tests.conformance.onnx_cases import listed
from tests.conformance.together import computed

pytestmark = pytest.mark.conformance
CASES = cases()
PART = 30  # models in a program, and in a test
Tallies = Callable[[str], cut.Tally]


def groups(chosen: list[Case], size: int) -> list[list[Case]]:
    """`chosen` in groups of about `size`, each of one corpus."""
    found = []
    for suite in SUITES:
        ours = [case for case in chosen if case.suite == suite]
        number = max(1, round(len(ours) / size))
        found += [part for i in range(number) if (part := ours[i::number])]
    return found


def title(group: list[Case]) -> str:
    return f"{group[0].name}-and-{len(group) - 1}"


def counted(count: cut.Tally, case: Case, results: list[list[np.ndarray]]) -> str:
    """Count a case of which all results are right; else say what is wrong."""
    verdicts = [case.compared(found) for found in results]
    wrong = [w for w, _ in verdicts if w]
    reasons = [reason for _, reason in verdicts if reason]
    if wrong:
        count.fail()
    elif reasons:
        count.leave_out(reasons[0])
    else:
        count.add()
    return "\n".join(wrong)


@pytest.mark.parametrize("group", groups(CASES, PART), ids=title)
def test_evaluated(group: list[Case], tally: Tallies) -> None:
    """Unoptimized in NumPy, and the graph after all passes in NumPy, against the oracle."""
    count, bad = tally(group[0].suite), []
    for case in group:
        graph, arrays = case.entry.graph, case.entry.arrays
        values = {n.attrs["label"]: a for n, a in zip(graph.inputs, arrays, strict=True)}
        found = []
        for each in (graph, run_pipeline(graph, None, PIPELINE)[-1].graph):
            named = {n.attrs["label"]: values[n.attrs["label"]] for n in each.inputs}
            found.append(listed(dlc.evaluate(each, **named))[:len(case.expected)])
        bad.append(counted(count, case, found))
    assert not any(bad), "\n".join(filter(None, bad))


@pytest.mark.parametrize("group", groups(CASES, PART), ids=title)
def test_compiled(group: list[Case], tally: Tallies) -> None:
    """Through passes, kernels and threads, many models in one program, against the oracle."""
    count, bad = tally(group[0].suite), []
    found = computed([case.entry for case in group])
    for case in group:
        got = found[case.name]
        if isinstance(got, Exception):
            count.fail()
            bad.append(f"{case.name}: {got!r}")
        else:
            bad.append(counted(count, case, [list(got.values())[:len(case.expected)]]))
    assert not any(bad), "\n".join(filter(None, bad))


def test_the_frozen_corpus_is_whole() -> None:
    assert len(corpus(SUITES[0], FROZEN)) == 304


@pytest.mark.parametrize("suite", SUITES[1:])
def test_the_fresh_corpora_are_accounted_for_evaluated(suite: str, tally: Tallies) -> None:
    """As many models as were asked for; their seeds, and what was generated and left out.

    The cut of the day has none. A full run that could not make them counts them as left out.
    """
    folder, fresh = fresh_folders().get(suite), [case for case in CASES if case.suite == suite]
    noted = account(folder) if folder else {"asked": 0, "left_out": {}}
    count = tally(suite) if folder else None
    missing = noted.get("missing", "")
    assert len(fresh) == (0 if missing else noted["asked"])
    if count and missing:
        count.leave_out(missing, noted["asked"])
    elif count:
        count.drawn_from(f"seeds {noted['first']} to {noted['last']}")
        for reason, number in noted["left_out"].items():
            count.leave_out(reason, number)
