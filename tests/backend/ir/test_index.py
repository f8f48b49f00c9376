"""Index expressions: their arithmetic is that of integers, their ranges are true bounds."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from dlc.backend.ir.index import Quotient, Remainder, Sum, Var, sum_of

NAMES = {"i": (0, 11), "j": (0, 6), "k": (2, 9), "n": (-4, 5)}
Place = Mapping[str, int]


def value_of(index: Sum, at: Place) -> int:
    """The integer that `index` stands for."""
    total = index.const
    for atom, c in index.terms:
        if isinstance(atom, Var):
            total += c * at[atom.name]
        elif isinstance(atom, Quotient):
            total += c * (value_of(atom.value, at) // atom.by)
        else:
            total += c * (value_of(atom.value, at) % atom.by)
    return total


def atoms_of(index: Sum) -> list[Quotient | Remainder]:
    """Quotients and remainders anywhere inside."""
    found: list[Quotient | Remainder] = []
    for atom, _ in index.terms:
        if not isinstance(atom, Var):
            found += [atom, *atoms_of(atom.value)]
    return found


@st.composite
def expressions(draw: st.DrawFn, depth: int = 5) -> list[tuple[str, Sum]]:
    """Sums made step by step, each with the Python expression that it has to equal."""
    made = [(n, sum_of(Var(n, *NAMES[n]))) for n in NAMES]
    for _ in range(draw(st.integers(1, depth))):
        word, x = made[draw(st.integers(0, len(made) - 1))]
        other, y = made[draw(st.integers(0, len(made) - 1))]
        c = draw(st.integers(-7, 12))
        kind = draw(st.sampled_from("+-*/%c"))
        if kind == "+":
            made.append((f"({word} + {other})", x + y))
        elif kind == "-":
            made.append((f"({word} - {other})", x - y))
        elif kind == "*":
            made.append((f"({word} * {c})", x * c))
        elif kind == "c":
            made.append((f"({c} - {word})", c - x))
        elif x.low >= 0 and c > 0:  # divisions are of non-negative values
            made.append((f"({word} // {c})", x // c) if kind == "/" else
                        (f"({word} % {c})", x % c))
    return made


places = st.fixed_dictionaries({n: st.integers(*r) for n, r in NAMES.items()})


@given(expressions(), places)
def test_arithmetic_is_that_of_integers(made: list[tuple[str, Sum]], at: Place) -> None:
    for word, index in made:
        assert value_of(index, at) == eval(word, dict(at)), (word, index.text())


@given(expressions(), places)
def test_ranges_are_true_bounds(made: list[tuple[str, Sum]], at: Place) -> None:
    for word, index in made:
        assert index.low <= value_of(index, at) <= index.high, (word, index.text())


@given(expressions(), places)
def test_divisions_in_the_text_take_no_negative_number(made: list[tuple[str, Sum]],
                                                       at: Place) -> None:
    """The text's idiv and imod are unsigned instructions."""
    for word, index in made:
        for atom in atoms_of(index):
            assert value_of(atom.value, at) >= 0, (word, atom)


@given(expressions(), places)
def test_the_text_is_the_value(made: list[tuple[str, Sum]], at: Place) -> None:
    scope = {"idiv": lambda a, b: a // b, "imod": lambda a, b: a % b, **at}
    for word, index in made:
        assert eval(index.text(), scope) == value_of(index, at), (word, index.text())


@given(expressions(), places, st.sampled_from(list(NAMES)))
def test_a_coefficient_is_the_slope(made: list[tuple[str, Sum]], at: Place, name: str) -> None:
    if at[name] == NAMES[name][1]:
        return
    after = {**at, name: at[name] + 1}
    for _, index in made:
        slope = index.coefficient(name)
        if slope is not None:
            assert value_of(index, after) - value_of(index, at) == slope


def test_what_reshaping_there_and_back_leaves() -> None:
    """(i * 7 + j) taken apart and put together again is itself."""
    i, j = sum_of(Var("i", 0, 11)), sum_of(Var("j", 0, 6))
    flat = i * 7 + j
    assert flat // 7 == i
    assert flat % 7 == j
    whole = sum_of(Var("p", 0, 83))
    assert whole // 7 * 7 + whole % 7 == whole
    assert whole // 3 // 7 == whole // 21


def test_a_loop_of_one_step_is_its_number() -> None:
    assert sum_of(Var("i", 3, 3)) == Sum(3)


def test_an_index_into_no_elements_is_anything() -> None:
    assert sum_of(Var("i", 0, 4)) // 0 == Sum()
    assert sum_of(Var("i", 0, 4)) % 0 == Sum()
