"""Every rewrite rule, in structure and in numbers; and the driver that applies them."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from dlc.errors import DlcError
from dlc.ir.graph import Build, Graph, Node, building, make
from dlc.ir.registry import REGISTRY
from dlc.ir.types import DTYPES, DType, Type, f32, i32
from dlc.ops import leaf
from dlc.ops.elementwise import add, mul, neg
from dlc.passes.rules.simplify import RULES, simplify
from dlc.reference.evaluate import evaluate
from dlc.reference.rewrite import AnyRule, Driver, FunctionRule, Grade, Rule, RuleSet, rewrite, rule
from dlc.reference.text.literals import read_number, read_type
from dlc.reference.text.printing import default_attributes
from dlc.reference.verify import verify

TINY = 1e-40  # below the smallest normal f32
SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, 3.7, -2.25, 1e30, -1e-30, np.inf, -np.inf, np.nan, TINY)
INTEGERS = (0, 1, 2, 3, 7, 100, 255, -1, -2, 2**31 - 1, -2**31, 2**32 - 1, 40)
CONSTANTS = (0.0, 1.0, -1.0, 2.0, 0.5, -0.25, 3.3, np.inf, np.nan)
DEFAULT_DTYPES = ("f32", "f64", "f16", "bf16", "i32", "u32", "u8", "bool")
Numbers = list[np.ndarray]


def values(type_: Type, place: int, rng: np.random.Generator | None) -> np.ndarray:
    """Special values, paired differently for each operand; with a generator, ordinary ones."""
    n, kind = type_.size, type_.dtype
    pool = SPECIAL if kind.is_float else INTEGERS
    at = np.arange(n) // len(pool) ** place % len(pool)
    with np.errstate(all="ignore"):
        chosen = np.asarray(pool)[at] if rng is None else rng.uniform(-2, 2, n)
        if kind.name == "bool":
            return (np.arange(n) // 2**place % 2 == 1).reshape(type_.shape)
        return chosen.astype(np.float64 if kind.is_float else np.int64).astype(
            kind.numpy).reshape(type_.shape)


# --- instances: the left side over concrete operands ----------------------------------------------


class Instance:
    """Builds a pattern's left side: names become inputs, constants and attributes."""

    def __init__(self, names: dict[str, Any], like: Type, tree: ast.expr) -> None:
        self.names, self.like = names, like
        self.inputs: dict[str, Node] = {}
        calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
        # what `where` asks is bool
        for name in {ast.unparse(c.args[0]) for c in calls if ast.unparse(c.func) == "where"}:
            if name.isidentifier() and name not in ("True", "False"):
                self.names = {**self.names, name: like.with_(dtype=DTYPES["bool"])}

    def node(self, tree: ast.expr) -> Node:
        if isinstance(tree, ast.Name):
            return self.variable(tree.id)
        if isinstance(tree, ast.Call):
            return self.call(tree)
        value = ast.literal_eval(tree)
        kind = DTYPES["bool"] if isinstance(value, bool) else self.like.dtype
        return leaf.constant(value, self.like.with_(dtype=kind))

    def variable(self, name: str) -> Node:
        given = self.names.get(name, self.like)
        if name[0].isupper():
            return leaf.constant(2.0 if isinstance(given, Type) else given, self.like)
        if name not in self.inputs:
            self.inputs[name] = leaf.input_(name, given)
        return self.inputs[name]

    def call(self, tree: ast.Call) -> Node:
        assert isinstance(tree.func, ast.Name)
        op = REGISTRY[tree.func.id]
        args = [self.node(a) for a in tree.args]
        attrs = {k.arg: self.attribute(k.value) for k in tree.keywords if k.arg}
        usual = default_attributes(op, [a.type for a in args], attrs)
        return make(op, args, **{**usual, **attrs})

    def attribute(self, tree: ast.expr) -> Any:
        return self.names[tree.id] if isinstance(tree, ast.Name) else ast.literal_eval(tree)


def read_example(text: str) -> dict[str, Any]:
    """`x: f32[2, 3]; p = (1, 0); d = f32` as a dict."""
    found: dict[str, Any] = {}
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.AnnAssign):
            assert isinstance(statement.target, ast.Name)
            found[statement.target.id] = read_type(statement.annotation)
            continue
        assert isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
        found[statement.targets[0].id] = attribute_value(statement.value)
    return found


def attribute_value(tree: ast.expr) -> Any:
    if isinstance(tree, ast.Name) and tree.id in DTYPES:
        return DTYPES[tree.id]
    number = read_number(tree)
    return ast.literal_eval(tree) if number is None else number


def default_examples(tree: ast.expr) -> Iterator[tuple[dict[str, Any], Type]]:
    """Every dtype, and every constant for the upper-case names."""
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id not in REGISTRY}
    constants = sorted(n for n in names if n[0].isupper())
    size = max(len(SPECIAL), len(INTEGERS)) ** 2
    for kind in DEFAULT_DTYPES:
        like = Type(DTYPES[kind], (size,))
        for value in CONSTANTS if constants else (0.0,):
            yield dict.fromkeys(constants, value), like


def instances(candidate: AnyRule) -> Iterator[tuple[Node, tuple[Node, ...]]]:
    """Left sides and their inputs, wherever the operators take the operands."""
    if isinstance(candidate, FunctionRule):
        trees = [(ast.parse(e, mode="eval").body, read_example(t)) for e, t in candidate.examples]
    else:
        trees = [(candidate.sides[0], read_example(e)) for e in candidate.examples]
    cases = [(tree, names, like_of(names)) for tree, names in trees]
    if isinstance(candidate, Rule) and not cases:
        cases = [(candidate.sides[0], n, t) for n, t in default_examples(candidate.sides[0])]
    for tree, names, like in cases:
        made = Instance(names, like, tree)
        try:
            root = made.node(tree)
        except (DlcError, ValueError, OverflowError):
            continue  # this operator does not take this dtype or constant
        yield root, tuple(made.inputs.values())


def like_of(names: dict[str, Any]) -> Type:
    return next((t for t in names.values() if isinstance(t, Type)), f32[5])


def compare(grade: Grade, before: Any, after: Any, dtype: DType) -> None:
    """Equal in every value (zeros of either sign), or within rounding for the looser grades."""
    before, after = np.asarray(before), np.asarray(after)
    assert before.dtype == after.dtype and before.shape == after.shape
    if not dtype.is_float:
        np.testing.assert_array_equal(before, after)
        return
    wide = [a.astype(np.float64) for a in (before, after)]  # NumPy knows no NaN of bf16
    if grade is Grade.EXACT:
        np.testing.assert_array_equal(*wide)
        return
    bound = 4 * 2.0 ** -{"f64": 52, "f32": 23, "f16": 10, "bf16": 7}[dtype.name]
    np.testing.assert_allclose(*wide, rtol=bound, atol=bound)


@pytest.mark.parametrize("candidate", RULES, ids=lambda r: r.text)
def test_rule_keeps_every_value(candidate: AnyRule, rng: np.random.Generator) -> None:
    """Each rule fires on its left side, makes a valid graph of the same type, and keeps values."""
    fired = 0
    with building(Build()), np.errstate(all="ignore"):
        for root, inputs in instances(candidate):
            new = candidate.apply(root, Driver(RuleSet([])))
            if new is None:
                continue  # its condition does not hold for this dtype or constant
            fired += 1
            before, after = Graph("f", inputs, (root,)), Graph("f", inputs, (new,))
            verify(after)
            for source in (None, rng):
                arrays = [values(x.type, i, source) for i, x in enumerate(inputs)]
                compare(candidate.grade, evaluate(before, *arrays), evaluate(after, *arrays),
                        root.dtype)
    assert fired, "no example of this rule makes it fire"


@lru_cache(maxsize=1)
def whole() -> RuleSet:
    return RuleSet(RULES)


@pytest.mark.swept(2)
@pytest.mark.parametrize("candidate", RULES, ids=lambda r: r.text)
def test_all_rules_together_end_on_each_left_side(candidate: AnyRule) -> None:
    """No rule undoes another: the whole set comes to an end, and its end is a fixed point."""
    with building(Build()), np.errstate(all="ignore"):
        for root, inputs in instances(candidate):
            once = Driver(whole()).run([root])
            assert Driver(whole()).run(once)[0] is once[0]
            verify(Graph("f", inputs, tuple(once)))


def wrong_rules() -> list[Rule]:
    """Rules that look right and are not: the test above has to refuse each of them."""
    return [
        rule("mul(x, 0) -> 0"),
        rule("sub(x, x) -> 0"),
        rule("div(x, x) -> 1"),
        rule("not_(lt(a, b)) -> ge(a, b)"),
        rule("eq(x, x) -> True"),
        rule("add(sub(a, b), b) -> a"),
        rule("sub(a, b) -> sub(b, a)"),
        rule("where(c, a, b) -> where(c, b, a)"),
        rule("exp(log(x)) -> x"),
        rule("sqrt(mul(x, x)) -> abs(x)"),
        rule("div(x, C) -> mul(x, constant(1 / C))", "C != 0 and C == C"),
        rule("maximum(x, 0) -> abs(x)"),
        rule("transpose(transpose(x, axes=p), axes=q) -> "
             "transpose(x, axes=tuple(q[i] for i in p))",
             examples=("x: f32[3, 3, 3]; p = (2, 0, 1); q = (0, 2, 1)",)),
        rule("flip(flip(x, axes=p), axes=q) -> x", examples=("x: f32[2, 3]; p = (0,); q = (1,)",)),
        rule("abs(neg(x)) -> neg(abs(x))"),
        rule("floor(neg(x)) -> neg(floor(x))"),
        rule("max(neg(x), axes=p) -> neg(max(x, axes=p, ties='even'))",
             examples=("x: f32[4, 9]; p = (1,)",)),
        rule("sum(mul(x, x), axes=p) -> mul(sum(x, axes=p), sum(x, axes=p))",
             examples=("x: f32[4, 9]; p = (1,)",)),
        rule("cast(cast(x, dtype=p), dtype=q) -> cast(x)",
             examples=("x: f32[144]; p = f16; q = f32",)),
        rule("shr(shl(x, C), C) -> x", examples=("x: i32[144]; C = 4",)),
        rule("slice(flip(x, axes=p), start=q, stop=r, step=s) -> slice(x, start=q, stop=r, step=s)",
             examples=("x: f32[7]; p = (0,); q = (1,); r = (4,); s = (1,)",)),
        rule("mul(mul(x, A), B) -> mul(x, constant(A * B))", "x.dtype.is_float",
             examples=("x: f32[144]; A = 0.1; B = 0.3",)),
    ]


@pytest.mark.parametrize("wrong", wrong_rules(), ids=lambda r: r.text)
def test_a_wrong_rule_is_caught(wrong: Rule, rng: np.random.Generator) -> None:
    """The check that passes every rule above fails for these."""
    with pytest.raises(AssertionError):
        test_rule_keeps_every_value(wrong, rng)


# --- the language of rules ------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "message"), [
    ("neg(neg(x))", "no ->"),
    ("x -> neg(x)", "not an operator's call"),
    ("frob(x) -> x", "no operator frob"),
    ("sub(x, y) -> neg(x)", "y is the node replaced"),
])
def test_a_malformed_rule_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rule(text)


def one(text: str, root: Node, **more: Any) -> Node | None:
    return rule(text, **more).apply(root, Driver(RuleSet([])))


def test_one_name_is_one_node() -> None:
    with building(Build()):
        a, b = leaf.input_("a", f32[3]), leaf.input_("b", f32[3])
        assert one("maximum(x, x) -> x", make(REGISTRY["maximum"], (a, a))) is a
        assert one("maximum(x, x) -> x", make(REGISTRY["maximum"], (a, b))) is None


def test_attributes_are_bound_and_asked_for() -> None:
    with building(Build()):
        x = leaf.input_("x", f32[2, 3])
        y = make(REGISTRY["sum"], (x,), axes=(1,))
        assert one("sum(x, axes=(0,)) -> neg(sum(x, axes=(0,)))", y) is None
        new = one("sum(x, axes=p) -> neg(sum(x, axes=p))", y)
        assert new is not None and new.args[0].attrs["axes"] == (1,)


def test_new_nodes_serve_the_lines_of_what_they_replace() -> None:
    """Both matched nodes' lines, the root's first."""
    with building(Build()):
        x = leaf.input_("x", f32[3])
        inner = make(REGISTRY["neg"], (x,))
        root = make(REGISTRY["abs"], (inner,), name="size")
        out = simplify(Graph("f", (x,), (root,))).outputs[0]
    assert (out.op.name, out.args[0], out.name) == ("abs", x, "size")
    assert out.locs == (root.locs[0], inner.locs[0]) and inner.locs != root.locs


def test_rules_that_do_not_end_are_stopped() -> None:
    swap = rule("add(a, b) -> add(neg(b), a)")
    with building(Build()):
        x = leaf.input_("x", f32[3])
        with pytest.raises(DlcError, match="do not end"):
            rewrite(Graph("f", (x,), (add(x, mul(x, 2.0)),)), RuleSet([swap]))


def test_a_rule_that_changes_the_type_is_stopped() -> None:
    with building(Build()):
        x = leaf.input_("x", f32[3])
        with pytest.raises(DlcError, match=r"turns f32\[3\] into f32\[\(\)\]"):
            rewrite(Graph("f", (x,), (x * 2.0,)), RuleSet([rule("mul(x, C) -> sum(x, axes=(0,))")]))


def test_firings_are_counted_by_rule() -> None:
    counts: Counter[str] = Counter()
    with building(Build()):
        x = leaf.input_("x", f32[3])
        graph = Graph("f", (x,), (neg(neg(x)) + 0.0, neg(neg(x * 2.0))))
    simplify(graph, counts)
    assert counts == {"neg(mul(x, C)) -> mul(x, constant(-C))": 2, "neg(neg(x)) -> x": 1,
                      "add(x, 0) -> x": 1}


def test_rules_are_distinct_and_keep_values_or_round() -> None:
    assert len({(r.text, r.where) for r in RULES}) == len(RULES)
    assert {r.grade for r in RULES} == {Grade.EXACT, Grade.ROUNDING}


def test_a_node_with_a_chosen_layout_stays() -> None:
    with building(Build()):
        x = leaf.input_("x", f32[3, 4])
        laid = Node(REGISTRY["neg"], (make(REGISTRY["neg"], (x,)),), {},
                    replace(f32[3, 4], layout=(1, 0)))
    assert simplify(Graph("f", (x,), (laid,))).outputs[0].type.layout == (1, 0)


def test_integers_keep_their_own_rules() -> None:
    with building(Build()):
        x, n = leaf.input_("x", f32[3]), leaf.input_("n", i32[3])
        out = simplify(Graph("f", (x, n), (x * 0.0, n * 0))).outputs
    assert [o.op.name for o in out] == ["mul", "constant"]
