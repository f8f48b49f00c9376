"""Printing the kernel IR as the Python function that is compiled and that users read.

Every expression has a rank, its precedence in Python: only operands of lower precedence are
parenthesized. Types are explicit: casts are calls; integers narrower than i64 wrap, expressed by a
cast around the operation. The output is tokens (words.py), joined at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dlc.backend.ir import (
    Alloc,
    Binary,
    Break,
    Call,
    Choice,
    Condition,
    Expression,
    For,
    Function,
    If,
    Kind,
    Let,
    Load,
    Logical,
    Negative,
    Number,
    Pointer,
    Position,
    Ref,
    Space,
    Statement,
    Store,
    TileCall,
    Truth,
    UserCall,
    View,
    While,
    block_of,
    computing,
    later,
)
from dlc.backend.ir.index import Sum
from dlc.backend.ir.walks import tiles_of
from dlc.backend.ir.words import Name, Numeral, Word, joined, numeral, separated
from dlc.ir.types import DType, bool_, f32, i64
from dlc.program import Kernel

INDENT = "    "
# How tightly Python binds: x if c else y, words of logic, comparisons, bits, sums, products, a
# sign, a call.
CHOICE, LOGIC, COMPARED, BITS, SUMMED, MULTIPLIED, SIGNED, ATOM = range(8)
RANKS = {**dict.fromkeys(("<", "<=", ">", ">=", "==", "!="), COMPARED),
         **dict.fromkeys(("&", "|", "^", "<<", ">>"), BITS), **dict.fromkeys("+-", SUMMED),
         **dict.fromkeys("*/", MULTIPLIED)}
CALLED = ("idiv", "imod")
"""Functions whose second operand stays a number: the code is made for it."""
KINDS: Mapping[Kind, str] = {"serial": "range", "parallel": "parallel", "vector": "vector",
                             "reduce": "reduce", "threads": "threads"}
SPACES: Mapping[Space, str] = {"stack": "local", "shared": "shared", "thread": "thread"}


def rank(value: Expression) -> int:
    """How tightly the text of an expression binds."""
    match value:
        case Number():
            return SIGNED if value.dtype is i64 and value.value < 0 else ATOM
        case Load():
            if value.guard:
                return CHOICE
            return COMPARED if value.dtype is bool_ else ATOM
        case Negative():
            return SIGNED
        case Binary():
            return ATOM if wraps(value.dtype) else RANKS[value.sign]
        case Truth():
            return COMPARED if len(set(value.condition)) == 1 else LOGIC
        case Logical():
            return LOGIC
        case Choice():
            return CHOICE
        case Position():
            return index_rank(value.index) if value.dtype is i64 else ATOM
    return ATOM


def index_rank(index: Sum) -> int:
    """How tightly the text of an index binds."""
    if len(index.terms) > 1 or index.const or not index.terms:
        return SUMMED
    return {1: ATOM}.get(index.terms[0][1], MULTIPLIED if index.terms[0][1] > 0 else SUMMED)


def text(value: Expression) -> str:
    """An expression as Python source."""
    return joined(words(value))


def words(value: Expression) -> list[Word]:
    """An expression as words."""
    match value:
        case Number():
            return number(value)
        case Ref():
            return [Name(value.name)]
        case Load():
            return load(value)
        case Call():
            return call(value)
        case Negative():
            return ["-", *operand(value.value, SIGNED, True)]
        case Binary():
            return binary(value)
        case Truth():
            return condition(value.condition)
        case Position():
            word = value.index.words()
            return word if value.dtype is i64 else [f"{value.dtype}(", *word, ")"]
        case Logical():
            return logical(value)
        case Choice():
            a, test, b = (operand(v, CHOICE, True) for v in (value.a, value.condition, value.b))
            return [*a, " if ", *test, " else ", *b]


def number(value: Number) -> list[Word]:
    if value.dtype is bool_:
        return [str(value.value)]
    if value.dtype.is_float:
        return [f"{value.dtype}(", *decimal(float(value.value), value.dtype), ")"]
    word = numeral(int(value.value))
    return word if value.dtype is i64 else [f"{value.dtype}(", *word, ")"]


def decimal(value: float, dtype: DType) -> list[Word]:
    """The shortest decimal that reads back as `value` in `dtype`: 0.9, not 0.8999999761581421."""
    if not np.isfinite(value):
        return [repr(value)]
    if dtype is not f32:
        return numeral(value)
    word = float(str(np.float32(value)))
    return numeral(word if np.float32(word) == np.float32(value) else value)


def call(value: Call) -> list[Word]:
    args = [words(a) for a in value.args]
    if value.function in CALLED:
        args[1] = [joined(args[1])] if isinstance(value.args[1], Number) else args[1]
    return [f"{value.function}(", *separated(args), ")"]


def logical(value: Logical) -> list[Word]:
    parts = [operand(p, LOGIC, True) for p in value.parts]
    return ["not ", *parts[0]] if value.word == "not" else separated(parts, f" {value.word} ")


def condition(parts: Condition) -> list[Word]:
    return separated([[*c.value.words(), f" {c.sign} ", *numeral(c.bound)]
                      for c in dict.fromkeys(parts)], " and ")


def load(value: Load) -> list[Word]:
    word: list[Word] = [Name(value.buffer), "[", *value.index.words(), "]"]
    if value.memory is not None and value.dtype is computing(value.memory):
        word = unpack(value.memory, word)
    if not value.guard:
        return word
    return [*word, " if ", *condition(value.guard), " else ", *number(Number(0, value.dtype))]


def wraps(dtype: DType) -> bool:
    """Whether arithmetic of `dtype` is brought back to it by a cast."""
    return dtype.is_integer and dtype is not i64


def binary(value: Binary) -> list[Word]:
    own = RANKS[value.sign]
    # comparisons chain, and & | ^ differ among themselves in what nobody remembers
    alone = own == COMPARED or (own == BITS and getattr(value.a, "sign", "") != value.sign)
    word = [*operand(value.a, own, alone), f" {value.sign} ", *operand(value.b, own, True)]
    return [f"{value.dtype}(", *word, ")"] if wraps(value.dtype) else word


def operand(value: Expression, around: int, alone: bool) -> list[Word]:
    """`value` as an operand of what has rank `around`; `alone`: it may not be of the same rank."""
    word = words(value)
    within = rank(value) < around or (alone and rank(value) == around)
    return ["(", *word, ")"] if within else word


def factor(value: Expression) -> list[Word]:
    """`value` as a term of an index."""
    return operand(value, MULTIPLIED, False)


def unpack(dtype: DType, word: list[Word]) -> list[Word]:
    """Memory to scalar: bool lies as u8, f16 and bf16 as u16."""
    if dtype is bool_:
        return [*word, " != u8(", Numeral(0), ")"]
    return [f"{dtype}_to_f32(", *word, ")"] if dtype.name in ("f16", "bf16") else word


def pack(dtype: DType, word: list[Word]) -> list[Word]:
    """Scalar to memory."""
    if dtype is bool_:
        return ["u8(", *word, ")"]
    return [f"f32_to_{dtype}(", *word, ")"] if dtype.name in ("f16", "bf16") else word


def place(value: Pointer) -> list[Word]:
    if value.offset == Sum():
        return [Name(value.buffer)]
    return ["at(", Name(value.buffer), ", ", *value.offset.words(), ")"]


# ---- statements ----------------------------------------------------------------------------------


def lines(statement: Statement, pad: str) -> list[list[Word]]:
    """A statement as lines of source, indented by `pad`."""
    match statement:
        case Alloc(name=name, dtype=dtype, size=size, space=space):
            return [[pad, Name(name), f" = {SPACES[space]}_{dtype}({size})"]]
        case Let(name=name, value=value):
            return [[pad, Name(name), " = ", *words(value)]]
        case Store(buffer=buffer, index=index, value=value, dtype=dtype):
            return [[pad, Name(buffer), "[", *index.words(), "] = ", *pack(dtype, words(value))]]
        case TileCall(tile=tile, args=args):
            places = (place(a) if isinstance(a, Pointer) else a.words() for a in args)
            return [[pad, f"{tile}(", *separated(places), ")"]]
        case UserCall(function=function):
            return [[pad, f"{function}(", *separated(map(argument, statement.args)), ")"]]
        case For():
            word = f" in {KINDS[statement.kind]}("
            return [[pad, "for ", Name(statement.var), word, *bounds(statement), "):"],
                    *block(statement.body, pad + INDENT)]
        case While():
            return [[pad, "while ", *words(statement.condition), ":"],
                    *block(statement.body, pad + INDENT)]
        case If():
            return branch(statement, pad)
        case Break():
            return [[pad, "break"]]


def branch(statement: If, pad: str) -> list[list[Word]]:
    found = [[pad, "if ", *words(statement.condition), ":"],
             *block(statement.then, pad + INDENT)]
    if statement.otherwise:
        found += [[pad, "else:"], *block(statement.otherwise, pad + INDENT)]
    return found


def bounds(loop: For) -> list[Word]:
    """What stands between the brackets of a loop."""
    if loop.kind == "reduce":
        return [*rounds(loop), *combination(loop)]
    if loop.kind == "threads":
        return [str(loop.high.const)]  # of the block, which no argument changes
    return rounds(loop)


def combination(loop: For) -> list[Word]:
    """What a reduction folds into, and how two results are combined."""
    into = separated([Name(n)] for n in loop.into)
    given = separated([Name(n)] for n in (*loop.into, *map(later, loop.into)))
    by = separated(operand(value, CHOICE, True) for value in loop.by)
    by = ["(", *by, ")"] if len(loop.by) > 1 else by
    return [", into=[", *into, "], by=lambda ", *given, ": ", *by] if by else [
        ", into=[", *into, "]"]


def rounds(loop: For) -> list[Word]:
    low, high = loop.low.words(), loop.high.words()
    if loop.low != Sum() or loop.step != 1:
        word = [*low, ", ", *high]
        return word if loop.step == 1 else [*word, f", {loop.step}"]
    return numeral(loop.high.const, length=True) if not loop.high.terms else high


def argument(value: View | int | float | bool | tuple[int | float | bool, ...]) -> list[Word]:
    """An argument of a user's function."""
    if isinstance(value, tuple):
        return ["(", *separated(map(argument, value)), "," if len(value) == 1 else "", ")"]
    if isinstance(value, View):
        word = "view" if value.written else "const_view"
        args = separated([place(value.place), *map(numeral, value.sizes)])
        return [f"{word}_{value.dtype}(", *args, ")"]
    if isinstance(value, bool) or not isinstance(value, float):
        return [str(value)] if isinstance(value, bool) else numeral(value)
    if np.isnan(value):
        return ["(1e999 - 1e999)"]
    return numeral(value) if np.isfinite(value) else ["1e999" if value > 0 else "-1e999"]


def block(statements: Sequence[Statement], pad: str) -> list[list[Word]]:
    """The lines of statements; an empty block is `pass`."""
    return [line for s in statements for line in lines(s, pad)] or [[pad + "pass"]]


# ---- functions -----------------------------------------------------------------------------------


def kernel_of(function: Function) -> Kernel:
    """The kernel as the runtime takes it."""
    return Kernel(function.name, function.params, function_text(function),
                  tiles_of(function.body), function.raises, block_of(function))


def function_text(function: Function) -> str:
    """The whole kernel as Python source."""
    return heading(function) + joined(body_words(function))


def heading(function: Function) -> str:
    """The lines before the statements: signature and docstring."""
    doc = [quoted(line) for line in function.doc]
    note = [f'{INDENT}"""{doc[0]}', *(INDENT + d if d else "" for d in doc[1:])] if doc else []
    if note:
        note[-1] += '"""'
    chunk = ("chunk",) if function.chunked else ()
    head = signature(function.name, [*(p.name for p in function.params), *chunk])
    return "".join(line + "\n" for line in (head, *note))


def quoted(line: str) -> str:
    """A line of a docstring that reads back as it is, whatever a file's name holds."""
    return line.replace("\\", "\\\\").replace('"', '\\"') if set(line) & {"\\", '"'} else line


def body_words(function: Function) -> list[Word]:
    """The statements, and the functions of custom operators that they call."""
    found: list[Word] = []
    for line in block(function.body, INDENT):
        found += [*line, "\n"]
    return [*found, function.helpers]


def signature(name: str, params: Sequence[str]) -> str:
    """The line that begins a function; a long one over several lines of at most 100 columns."""
    whole = f"def {name}({', '.join(params)}):"
    return whole if len(whole) <= 100 else wrap_signature(name, params)


def wrap_signature(name: str, params: Sequence[str]) -> str:
    found, current = [], f"def {name}("
    pad = " " * len(current)
    for i, p in enumerate(params):
        word = p + (", " if i < len(params) - 1 else "):")
        if len(current) + len(word) > 100:
            found.append(current.rstrip())
            current = pad
        current += word
    return "\n".join([*found, current])
