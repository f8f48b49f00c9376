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
from tests.conformance.nnsmith_models import SUITES, Case, account, cases, fresh_folders
from tests.conformance.onnx_cases import bundled, listed

pytestmark = pytest.mark.conformance
CASES = cases()
PART, BUNDLE, BUNDLES = 30, 30, 2
Tallies = Callable[[str], cut.Tally]


def groups(chosen: list[Case], size: int) -> list[list[Case]]:
    """`chosen` in groups of about `size`, each of one corpus."""
    found = []
    for suite in SUITES:
        ours = [case for case in chosen if case.suite == suite]
        number = max(1, round(len(ours) / size))
        found += [part for i in range(number) if (part := ours[i::number])]
    return found


def drawn() -> list[Case]:
    """The frozen models of the day, all in a full run; every fresh one."""
    names = cut.chosen("nnsmith", [c.name for c in CASES if c.suite == SUITES[0]], BUNDLE * BUNDLES)
    return [case for case in CASES if case.suite != SUITES[0] or case.name in names]


def title(group: list[Case]) -> str:
    return f"{group[0].name}-and-{len(group) - 1}"


def counted(count: cut.Tally, case: Case, results: list[list[np.ndarray]]) -> str:
    """Count a case of which all results are right; else say what is wrong."""
    verdicts = [case.compared(found) for found in results]
    wrong = [w for w, _ in verdicts if w]
    reasons = [reason for _, reason in verdicts if reason]
    if reasons and not wrong:
        count.leave_out(reasons[0])
    elif not wrong:
        count.add()
    return "\n".join(wrong)


@pytest.mark.parametrize("group", groups(CASES, PART), ids=title)
def test_values(group: list[Case], tally: Tallies) -> None:
    """Unoptimized in NumPy, and the graph after all passes in NumPy, against the oracle."""
    count, bad = tally(f"{group[0].suite}, evaluated"), []
    for case in group:
        values = {**case.model.parameters, **case.given}
        graph = case.model.graph()
        results = []
        for each in (graph, run_pipeline(graph, None, PIPELINE)[-1].graph):
            named = {n.attrs["label"]: values[n.attrs["label"]] for n in each.inputs}
            results.append(listed(dlc.evaluate(each, **named))[:len(case.expected)])
        bad.append(counted(count, case, results))
    assert not any(bad), "\n".join(filter(None, bad))


@pytest.mark.parametrize("group", groups(drawn(), BUNDLE), ids=title)
def test_kernels(group: list[Case], tally: Tallies) -> None:
    """Through passes and kernels, many models in one program, against the oracle."""
    count, bad = tally(f"{group[0].suite}, compiled"), []
    given = [array for case in group for array in case.given.values()]
    with dlc.compile(bundled([case.model for case in group])).load(threads=1) as program:
        found = listed(program(*given))
    for case in group:
        bad.append(counted(count, case, [found[:len(case.expected)]]))
        del found[:len(case.expected)]
    assert not any(bad), "\n".join(filter(None, bad))


def test_the_frozen_corpus_is_whole() -> None:
    assert len([case for case in CASES if case.suite == SUITES[0]]) == 304


@pytest.mark.parametrize("suite", SUITES[1:])
def test_the_fresh_corpora_are_accounted_for(suite: str, tally: Tallies) -> None:
    """As many models as were asked for; their seeds, and what was generated and left out.

    The cut of the day has none. A full run that could not make them counts them as left out.
    """
    folder, fresh = fresh_folders().get(suite), [case for case in CASES if case.suite == suite]
    noted = account(folder) if folder else {"asked": 0, "left_out": {}}
    count = tally(f"{suite}, evaluated") if folder else None
    missing = noted.get("missing", "")
    assert len(fresh) == (0 if missing else noted["asked"])
    if count and missing:
        count.leave_out(missing, noted["asked"])
    elif count:
        count.drawn_from(f"seeds {noted['first']} to {noted['last']}")
        for reason, number in noted["left_out"].items():
            count.leave_out(reason, number)
