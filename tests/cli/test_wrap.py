"""`dlc show` in a narrow terminal: the same program in lines that fit, nothing cut off."""

from __future__ import annotations

import ast
import fcntl
import os
import re
import struct
import termios
import threading
from contextlib import suppress
from pathlib import Path

import pytest

import dlc as language
from dlc.cli.source import load_task
from dlc.cli.wrap import fit_python, hang, hang_lines
from tests.cli import forked
from tests.cli.command import variables

MODELS = ("lenet", "xor")


def in_terminal(columns: int, *arguments: str) -> str:
    """What `dlc ARGUMENTS` shows in a terminal of so many columns, without colours."""
    screen, terminal = os.openpty()
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    said: list[bytes] = []
    reader = threading.Thread(target=read_all, args=(screen, said))
    reader.start()
    environment = variables({"TERM": "xterm-256color", "COLUMNS": str(columns)})
    status = forked.run(arguments, Path.cwd(), environment, (os.ttyname(terminal),))
    os.close(terminal)  # the last one that could write: the reader ends
    reader.join()
    os.close(screen)
    text = b"".join(said).decode()
    assert status == 0, text
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.replace("\r\n", "\n"))


def read_all(screen: int, said: list[bytes]) -> None:
    """What is written to the other end of `screen`, until all have closed it."""
    with suppress(OSError):
        while piece := os.read(screen, 65536):
            said.append(piece)


def meaning(text: str) -> str:
    """The program of a kernel's text; how its docstring is broken does not count."""
    function = ast.parse(text).body[0]
    assert isinstance(function, ast.FunctionDef)
    function.body = function.body[1:]
    return ast.dump(function)


@pytest.mark.swept(2)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("columns", [60, 80])
def test_graphs_and_kernels_stay_the_same_program(model: str, columns: int) -> None:
    program = language.compile(load_task(model)).program
    for entry in program.entries.values():
        narrow = fit_python(entry.graph, columns)
        assert max(map(len, narrow.split("\n"))) <= columns
        same = [language.print_graph(language.parse_graph(t)) for t in (narrow, entry.graph)]
        assert same[0] == same[1]
        lines = [sorted(re.findall(r"models/\w+\.py:[\d, ]+\d", t)) for t in (narrow, entry.graph)]
        assert lines[0] == lines[1]
    for kernel in program.kernels:
        narrow = fit_python(kernel.text, columns)
        assert max(map(len, narrow.split("\n"))) <= columns
        assert meaning(narrow) == meaning(kernel.text)


def test_what_fits_stays_as_it_is() -> None:
    text = "def f(x, chunk):\n    x[0] = a  +  b      # a:1\n"
    assert fit_python(text, 80) is text


def test_padding_goes_before_content_and_comments_before_code() -> None:
    text = ("def f(\n    x: f32[4]              = data,  # models/a.py:1\n"
            "    weight: f32[4, 4, 4] = param('long.weight.name'),  # models/a.py:22\n):\n")
    assert fit_python(text, 56) == (
        "def f(\n    x: f32[4] = data,  # models/a.py:1\n    # models/a.py:22\n"
        "    weight: f32[4, 4, 4] = param('long.weight.name'),\n):\n")


def test_code_is_broken_where_few_brackets_are_open() -> None:
    code = "    total = first[i * 28 + r] * (second[i] + third[j]) + fourth[i * 784 + j]\n"
    assert fit_python(code, 60) == (
        "    total = first[i * 28 + r] * (second[i] + third[j]) \\\n"
        "        + fourth[i * 784 + j]\n")


def test_long_words_are_not_broken() -> None:
    path = "/very/long/" + "x" * 90
    assert hang(f"see {path}", 40) == f"see\n{path}"
    assert hang_lines("  one two three four five six", 22) == "  one two three four\n  five six"


@pytest.mark.swept(3)
@pytest.mark.parametrize("command", [
    ("show", "lenet"), ("show", "lenet", "--kernels"), ("show", "lenet", "--memory"),
    ("show", "xor", "--after", "differentiate"), ("passes",), ("passes", "fuse"),
    ("passes", "--rules"), ("models",), ("ops",)])
def test_no_command_is_wider_than_its_terminal(command: tuple[str, ...]) -> None:
    text = in_terminal(80, *command)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text


def test_lines_that_have_no_room_beside_a_launch_stand_below(tmp_path: Path) -> None:
    deep = tmp_path / "a_folder_with_a_long_name" / "and_another_that_is_no_shorter"
    deep.mkdir(parents=True)
    source = Path(language.__file__).parent / "models" / "xor.py"
    (deep / "exclusive.py").write_text(source.read_text())
    text = in_terminal(80, "show", str(deep / "exclusive.py"), "--kernels")
    assert "…" not in text
    assert re.search(r"^── 1/\d+ \S+ ─+ .*B\n +\S*exclusive.py:\d+", text, re.M)
