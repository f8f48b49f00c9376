"""Rewrite rules as equations in the IR's own syntax, and the one driver that applies them.

    rule("neg(neg(x)) -> x")
    rule("transpose(transpose(x, axes=p), axes=q) -> transpose(x, axes=tuple(p[i] for i in q))")
    rule("div(x, C) -> mul(x, constant(1 / C))", where="power_of_two(C)")

On the left: a lower-case name is any value (twice the same name: the same node), an upper-case one
any constant, a number or True or False that constant; `attribute=name` binds an attribute,
`attribute=(1, 2)` asks for it. On the right: operators, and Python expressions where attributes
stand; `constant(e)` and bare numbers have the result's type, and the result's type also tells the
attributes shape, dtype and type of the outermost operator, as it does in a graph's text. In
expressions and in `where` an upper-case name is the constant's number, `y` is the node replaced.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any, TypeVar

from dlc.errors import DlcError, Loc
from dlc.ir.graph import Graph, Node, adopt, make, rebuild, serving, toposort
from dlc.ir.registry import REGISTRY
from dlc.ir.types import Type, bool_
from dlc.ops import leaf

# More rewrites than this of one node mean that the rules go round in circles.
FUEL = 200
_MATCHED = "#matched"
_KEPT: dict[Callable[..., Any], Grade] = {}
Change = TypeVar("Change", bound=Callable[..., Any])
Bindings = dict[str, Any]
Matcher = Callable[[Node, Bindings], bool]
Builder = Callable[[Node, Bindings, "Driver"], Node]


class Grade(Enum):
    """What a rule or a pass keeps."""

    EXACT = "exact"  # every value, NaN and infinities too; only the sign of a zero may change
    ROUNDING = "rounding"  # last bits that the operator leaves open: the order of a sum, a power


def keeps(grade: Grade) -> Callable[[Change], Change]:
    """Says what a pass keeps of every value: it stands above the pass, `dlc passes` shows it."""
    def stated(step: Change) -> Change:
        _KEPT[step] = grade
        return step

    return stated


def grade_of(step: Callable[..., Any]) -> Grade:
    """What a pass keeps. Raises ValueError for one that does not say."""
    if step not in _KEPT:
        raise ValueError(f"the pass {step.__name__} does not say what it keeps: "
                         "@keeps(Grade.EXACT) or @keeps(Grade.ROUNDING)")
    return _KEPT[step]


@dataclass(frozen=True)
class Rule:
    """One equation. `examples` bind its names for its test: "x: f32[2, 3]; p = (1, 0)"."""

    text: str
    where: str = ""
    grade: Grade = Grade.EXACT
    examples: tuple[str, ...] = ()
    names: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @cached_property
    def sides(self) -> tuple[ast.expr, ast.expr]:
        """The syntax trees of both sides. Raises ValueError when there are not two."""
        left, arrow, right = self.text.partition("->")
        if not arrow:
            raise ValueError(f"rule {self.text!r} has no ->")
        return (ast.parse(left.strip(), mode="eval").body,
                ast.parse(right.strip(), mode="eval").body)

    @cached_property
    def roots(self) -> tuple[str, ...] | None:
        """The operators at which it can match; None is all."""
        return (_operator_name(self.sides[0], self),)

    @cached_property
    def matcher(self) -> Matcher:
        return compile_pattern(self.sides[0], self)

    @cached_property
    def builder(self) -> Builder:
        return compile_replacement(self.sides[1], self, True)

    @cached_property
    def condition(self) -> Callable[[Bindings], bool] | None:
        return compile_expression(self.where, self.names) if self.where else None

    def match(self, node: Node) -> Bindings | None:
        """What the left side's names stand for at `node`, or None."""
        bindings: Bindings = {"y": node, _MATCHED: []}
        if not self.matcher(node, bindings):
            return None
        return bindings if self.condition is None or self.condition(bindings) else None

    def apply(self, node: Node, driver: Driver) -> Node | None:
        """The node to stand in the place of `node`, or None where the rule does not match."""
        bindings = self.match(node)
        if bindings is None:
            return None
        with serving(served_lines(bindings[_MATCHED][::-1])):
            return self.builder(node, bindings, driver)


@dataclass(frozen=True)
class FunctionRule:
    """A rule that no single equation states: `change(node)` gives the replacement or None.

    `roots` are the operators it looks at (None: all); `examples` are pairs of an expression that it
    changes and the types of its names, as in Rule.
    """

    text: str
    change: Callable[[Node], Node | None]
    roots: tuple[str, ...] | None = None
    grade: Grade = Grade.EXACT
    examples: tuple[tuple[str, str], ...] = ()
    where: str = ""

    def apply(self, node: Node, driver: Driver) -> Node | None:
        """Like Rule.apply; nodes between the new root and the old operands are simplified too."""
        with serving(node.locs):
            new = self.change(node)
            return None if new is None or new is node else driver.below(new)


AnyRule = Rule | FunctionRule


def rule(text: str, where: str = "", grade: Grade = Grade.EXACT, examples: Sequence[str] = (),
         names: Mapping[str, Any] | None = None) -> Rule:
    """The rule `text`. Raises ValueError if it is not an equation over known operators."""
    made = Rule(text, where, grade, tuple(examples), names or {})
    assert made.roots is not None
    if any(isinstance(n, ast.Name) and n.id == "y" for n in ast.walk(made.sides[0])):
        raise ValueError(f"rule {text!r}: y is the node replaced; name the operand otherwise")
    return made


def served_lines(nodes: Sequence[Node]) -> tuple[Loc, ...]:
    """The lines that `nodes` serve, each once."""
    return tuple(dict.fromkeys(loc for node in nodes for loc in node.locs))


# --- compiling both sides -------------------------------------------------------------------------


def _operator_name(tree: ast.expr, owner: Rule) -> str:
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
        raise ValueError(f"rule {owner.text!r}: {ast.unparse(tree)} is not an operator's call")
    if tree.func.id not in REGISTRY:
        raise ValueError(f"rule {owner.text!r}: there is no operator {tree.func.id}")
    return tree.func.id


def compile_expression(text: str, names: Mapping[str, Any]) -> Callable[[Bindings], Any]:
    """A Python expression over bindings; constants are numbers in it."""
    tree = ast.parse(text.strip(), mode="eval")
    code = compile(tree, f"<rule: {text}>", "eval")
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} - set(names)

    def value(bindings: Bindings) -> Any:
        # generator expressions see globals only, so the bindings have to be those
        scope = dict(names)
        for name in used:
            if name in bindings:
                bound = bindings[name]
                scope[name] = bound.attrs["value"] if name[0].isupper() else bound
        return eval(code, scope)

    return value


def compile_pattern(tree: ast.expr, owner: Rule) -> Matcher:
    """The left side as a predicate that fills in bindings."""
    if isinstance(tree, ast.Name):
        return _match_constant(tree.id) if tree.id[0].isupper() else _match_variable(tree.id)
    if isinstance(tree, ast.Call):
        return _match_call(tree, owner)
    return _match_number(ast.literal_eval(tree))


def _match_variable(name: str) -> Matcher:
    def match(node: Node, bindings: Bindings) -> bool:
        return bindings.setdefault(name, node) is node

    return match


def _match_constant(name: str) -> Matcher:
    def match(node: Node, bindings: Bindings) -> bool:
        return node.op is leaf.CONSTANT and bindings.setdefault(name, node) is node

    return match


def _match_number(value: float | bool) -> Matcher:
    def match(node: Node, bindings: Bindings) -> bool:
        if node.op is not leaf.CONSTANT or node.attrs["value"] != value:
            return False
        return (node.type.dtype is bool_) is isinstance(value, bool)

    return match


def _match_call(tree: ast.Call, owner: Rule) -> Matcher:
    op = REGISTRY[_operator_name(tree, owner)]
    operands = [compile_pattern(a, owner) for a in tree.args]
    bound = [(k.arg or "", k.value.id) for k in tree.keywords if isinstance(k.value, ast.Name)]
    fixed = [(k.arg or "", ast.literal_eval(k.value)) for k in tree.keywords
             if not isinstance(k.value, ast.Name)]

    def match(node: Node, bindings: Bindings) -> bool:
        if node.op is not op or len(node.args) != len(operands):
            return False
        for operand, arg in zip(operands, node.args, strict=True):
            if not operand(arg, bindings):
                return False
        attrs = node.attrs
        for key, name in bound:
            if bindings.setdefault(name, attrs[key]) != attrs[key]:
                return False
        bindings[_MATCHED].append(node)
        return all(attrs[key] == value for key, value in fixed)

    return match


def compile_replacement(tree: ast.expr, owner: Rule, outermost: bool) -> Builder:
    """The right side as a function that builds it, operands first, each in normal form."""
    if isinstance(tree, ast.Name):
        name = tree.id
        return lambda node, bindings, driver: bindings[name]
    if isinstance(tree, ast.Call) and ast.unparse(tree.func) == "constant":
        return _build_constant(tree, owner)
    if isinstance(tree, ast.Call):
        return _build_call(tree, owner, outermost)
    number = ast.literal_eval(tree)
    return lambda node, bindings, driver: leaf.constant(number, node.type)


def _build_constant(tree: ast.Call, owner: Rule) -> Builder:
    value = compile_expression(ast.unparse(tree.args[0]), owner.names)
    if len(tree.args) == 1:
        return lambda node, bindings, driver: leaf.constant(value(bindings), node.type)
    type_ = compile_expression(ast.unparse(tree.args[1]), owner.names)
    return lambda node, bindings, driver: leaf.constant(value(bindings), type_(bindings))


def _build_call(tree: ast.Call, owner: Rule, outermost: bool) -> Builder:
    op = REGISTRY[_operator_name(tree, owner)]
    operands = [compile_replacement(a, owner, False) for a in tree.args]
    attrs = {k.arg or "": compile_expression(ast.unparse(k.value), owner.names)
             for k in tree.keywords}
    told = told_attributes(op.name) if outermost else {}

    def build(node: Node, bindings: Bindings, driver: Driver) -> Node:
        args = [operand(node, bindings, driver) for operand in operands]
        values = {k: of_type(node.type) for k, of_type in told.items()}
        values.update({k: value(bindings) for k, value in attrs.items()})
        made = make(op, args, **values)
        return made if outermost else driver.reduce(made)

    return build


def told_attributes(name: str) -> dict[str, Callable[[Type], Any]]:
    """The attributes of operator `name` that the result's type tells."""
    from dlc.reference.text.printing import FROM_TYPE, told_by_type

    return {k: FROM_TYPE[k] for k in told_by_type(REGISTRY[name])}


# --- the driver -----------------------------------------------------------------------------------


class RuleSet:
    """Rules by the operator at which they can match, in the order in which they are tried."""

    def __init__(self, rules: Iterable[AnyRule]) -> None:
        self.rules = tuple(rules)
        self._table: dict[str, tuple[AnyRule, ...]] = {}

    def at(self, name: str) -> tuple[AnyRule, ...]:
        """The rules to try at operator `name`."""
        found = self._table.get(name)
        if found is None:
            found = tuple(r for r in self.rules if r.roots is None or name in r.roots)
            self._table[name] = found
        return found


class Driver:
    """Rewrites bottom-up to a fixed point. Each node is brought to normal form once: linear time.

    `counts` adds up how often each rule fired, by its text; `fired` gets each with the node that it
    replaced.
    """

    def __init__(self, rules: RuleSet, counts: Counter[str] | None = None,
                 fired: list[tuple[str, Node]] | None = None) -> None:
        self.rules, self.fired = rules, fired
        self.counts: Counter[str] = Counter() if counts is None else counts
        self.normal: dict[Node, Node] = {}

    def run(self, outputs: Sequence[Node]) -> list[Node]:
        """The normal forms of `outputs`; new nodes belong to the running build."""
        for node in toposort(outputs):
            args = tuple(self.normal[a] for a in node.args)
            self.normal[node] = self.reduce(adopt(rebuild(node, args)))
        return [self.normal[o] for o in outputs]

    def reduce(self, node: Node) -> Node:
        """The normal form of a node whose operands are in normal form."""
        chain: list[Node] = []
        while node not in self.normal:
            new = self.step(node)
            if new is None:
                self.normal[node] = node
                break
            chain.append(node)
            if len(chain) > FUEL:
                raise DlcError(f"rewrite rules do not end at {node!r}: the last made {new!r}",
                               node.loc)
            node = new
        end = self.normal[node]
        for passed in chain:
            self.normal[passed] = end
        return end

    def step(self, node: Node) -> Node | None:
        """What the first rule that matches makes of `node`."""
        if not isinstance(node.type, Type) or node.type.layout is not None:
            return None  # a chosen layout is kept as it is
        for candidate in self.rules.at(node.op.name):
            new = candidate.apply(node, self)
            if new is not None and new is not node:
                _check_type(candidate, node, new)
                self.counts[candidate.text] += 1
                if self.fired is not None:
                    self.fired.append((candidate.text, node))
                if new.op is not leaf.CONSTANT:
                    new.name = new.name or node.name
                return new
        return None

    def below(self, root: Node) -> Node:
        """`root` over normal forms of the new nodes below it."""
        if root in self.normal or not root.args:
            return root
        args = tuple(self.reduce(self.below(a)) for a in root.args)
        return rebuild(root, args)


def _check_type(candidate: AnyRule, old: Node, new: Node) -> None:
    if (new.type.dtype, tuple(new.type.shape)) != (old.type.dtype, tuple(old.type.shape)):
        raise DlcError(f"rule {candidate.text!r} turns {old.type} into {new.type} at {old!r}",
                       old.loc)


def rewrite(graph: Graph, rules: RuleSet, counts: Counter[str] | None = None,
            fired: list[tuple[str, Node]] | None = None) -> Graph:
    """`graph` with `rules` applied until none matches. Needs a running build."""
    return graph.with_outputs(Driver(rules, counts, fired).run(graph.outputs))
