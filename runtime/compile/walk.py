"""Lowering of one function of a kernel text to LLVM IR, in one walk over its statements."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import Any

from llvmlite import ir

from dlc.runtime.compile.expressions import Expressions, Names, alignment
from dlc.runtime.compile.llvm_module import Lowered, llvm_type
from dlc.runtime.compile.operators import OutsideError, Value, arithmetic, converted, number, whole
from dlc.runtime.compile.primitives import LLVM
from dlc.runtime.compile.slots import slots_of


class Walk(Expressions):
    """One function for one list of argument types, statement by statement."""

    def __init__(self, scope: Names, function: ast.FunctionDef, types: tuple[str, ...]) -> None:
        if len(types) != len(function.args.args):
            raise OutsideError(f"{function.name} takes {len(function.args.args)} arguments")
        symbol = ".".join([function.name, *(t.replace("*", "p") for t in types)])
        kind = ir.FunctionType(LLVM["void"], [llvm_type(t) for t in types])
        super().__init__(scope, function, ir.Function(ir.Module(), kind, symbol))
        self.symbol, self.types = symbol, types
        self.in_slots = slots_of(function)
        self.loops: list[tuple[Any, Any]] = []  # where `continue` and `break` go
        self.result: Any = None

    def lowered(self) -> Lowered:
        """The function's text and what it needs."""
        for parameter, argument, dtype in zip(self.function.args.args, self.made.args, self.types,
                                              strict=True):
            if dtype.endswith("*"):
                argument.add_attribute("noalias")
            self.assign(parameter.arg, Value(dtype, argument))
        self.run(self.function.body)
        self.finish()
        declared = {name: str(value) for name, value in self.made.module.globals.items()
                    if value is not self.made}
        return Lowered(self.symbol, self.result, str(self.made), declared,
                       tuple(self.calls.values()))

    def finish(self) -> None:
        if not self.builder.block.is_terminated:
            if self.result not in (None, "void"):
                self.builder.unreachable()
            else:
                self.give(None)
        ir.IRBuilder(self.entry).branch(self.made.blocks[1])
        kind = llvm_type(self.result)
        self.made.ftype = ir.FunctionType(kind, self.made.ftype.args)
        self.made.return_value = ir.ReturnValue(self.made, kind)
        self.made.linkage = "internal"
        self.made.attributes.add("nounwind")

    def run(self, suite: Iterable[ast.stmt]) -> None:
        for statement in suite:
            if self.builder.block.is_terminated:  # nothing comes here
                return
            try:
                self.run_one(statement)
            except OutsideError as error:
                if error.where:
                    raise
                shown = ast.unparse(statement).splitlines()[0]
                where = f"{self.function.name}, line {statement.lineno}, `{shown}`"
                raise OutsideError(error.what, where) from None

    def run_one(self, statement: ast.stmt) -> None:
        method = getattr(self, f"run_{type(statement).__name__}", None)
        if method is None:
            raise OutsideError(f"{type(statement).__name__} is not in the dialect")
        method(statement)

    # ---- statements ----

    def run_Pass(self, statement: ast.Pass) -> None:
        """Nothing."""

    def run_Expr(self, statement: ast.Expr) -> None:
        if not isinstance(statement.value, ast.Constant):
            self.value(statement.value)

    def run_Return(self, statement: ast.Return) -> None:
        self.give(None if statement.value is None else self.value(statement.value))

    def give(self, value: Value | None) -> None:
        """Return `value`; all returns of a function give one type."""
        dtype = "void" if value is None else value.dtype
        if self.result not in (None, dtype):
            raise OutsideError(f"{self.function.name} returns {self.result} and {dtype}")
        self.result = dtype
        if value is None:
            self.builder.ret_void()
        else:
            self.builder.ret(value.llvm)

    def run_Assign(self, statement: ast.Assign) -> None:
        if len(statement.targets) != 1:
            raise OutsideError("several targets")
        target, source = statement.targets[0], statement.value
        if not isinstance(target, ast.Tuple):
            self.put(target, self.value(source))
            return
        values = self.several(source)
        if len(values) != len(target.elts):
            raise OutsideError(f"{len(values)} values for {len(target.elts)} names")
        for each, value in zip(target.elts, values, strict=True):
            self.put(each, value)

    def several(self, source: ast.expr) -> list[Value]:
        """The values of a tuple, written or returned by a function."""
        if isinstance(source, ast.Tuple):
            return [self.value(e) for e in source.elts]
        value = self.value(source)
        if not isinstance(value.dtype, tuple):
            raise OutsideError(f"{value.dtype} for several names")
        return [Value(d, self.builder.extract_value(value.llvm, i))
                for i, d in enumerate(value.dtype)]

    def put(self, target: ast.expr, value: Value) -> None:
        match target:
            case ast.Name(id=name):
                self.assign(name, value)
            case ast.Subscript():
                place, dtype = self.element(target)
                self.builder.store(converted(self.builder, value, dtype).llvm, place,
                                   align=alignment(target))
            case _:
                raise OutsideError(f"{type(target).__name__} as a target")

    def assign(self, name: str, value: Value) -> None:
        if name not in self.in_slots:
            self.names[name] = value
            return
        if isinstance(value.dtype, tuple) or value.dtype == "void":
            raise OutsideError(f"{value.dtype} as the value of {name}")
        slot = self.slots.get(name)
        if slot is None:
            with self.builder.goto_block(self.entry):
                slot = Value(value.dtype, self.builder.alloca(llvm_type(value.dtype)))
            self.slots[name] = slot
        if slot.dtype != value.dtype:
            raise OutsideError(f"{name} is {slot.dtype} and {value.dtype}")
        self.builder.store(value.llvm, slot.llvm)

    def run_AugAssign(self, statement: ast.AugAssign) -> None:
        target = statement.target
        if isinstance(target, ast.Name):
            old = self.named(target.id)
            self.assign(target.id, arithmetic(self.builder, statement.op, old,
                                              self.value(statement.value)))
            return
        if not isinstance(target, ast.Subscript):
            raise OutsideError(f"{type(target).__name__} as a target")
        place, dtype = self.element(target)
        old = Value(dtype, self.builder.load(place, typ=LLVM[dtype]))
        new = arithmetic(self.builder, statement.op, old, self.value(statement.value))
        self.builder.store(converted(self.builder, new, dtype).llvm, place)

    def run_If(self, statement: ast.If) -> None:
        condition = self.truth(statement.test)
        then, after = self.block("then"), self.block("endif")
        other = self.block("else") if statement.orelse else after
        self.builder.cbranch(condition, then, other)
        for block, suite in ((then, statement.body), (other, statement.orelse)):
            if block is not after:
                self.builder.position_at_end(block)
                self.run(suite)
                self.go(after)
        self.builder.position_at_end(after)

    def run_While(self, statement: ast.While) -> None:
        if statement.orelse:
            raise OutsideError("else of a loop")
        test, body, after = self.block("while"), self.block("do"), self.block("done")
        self.builder.branch(test)
        self.builder.position_at_end(test)
        self.builder.cbranch(self.truth(statement.test), body, after)
        self.body_of(body, statement.body, test, after)
        self.builder.position_at_end(after)

    def run_For(self, statement: ast.For) -> None:
        """A loop over range(low, high, step): the variable is the counter as the round began."""
        if statement.orelse or not isinstance(statement.target, ast.Name):
            raise OutsideError("this form of a loop")
        if self.scope.region is not None and is_region(statement.iter):
            self.scope.region(self, statement.target.id, statement)
            return
        low, high, step = self.range(statement.iter)
        test, body, then, after = map(self.block, ("for", "each", "next", "done"))
        before = self.builder.block
        self.builder.branch(test)
        self.builder.position_at_end(test)
        counter = self.builder.phi(LLVM["i64"])
        counter.add_incoming(low, before)
        sign = "<" if step > 0 else ">"
        self.builder.cbranch(self.builder.icmp_signed(sign, counter, high), body, after)
        self.builder.position_at_end(body)
        self.assign(statement.target.id, Value("i64", counter))
        self.body_of(body, statement.body, then, after)
        self.builder.position_at_end(then)
        more = self.builder.add(counter, ir.Constant(LLVM["i64"], step), flags=("nsw",))
        counter.add_incoming(more, then)
        self.builder.branch(test)
        self.builder.position_at_end(after)

    def range(self, call: ast.expr) -> tuple[Any, Any, int]:
        """The i64 bounds of a loop, and its step, which is a number."""
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
                and call.func.id in ("range", "threads") and 1 <= len(call.args) <= 3
                and not call.keywords):
            raise OutsideError("a loop that is none over range")
        values = [self.value(a) for a in call.args]
        if not all(whole(v) for v in values):
            raise OutsideError("range of floats")
        step = values.pop().literal if len(values) == 3 else 1
        if not step:
            raise OutsideError("a step that is not a number")
        bounds = [converted(self.builder, v, "i64").llvm for v in values]
        return (bounds[0] if len(bounds) > 1 else number(0).llvm), bounds[-1], int(step)

    def body_of(self, block: Any, suite: Sequence[ast.stmt], following: Any, after: Any) -> None:
        self.builder.position_at_end(block)
        self.loops.append((following, after))
        self.run(suite)
        self.loops.pop()
        self.go(following)

    def run_Continue(self, statement: ast.Continue) -> None:
        self.builder.branch(self.loops[-1][0])

    def run_Break(self, statement: ast.Break) -> None:
        self.builder.branch(self.loops[-1][1])

    def go(self, block: Any) -> None:
        if not self.builder.block.is_terminated:
            self.builder.branch(block)


def is_region(iterated: ast.expr) -> bool:
    """Whether a loop runs over the threads of a block."""
    return isinstance(iterated, ast.Call) and isinstance(iterated.func, ast.Name) and (
        iterated.func.id == "threads")
