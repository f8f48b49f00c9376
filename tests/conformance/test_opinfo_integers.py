"""OpInfo's samples in i8, i16, u16 and u64: evaluated and compiled, beside PyTorch.

dlc adds integers of 8 and 16 bits up in i32, PyTorch in their own width or in i64: results are
compared modulo 2**n for the narrower of two widths.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

import dlc
from dlc.ir.graph import Graph
from tests.conformance.adapters import TABLE
from tests.conformance.cut import Tally, chosen
from tests.conformance.test_opinfo import arrays_of, compare, graph_of, results
from tests.conformance.together import Entry, computed
from tests.conformance.torch_samples import Case, cases

pytestmark = pytest.mark.conformance
LISTED = Path(__file__).with_name("integer_operators.txt")
SUITE = "torch OpInfo, narrow integers"
SAMPLES, TOGETHER = 12, 8  # of an operator in a dtype; operators in a program


def listed() -> dict[str, list[str]]:
    """Operator -> the dtypes that are compared: all for arithmetic, of the others one by a hash."""
    found = {}
    for line in LISTED.read_text().splitlines():
        name, *kinds = line.split()
        if name != "#":
            one = kinds[zlib.crc32(name.encode()) % len(kinds)]
            found[name] = kinds if len(TABLE[name].dtypes) > 1 else [one]
    return found


OPERATORS = listed()
NAMES = chosen("opinfo integers", list(OPERATORS))
GROUPS = [NAMES[i:i + TOGETHER] for i in range(0, len(NAMES), TOGETHER)]


def title(names: Sequence[str]) -> str:
    return f"{names[0]}-and-{len(names) - 1}"


def those(names: Sequence[str]) -> Iterator[tuple[str, Case, Graph]]:
    """The samples of operators: an own name, the case, its graph."""
    for name in names:
        for kind in OPERATORS[name]:
            for case in islice(cases(name, getattr(torch, kind)), SAMPLES):
                graph = graph_of([(TABLE[name], case)])
                yield f"{case} {kind}", case, graph


def narrowed(got: np.ndarray, want: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both in the narrower of two integer dtypes."""
    if got.dtype.kind not in "iu" or want.dtype.kind not in "iu":
        return got, want
    narrow = min(got.dtype, want.dtype, key=lambda d: d.itemsize)
    return got.astype(narrow), want.astype(narrow)


def judged(name: str, case: Case, graph: Graph, found: object, counts: Tally) -> str:
    """What is wrong with the results of a sample; it is counted."""
    try:
        assert not isinstance(found, Exception), f"{name}: {found!r}"
        got = results(found, graph, [(TABLE[case.name], case)])[0]
        want = case.expected()
        assert set(got) == set(want), f"{name}: {sorted(got)} for {sorted(want)}"
        pairs = {key: narrowed(np.asarray(got[key]), value) for key, value in want.items()}
        exact = {key: pair for key, pair in pairs.items() if pair[1].dtype.kind in "iub"}
        for key, (a, b) in exact.items():
            np.testing.assert_array_equal(a, b, err_msg=f"{name} {key}", strict=False)
        if not exact:
            compare(got, case, TABLE[case.name].scale)
    except AssertionError as problem:
        counts.fail()
        return str(problem)
    counts.add()
    return ""


@pytest.mark.parametrize("names", GROUPS, ids=title)
def test_evaluated(names: Sequence[str], tally: Callable[[str], Tally]) -> None:
    counts = tally(SUITE)
    wrong = [judged(name, case, graph, dlc.evaluate(graph, *case.arrays), counts)
             for name, case, graph in those(names)]
    assert not any(wrong), "\n".join(filter(None, wrong))


@pytest.mark.parametrize("names", GROUPS, ids=title)
def test_compiled(names: Sequence[str], tally: Callable[[str], Tally]) -> None:
    """Through passes, kernels and threads, as entries of one program."""
    counts, kept = tally(SUITE), list(those(names))
    found = computed([Entry(name, graph, arrays_of([(TABLE[case.name], case)]))
                      for name, case, graph in kept])
    wrong = [judged(name, case, graph, found[name], counts) for name, case, graph in kept]
    assert not any(wrong), "\n".join(filter(None, wrong))


def test_every_new_dtype_is_compared() -> None:
    """Each of the four, with arithmetic on each."""
    for kind in ("int8", "int16", "uint16", "uint64"):
        assert sum(kind in kinds for kinds in OPERATORS.values()) > 40
    assert OPERATORS["mul"] == ["int8", "int16", "uint16", "uint64"]
