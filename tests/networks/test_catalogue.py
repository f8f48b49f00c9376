"""The catalogue of bundled networks: complete, documented, and the page made of it."""

from __future__ import annotations

import ast

import pytest

import dlc
from dlc.cli.models import description, figures
from dlc.cli.source import bundled_file, load_task
from dlc.models import GOALS, file_of
from tests.networks.measure import folds
from tests.networks.page import PAGE, PICTURES, ROOT, page

MODELS = ROOT / "models"
# All but those of the benchmark, which stand together in models/peers.py.
FILES = sorted(path for path in MODELS.glob("[!_]*.py") if path.stem != "peers")
LONGEST, TYPICAL = 120, 60  # lines of a model's file, and of the median one
SHARED = 30  # nodes of syntax in a line or two


def test_the_page_is_made_of_the_catalogue(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-golden"):
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page(), "pytest tests/networks --update-golden"


def test_every_file_is_in_the_catalogue() -> None:
    files = {path.stem for path in FILES}
    assert files == {file_of(name) for name in GOALS}


def test_every_file_has_its_picture() -> None:
    for file in dict.fromkeys(map(file_of, GOALS)):
        assert (PICTURES / f"{file}.svg").exists(), f"python -m tests.networks.pictures {file}"


def test_files_are_short() -> None:
    lengths = sorted(len(path.read_text().splitlines()) for path in FILES)
    assert lengths[-1] <= LONGEST
    assert lengths[len(lengths) // 2] < TYPICAL


@pytest.mark.parametrize("name", GOALS)
def test_each_names_its_paper_and_its_metric(name: str) -> None:
    title, paper = description(name)
    assert title.endswith(".") and paper, f"{name}: a first line, and a paragraph After ..., year"
    task, goal = load_task(name), GOALS[name]
    known = ("loss", *task.meta(task.graphs(kinds=("eval",)))["metrics"])
    assert goal.metric.rpartition(".")[2] in known
    assert not goal.beats or goal.metric == GOALS[goal.beats].metric
    assert len(folds(task, goal.folds)) == max(goal.folds, 1)
    assert name in figures(), f"python -m tests.networks.run {name} --record"


def test_no_model_reaches_below_the_language() -> None:
    """Models import dlc, its public namespaces, and nothing else of it."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module != "__future__":
                assert node.module in (
                    "dlc", "collections.abc", "functools", "math"), f"{path}: {node.module}"
            if isinstance(node, ast.Import):
                assert {a.name for a in node.names} <= {"dlc", "math", "numpy"}, path


def test_models_take_public_names_alone() -> None:
    """`dlc.x` and `nn.x` are listed by dlc and its namespaces; no name begins with an underscore.
    """
    spaces = {"dlc": dlc, **{name: getattr(dlc, name) for name in (
        "augment", "init", "linalg", "nn", "optim", "random")}}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                assert not node.attr.startswith("_"), f"{path}:{node.lineno}: {node.attr}"
                if isinstance(node.value, ast.Name) and node.value.id in spaces:
                    assert node.attr in spaces[node.value.id].__all__, f"{path}:{node.lineno}"


def test_what_two_models_share_stands_in_the_library() -> None:
    """No two files of models/ define the same function or class, by whatever name, but for a line
    or two about layers of their own."""
    found: dict[tuple[str, ...], str] = {}
    for path in FILES:
        tree = ast.parse(path.read_text())
        own = {n.id for statement in tree.body if isinstance(statement, ast.Assign)
               for n in ast.walk(statement) if isinstance(n, ast.Name)} - {"dlc", "nn", "optim"}
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.decorator_list:
                continue
            shape = anonymous(node)
            particular = any(isinstance(n, ast.Name) and n.id in own for n in ast.walk(node))
            if len(shape) > SHARED or not particular:
                place = f"{path.name}: {node.name}"
                other = found.setdefault(shape, place)
                assert other.startswith(f"{path.name}:"), f"{place} is {other} again"


def test_the_same_function_by_other_names() -> None:
    one, other, third = (ast.parse(text).body[0] for text in (
        'def f(x: Node) -> Node:\n    "a"\n    y = x * 2.0\n    return dlc.tanh(y)',
        "def g(a: Node) -> Node:\n    b = a * 2.0\n    return dlc.tanh(b)",
        "def h(a: Node) -> Node:\n    b = a * 3.0\n    return dlc.tanh(b)"))
    assert anonymous(one) == anonymous(other) != anonymous(third)


def anonymous(node: ast.AST) -> tuple[str, ...]:
    """The nodes of a definition without its docstring and annotations, its own names numbered."""
    own: dict[str, int] = {}
    for each in ast.walk(node):
        if isinstance(each, ast.arg):
            own[each.arg] = len(own)
        elif isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            own.setdefault(each.id, len(own))
    parts: list[str] = []
    for statement in getattr(node, "body", []):
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        for each in ast.walk(statement):
            name = getattr(each, "id", getattr(each, "attr", getattr(each, "value", "")))
            word = name if isinstance(name, str | int | float) else ""
            parts.append(f"{type(each).__name__} {own.get(str(word), word)}")
    return tuple(parts)


def test_figures_on_record_are_reached() -> None:
    for name, record in figures().items():
        goal = GOALS[name]
        assert len(record["figures"]) == len(record["seeds"]) == 3, name
        for at, figure in enumerate(record["figures"]):
            assert goal.reached(figure), f"{name}: {figure}"
            other = figures()[goal.beats]["figures"][at] if goal.beats else None
            assert other is None or (figure > other if goal.more_is_better else figure < other)


def test_files_open_with_a_docstring() -> None:
    for name in GOALS:
        assert bundled_file(name).read_text().startswith('"""')
