"""Input that torch refuses: dlc answers it with an error too, or the difference is listed here."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.errors import DlcError
from dlc.ir.types import DTypeError
from tests.conformance.adapters import TABLE, Adapter, Excluded
from tests.conformance.adapters.differences import DIFFERENCES, NUMBERS, OUT
from tests.conformance.cut import chosen
from tests.conformance.test_opinfo import arrays_of, graph_of
from tests.conformance.torch_samples import Case, error_cases

pytestmark = pytest.mark.conformance


def stores(*args: Any, out: Any = None, **more: Any) -> bool:
    """Whether torch's call has an out= argument."""
    return out is not None


def answer(adapter: Adapter, case: Case) -> str:
    """What dlc does with the input: refused, accepted, or why it can't be said."""
    try:
        graph = graph_of([(adapter, case)])
        found = dlc.evaluate(graph, *arrays_of([(adapter, case)]))
    except (DlcError, DTypeError):
        return "refused"
    except Excluded as reason:
        return str(reason)
    except (IndexError, ValueError, TypeError, ZeroDivisionError):
        return "failed in the adapter"
    fault = found["fault"] if isinstance(found, dict) and "fault" in found else np.int32(0)
    return "refused" if int(fault) else "accepted"


def test_what_torch_refuses() -> None:
    """Each is refused, or listed with the reason why it is not; the list holds nothing else. Those
    of the operators of the day, of which a fifth have such input."""
    counts, wrong = Counter[str](), []
    names = chosen("input that torch refuses", list(TABLE))
    for name in names:
        adapter = TABLE[name]
        for case, pattern in error_cases(name):
            if not pattern:
                counts[NUMBERS] += 1
            elif case.call(stores, list(case.arrays)):
                counts[OUT] += 1
            else:
                said = answer(adapter, case)
                listed = DIFFERENCES.get(str(case))
                counts[listed or said] += 1
                if (said == "refused") is (listed is not None):
                    wrong.append(f"{case}: {said}; torch: {pattern}")
    print("\n".join(f"{n} {reason}" for reason, n in counts.most_common()))
    assert not wrong, "\n".join(wrong)
    assert counts["refused"] > 15 * len(names) / len(TABLE)  # all together: 150, in few operators
