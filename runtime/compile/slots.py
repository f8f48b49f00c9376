"""Names in a function's text: which of them need a stack slot."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

Path = tuple[int, ...]  # the suites around a place in the text, outermost first


def slots_of(function: ast.FunctionDef) -> frozenset[str]:
    """The names that need a slot: where some read may find a value that is not that of the
    assignment last before it in the text. LLVM's SSA construction makes registers of slots."""
    found = Places()
    for argument in function.args.args:
        found.store(argument.arg, ())
    found.suite(function.body, ())
    return frozenset(name for name in found.stores if found.needs_slot(name))


class Places:
    """Where each name is stored and read: (place in the text, suites around it)."""

    def __init__(self) -> None:
        self.stores: dict[str, list[tuple[int, Path]]] = {}
        self.loads: dict[str, list[tuple[int, Path]]] = {}
        self.repeated: set[int] = set()  # suites of loops
        self._place = self._suite = 0

    def needs_slot(self, name: str) -> bool:
        """Whether a read is not reached by one assignment alone."""
        stores = self.stores[name]
        for place, path in self.loads.get(name, ()):
            before = [within for stored, within in stores if stored < place]
            if not before or path[:len(before[-1])] != before[-1]:
                return True
            loops = [i for i in range(len(before[-1]), len(path)) if path[i] in self.repeated]
            if loops and any(stored > place and within[:loops[0] + 1] == path[:loops[0] + 1]
                             for stored, within in stores):
                return True
        return False

    def store(self, name: str, path: Path) -> None:
        self._place += 1
        self.stores.setdefault(name, []).append((self._place, path))

    def read(self, expression: ast.AST | None, path: Path) -> None:
        """Every name that an expression reads."""
        for node in ast.walk(expression) if expression is not None else ():
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                self._place += 1
                self.loads.setdefault(node.id, []).append((self._place, path))

    def suite(self, statements: Sequence[ast.stmt], path: Path) -> None:
        for statement in statements:
            self.statement(statement, path)

    def statement(self, statement: ast.stmt, path: Path) -> None:
        """The reads and stores of a statement, in the order in which they happen."""
        match statement:
            case ast.Assign():
                self.read(statement.value, path)
                self.targets(statement.targets, path)
            case ast.AugAssign():
                self.read(statement.value, path)
                self.targets([statement.target], path, again=True)
            case ast.For():
                self.read(statement.iter, path)
                inner = self.inside(path, repeated=True)
                self.targets([statement.target], inner)
                self.suite(statement.body, inner)
            case ast.While():
                inner = self.inside(path, repeated=True)
                self.read(statement.test, inner)
                self.suite(statement.body, inner)
            case ast.If():
                self.read(statement.test, path)
                self.suite(statement.body, self.inside(path))
                self.suite(statement.orelse, self.inside(path))
            case _:
                self.read(statement, path)

    def targets(self, targets: Iterable[ast.expr], path: Path, again: bool = False) -> None:
        """Stores to names, and reads of those that indices hold; `again` reads the names too."""
        for target in targets:
            for node in ast.walk(target):
                if isinstance(node, ast.Name):
                    stored = isinstance(node.ctx, ast.Store)
                    if not stored or again:
                        self._place += 1
                        self.loads.setdefault(node.id, []).append((self._place, path))
                    if stored:
                        self.store(node.id, path)

    def inside(self, path: Path, repeated: bool = False) -> Path:
        """The path of a new suite."""
        self._suite += 1
        if repeated:
            self.repeated.add(self._suite)
        return (*path, self._suite)


def plain(expression: ast.expr) -> bool:
    """Whether computing it without need does no harm: arithmetic of names and numbers."""
    return all(isinstance(n, (ast.Name, ast.Constant, ast.Compare, ast.BinOp, ast.UnaryOp,
                              ast.BoolOp, ast.operator, ast.cmpop, ast.unaryop, ast.boolop,
                              ast.expr_context)) for n in ast.walk(expression))
