"""Results of checks are kept within a bound, and found again while they are kept."""

from __future__ import annotations

from dlc.checks.kernels.known import Known


def test_the_first_go_first_and_nothing_is_found_twice() -> None:
    known: Known[int] = Known(most=3)
    asked: list[int] = []

    def get(key: int) -> int:
        return known.get(key, lambda: asked.append(key) or key * key)

    assert [get(k) for k in (1, 2, 3, 2, 1, 4, 3, 1)] == [1, 4, 9, 4, 1, 16, 9, 1]
    assert asked == [1, 2, 3, 4, 1] and len(known.found) == 3
