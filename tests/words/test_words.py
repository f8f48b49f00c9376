"""Words of other libraries: each row of dlc/words gives its hint in a program, and the hint works.

Seven seconds: the lines that train do so on eight rows.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, augment, f32, i32, init, linalg, nn, optim, random
from dlc.words import tables
from dlc.words.calls import argument_of, original

SPACES = {"dlc": dlc, "nn": nn, "optim": optim, "random": random, "linalg": linalg, "init": init,
          "augment": augment}
HEAD = """import numpy as np
import dlc
from dlc import augment, f32, i32, init, linalg, nn, optim, random

net = nn.chain(nn.dense(8), nn.relu, nn.dense(3))
optimizer = optim.adam(1e-3)


@dlc.task(data={"x": np.ones((8, 4), np.float32), "y": np.zeros(8, np.int32)}, batch=8,
          optimizer=optimizer)
def task(x: f32["batch", 4], y: i32["batch"]):
    logits = net(x)
    return dlc.loss(nn.cross_entropy(logits, y), accuracy=nn.accuracy(logits, y))


def f(x: f32[4, 3]):
    return x * 2.0


def wrap(write):
    def program(x: f32[4, 4], y: f32[4, 4], label: i32[4]):
        logits = x * 2.0
        loss = dlc.loss(dlc.sum(x))
        write(x=x, y=y, label=label, logits=logits, loss=loss)
        return x

    return program


"""
IDIOMS = tables.idioms()
LISTED = [i for rows in tables.listed().values() for i in rows]
TRAINED = ("task.", "network", "compile(f)", "task)")


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names that the programs use, with a trained network."""
    made: dict[str, Any] = {}
    exec(compile(HEAD, "head.py", "exec"), made)
    made["network"] = made["task"].train().network
    made["folder"] = tmp_path_factory.mktemp("run")
    return made


def program(lines: list[str], path: Path, space: dict[str, Any]) -> tuple[list[Any], list[int]]:
    """A function for each line, in a file of its own; and the number of each one's line."""
    text = [f"def write{k}(x, y, label, logits, loss):\n    {line}\n"
            for k, line in enumerate(lines)]
    path.write_text("\n".join(text))
    exec(compile(path.read_text(), str(path), "exec"), space)
    return [space["wrap"](space[f"write{k}"]) for k in range(len(lines))], [
        3 * k + 2 for k in range(len(lines))]


def test_each_word_is_answered_at_its_line(space: dict[str, Any], tmp_path: Path) -> None:
    """In a program that is traced: with the word, dlc's, and a line."""
    asked = [i for i in IDIOMS.values() if i.said != i.written.removesuffix("()")
             and not there(i.written, space)]
    assert len(asked) > 400
    functions, places = program([i.written for i in asked], tmp_path / "words.py", space)
    for idiom, function, place in zip(asked, functions, places, strict=True):
        with pytest.raises((DlcError, AttributeError)) as raised:
            dlc.trace(function)
            pytest.fail(f"{idiom} gave no error")
        assert isinstance(raised.value, DlcError), idiom
        told = raised.value
        assert told.loc is not None, idiom
        assert (told.loc.file, told.loc.line) == (str(tmp_path / "words.py"), place), idiom
        assert told.message.startswith(f"{idiom.written} is {idiom.library.split(',')[0]}'s")
        assert idiom.said in told.message, idiom
        assert told.hint.startswith(f"write {idiom.line or idiom.said}"), idiom


def there(written: str, space: dict[str, Any]) -> bool:
    """Whether dlc has this name itself, with a meaning of its own."""
    root, _, name = written.partition(".")
    owner = dlc.Node if root == "x" else type(space[root]) if root in space and not (
        inspect.ismodule(space[root])) else dlc.Loss if root == "loss" else SPACES[root]
    return name in vars(owner) or name in dir(owner)


def test_what_is_said_exists(space: dict[str, Any]) -> None:
    for idiom in (i for i in IDIOMS.values() if i.said):
        assert names_something(idiom.said, space), idiom


def names_something(word: str, space: dict[str, Any]) -> bool:
    root, *path = word.split(".")
    if root == "onnx":
        return hasattr(dlc.onnx, path[0])
    value = dlc.Node if root == "x" else space[root]
    for name in path:
        value = getattr(value, name)
    return value is not None


def test_each_line_works(space: dict[str, Any], tmp_path: Path) -> None:
    """As a statement of a traced program; those that train or load do so by themselves."""
    lines = list(dict.fromkeys(i.line for i in LISTED if i.line))
    traced = [x for x in lines if not any(word in x for word in TRAINED)]
    alone = [x for x in lines if x not in traced]
    assert len(traced) > 100 and len(alone) > 10
    functions, _ = program(traced, tmp_path / "lines.py", space)
    for line, function in zip(traced, functions, strict=True):
        try:
            dlc.trace(function, training=True)
        except Exception as problem:
            pytest.fail(f"{line}: {problem!r}")
    for line in alone:
        if line == "net(x)":
            continue
        exec(line, dict(space))


def functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    for short, module in SPACES.items():
        for name in module.__all__:
            if inspect.isfunction(getattr(module, name)):
                yield f"{short}.{name}", getattr(module, name)


def test_each_argument_is_answered() -> None:
    """By a function that has dlc's argument; the call in the hint fits that function."""
    for row in tables.arguments():
        if row.function in ("dlc.task", "task.train"):
            continue
        calls = [(name, f) for name, f in functions()
                 if argument_of(name, row.written, inspect.signature(f).parameters) == row
                 and row.written not in inspect.signature(f).parameters
                 and not any(p.kind is p.VAR_KEYWORD
                             for p in inspect.signature(f).parameters.values())]
        assert calls, f"no function has {row}"
        for name, function in calls if row.said else calls[:3]:
            with pytest.raises(DlcError, match=f"{row.written}=") as raised:
                function(**{row.written: 1})
            said = raised.value.hint
            assert said.startswith(f"write {name}("), said
            for own in row.said:
                assert own in said.partition("(")[2] or f"{own}=" in raised.value.message


@pytest.mark.parametrize("name", tables.orders())
def test_pytorchs_order_is_told(name: str) -> None:
    """One argument more than dlc takes by place; what the hint says to write is a layer."""
    space, _, short = name.partition(".")
    function = getattr(SPACES[space], short)
    parameters = inspect.signature(function).parameters
    order = tables.orders()[name]
    many = sum(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters.values())
    with pytest.raises(DlcError, match="is in PyTorch's order") as raised:
        function(*[2, 4, 3, 1, 1, 1, 1, 1][:many + 1 + (name == "nn.bilinear")])
    line = raised.value.hint.removeprefix("write ").split(": ")[0].split("; ")[0]
    eval(line, {"nn": nn, "optim": optim})
    for key in order:
        assert key in parameters or argument_of(name, key, parameters), key


def test_pytorchs_order_gives_the_same_layer() -> None:
    for wrong, right in {"nn.conv(3, 16, 5, 2, 1)": "nn.conv(16, 5, stride=2, padding=1)",
                         "nn.dense(784, 10, False)": "nn.dense(10, bias=False)",
                         "nn.lstm(8, 16, 2)": "nn.lstm(16, layers=2)",
                         "nn.group_norm(4, 16)": "nn.group_norm(4)",
                         "nn.multi_head_attention(64, 8)": "nn.multi_head_attention(8)"}.items():
        with pytest.raises(DlcError) as raised:
            eval(wrong)
        assert raised.value.hint.startswith(f"write {right}"), raised.value.hint


def test_options_of_a_task_and_of_training(space: dict[str, Any]) -> None:
    for row in tables.arguments():
        if row.function == "dlc.task":
            with pytest.raises(DlcError, match=row.written) as raised:
                dlc.task(**{row.written: 3})
        elif row.function == "task.train":
            with pytest.raises(DlcError, match=row.written) as raised:
                space["task"].train(**{row.written: 3})
        else:
            continue
        assert (f"{row.said[0]}=" if row.said else row.why) in raised.value.hint


@pytest.mark.parametrize("written, message", [
    ("nn.Relu", "nn.Relu is nn.relu in dlc"),
    ("dlc.cross_entropy", "dlc.cross_entropy is nn.cross_entropy in dlc"),
    ("nn.concat", "nn.concat is dlc.concat in dlc"),
    ("dlc.adam", "dlc.adam is optim.adam in dlc"),
    ("x.exp()", "x.exp: a graph value has no such method; dlc has the function dlc.exp"),
    ("x.softmax(-1)", "dlc has the function nn.softmax"),
    ("x.relu_()", "x.relu_: values never change"),
    ("nn.dens", "dlc.nn has no 'dens' .did you mean dense"),
    ("x.reshap(2, 8)", "a graph value has no 'reshap' .did you mean reshape"),
    ("dlc.sum(x, dim=0)", "dlc.sum has no argument dim=; dlc has axis="),
    ("x.sum(dim=0, keepdim=True)", "x.sum has no argument dim=, keepdim=; dlc has axis=, keepdims"),
    ("nn.softmax(x, dim=1)", "nn.softmax has no argument dim="),
    ("nn.relu()", r"nn.relu\(\) lacks its operand"),
    ("dlc.sin()", r"dlc.sin\(\) lacks its operand"),
    ("dlc.exp(x, x)", "dlc.exp: takes 1 positional argument but 2 were given"),
    ("dlc.maximum(x, 0.0, 1.0)", "dlc.maximum: takes 2 positional arguments but 3 were given"),
    ("round(x, 2)", "a graph value is rounded to whole numbers"),
    ("f'{x:.2f}'", "a graph value has no elements while the graph is built"),
    ("nn.dense(10, unit=3)", r"nn.dense has no argument unit= .did you mean units"),
    ("optim.adam(betas=(0.9, 0.99))", "optim.adam has no argument betas=; dlc has b1=, b2="),
    ("dlc.zeros(3, 4)", "4 is not a dtype of dlc"),
])
def test_what_is_spelled_otherwise(written: str, message: str) -> None:
    def wrong(x: Any) -> Any:
        exec(written, {**SPACES, "x": x})

    with pytest.raises(DlcError, match=message):
        dlc.trace(wrong, f32[4, 4])


@pytest.mark.parametrize("line", ["from dlc.nn import Linear", "from dlc import cat",
                                  "from dlc.optim import Adam"])
def test_an_import_is_answered(line: str) -> None:
    with pytest.raises(DlcError, match=f"{line.split()[-1]} is PyTorch's"):
        exec(line, {})


def test_names_can_be_asked_for() -> None:
    """What libraries do with any object: hasattr, getattr with a default, copies."""
    assert not hasattr(nn, "Linear")
    assert getattr(dlc, "cat", None) is None
    net = nn.dense(3)
    assert not hasattr(net, "parameters") and not hasattr(net, "__len__")
    assert importlib.import_module("dlc.nn.layers").dense is original(nn.dense)

    def graph(x: Any) -> Any:
        assert not hasattr(x, "view") and getattr(x, "_any", 3) == 3
        assert x.size == 8 and x.size + 1 == 9 and isinstance(x.size, int)
        return x

    dlc.trace(graph, f32[8])


def test_a_type_error_inside_a_call_is_left_as_it_is() -> None:
    """A user's own function that a public function calls with what fits, and that fails."""
    def wrong(x: Any) -> Any:
        return len(3)  # type: ignore[arg-type]

    with pytest.raises(TypeError, match="has no len"):
        dlc.trace(lambda x: dlc.map(wrong, x), f32[4])


def test_arrays_of_numpy_are_told_the_same() -> None:
    def wrong(x: Any) -> Any:
        return np.concatenate([x, x])

    with pytest.raises(DlcError, match="can't take a graph value") as raised:
        dlc.trace(wrong, f32[4])
    assert raised.value.hint == "use dlc.concat"
    assert i32 is not None
