"""Every wrong line earns one clear message, in a function, a layer, a scan's body, a decorator."""

from __future__ import annotations

import linecache
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dlc.errors import DlcError
from tests.wrong_programs import WRONG

HEAD = """import functools

import numpy as np

import dlc
from dlc import bf16, bool_, f16, f32, f64, i32, i64, nn, u8, u32


def double(x, *, times=2):
    return x * times


X = np.ones(4, np.float32)
scaled = dlc.custom_op(double, elementwise=True, meaning=lambda x, *, times: x * times,
                       gradient="none", samples=[((X,), {"times": 2})])

"""

CONTEXTS = {
    "function": """
def model({arguments}):
    return {line}
""",
    "layer": """
def wrong({names}):
    return {line}


layer = nn.layer(wrong)


def model({arguments}):
    return layer({names})
""",
    "scan": """
def model({arguments}):
    def body(count, _):
        return count + 1, {line}

    return dlc.scan(body, 0, length=2)[1]
""",
    "decorated": """
def logged(function):
    @functools.wraps(function)
    def call(*args):
        return function(*args)

    return call


@logged
def inner({names}):
    return {line}


def model({arguments}):
    return inner({names})
""",
}


def program_of(context: str, arguments: str, line: str) -> str:
    """The program with the wrong line in its context."""
    names = ", ".join(re.findall(r"(\w+): ", arguments))
    dims = "".join(f", {n}={k}" for n, k in (("batch", 8), ("time", 5), ("features", 4))
                   if f'"{n}"' in arguments)
    body = CONTEXTS[context].format(arguments=arguments, names=names, line=line)
    return f"{HEAD}{body}\n\ndlc.compile(model{dims})\n"


def message(program: str, folder: Path) -> str:
    """What DlcError says when `program` runs as model.py; any other exception fails the test."""
    path = folder / "model.py"
    path.write_text(program)
    linecache.checkcache(str(path))
    with pytest.raises(DlcError) as caught:
        exec(compile(program, str(path), "exec"), {"__name__": "model"})
    return str(caught.value)


def told(context: str, arguments: str, line: str, folder: Path) -> str:
    """The message without the number of its line, checked to be that of the wrong one."""
    program = program_of(context, arguments, line)
    first, *rest = message(program, folder).split("\n")
    where = re.match(r"model\.py:(\d+): (?:layer(?:: |/))?(.*)", first, re.S)
    assert where, f"no line of the user's file: {first}"
    shown = program.split("\n")[int(where[1]) - 1].strip()
    assert line in shown, f"points at {shown!r}"
    assert rest and rest[0].strip() == shown, rest
    kept = [text for text in rest[1:] if set(text.strip()) != {"^"}]
    return "\n".join([where[2], *kept])


@pytest.mark.parametrize("group", WRONG)
def test_messages(group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                  golden: Callable[[str, str], None]) -> None:
    """The catalogue of a class: each line and what dlc says of it."""
    monkeypatch.chdir(tmp_path)
    entries = [f"{name}\n    def model({arguments}): {line}\n"
               + "".join(f"  {text}\n" for text in told("function", arguments, line,
                                                        tmp_path).split("\n"))
               for name, (arguments, line) in WRONG[group].items()]
    golden(f"errors/{group.replace(' ', '_')}.txt", "\n".join(entries))


CASES = [(group, name, context) for group, cases in WRONG.items() for name in cases
         for context in CONTEXTS if context != "function"]


@pytest.mark.swept(5)
@pytest.mark.parametrize(("group", "name", "context"), CASES,
                         ids=["-".join(c).replace(" ", "_") for c in CASES])
def test_the_context_does_not_matter(group: str, name: str, context: str, tmp_path: Path,
                                     monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside a layer, a scan's body or a decorated function the same message at the same line."""
    monkeypatch.chdir(tmp_path)
    arguments, line = WRONG[group][name]
    assert told(context, arguments, line, tmp_path) == told("function", arguments, line, tmp_path)


def test_there_are_many() -> None:
    assert len(WRONG) >= 12
    assert sum(map(len, WRONG.values())) >= 80
