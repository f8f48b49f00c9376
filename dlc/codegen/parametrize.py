"""One kernel for many sizes: texts that differ in numbers only become one, with arguments.

    def k(x, y, chunk):                                 def k(x, y, n0, chunk):
        for i in range(chunk, 784): y[i] = -x[i]   ->       for i in range(chunk, n0): y[i] = -x[i]
    (and the same with 512)                             called with n0 = 784 and n0 = 512

Numbers in which all texts agree stay in the text; so do divisors, steps and stack sizes, whose
value the generated code is made for.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dlc.program import Kernel, Parameter

MOST = 12  # scalars a shared kernel may take: beyond, the texts are not the same program
FIXED_CALLS = {"idiv", "imod"}


@dataclass(frozen=True)
class Use:
    """One use of a kernel: its index among the distinct kernels, and its extra scalar arguments."""

    kernel: int
    scalars: tuple[int | float, ...]


@dataclass
class _Form:
    """A kernel's text cut at its numbers; `nameless` are the pieces with the kernel's own names by
    their rank: names are no reason for two kernels."""

    kernel: Kernel
    pieces: tuple[str, ...]
    nameless: tuple[str, ...]
    numbers: tuple[int | float, ...]

    @property
    def fixed(self) -> tuple[int | float, ...]:
        """What stays a literal within one entry: on tiles everything, else the lengths of inner
        loops, by which LLVM chooses vectors and unrolling (14 pixels are no vector of 16)."""
        if self.kernel.tiles:
            return self.numbers
        around = zip(self.pieces, self.numbers, self.pieces[1:], strict=False)
        return tuple(n for before, n, after in around
                     if before.endswith("range(") and after.startswith("):"))


def share(kernels: Sequence[Kernel], entries: Sequence[str]) -> tuple[list[Kernel], list[Use]]:
    """The distinct kernels, and for each given kernel how it is called.

    `entries` says which entry each kernel comes from: between entries (another batch size) any
    number may become an argument, within one entry the `fixed` ones of a text may not.
    """
    groups: dict[Any, list[int]] = {}
    known = {id(k): cut(k) for k in {id(k): k for k in kernels}.values()}  # equal bodies share one
    forms = [known[id(k)] for k in kernels]
    seen: dict[Any, dict[str, int]] = {}
    for i, form in enumerate(forms):
        key: Any = (form.nameless, signature(form.kernel))
        ranks = seen.setdefault((entries[i], key), {})
        groups.setdefault((key, ranks.setdefault(repr(form.fixed), len(ranks))), []).append(i)
    out: list[Kernel] = []
    uses: list[Use | None] = [None] * len(kernels)
    for members in groups.values():
        _share_group([forms[i] for i in members], members, out, uses)
    return out, [u for u in uses if u is not None]


def signature(kernel: Kernel) -> object:
    """What two kernels have in common beside their text to be one."""
    return tuple((p.dtype, p.kind, p.written) for p in kernel.params), kernel.tiles, kernel.raises


def cut(kernel: Kernel) -> _Form:
    """Cut the text at the numbers that may become arguments; name and docstring do not count."""
    starts = line_starts(kernel.text)
    function = ast.parse(kernel.text).body[0]
    assert isinstance(function, ast.FunctionDef)
    data, body_at = kernel.text.encode(), body_start(function, starts)
    spots = [s for s in sorted((start_of(n, starts), n) for n in numbers_of(function))
             if s[0] >= body_at]
    ends = [place + (node.end_col_offset or 0) - node.col_offset for place, node in spots]
    ranges = list(zip([body_at, *ends], [*(place for place, _ in spots), len(data)], strict=True))
    names = own_names(function, starts)
    return _Form(kernel, tuple(data[low:high].decode() for low, high in ranges),
                 tuple(without_names(data, low, high, names) for low, high in ranges),
                 tuple(node.value for _, node in spots))  # type: ignore[misc]


Name = tuple[int, int, str]  # where it stands, where it ends, its rank


def own_names(function: ast.FunctionDef, starts: Sequence[int]) -> list[Name]:
    """A function's parameters and locals, wherever they stand in it, in order."""
    own = {a.arg: f"\0{i}" for i, a in enumerate(function.args.args)}
    nodes = [n for n in ast.walk(function) if isinstance(n, ast.Name)]
    bound = {n.id for n in nodes if isinstance(n.ctx, ast.Store)}
    found = []
    for place, name in sorted((start_of(n, starts), n.id) for n in nodes):
        if name in bound:
            own.setdefault(name, f"\0{len(own)}")
        if name in own:
            found.append((place, place + len(name.encode()), own[name]))
    return found


def without_names(data: bytes, low: int, high: int, names: Sequence[Name]) -> str:
    """The text from byte `low` to `high` with the rank of each of `names` in its place."""
    pieces, at = [], low
    for place, end, rank in names[bisect_left(names, (low,)):bisect_left(names, (high,))]:
        pieces += [data[at:place].decode(), rank]
        at = end
    return "".join(pieces) + data[at:high].decode()


def start_of(node: ast.expr, starts: Sequence[int]) -> int:
    """The byte at which `node` stands."""
    return starts[node.lineno - 1] + node.col_offset


def line_starts(text: str) -> list[int]:
    """The byte at which each line of `text` starts, and one beyond the end."""
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line.encode()) + 1)
    return starts


def body_start(function: ast.FunctionDef, starts: Sequence[int]) -> int:
    """The byte at which a function's statements start, after its docstring."""
    first = function.body[0]
    return starts[first.end_lineno or 0] if ast.get_docstring(function) else (
        starts[first.lineno - 1])


def numbers_of(node: ast.AST) -> list[ast.Constant]:
    """The number literals below `node` that a kernel may take as arguments."""
    if isinstance(node, ast.Constant):
        number = isinstance(node.value, (int, float)) and not isinstance(node.value, bool)
        return [node] if number and abs(node.value) < 2**62 else []  # type: ignore[arg-type]
    children: Sequence[ast.AST] = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id in FIXED_CALLS:
            children = node.args[:1]
        elif node.func.id.startswith("local_"):
            children = []
        elif node.func.id == "range" and len(node.args) == 3:
            children = node.args[:2]
    return [n for child in children for n in numbers_of(child)]


def _share_group(forms: Sequence[_Form], members: Sequence[int], out: list[Kernel],
                 uses: list[Use | None]) -> None:
    """One kernel for the whole group if few numbers differ, else one per distinct text."""
    columns = list(zip(*(f.numbers for f in forms), strict=True))
    holes = [c for c, column in enumerate(columns) if len(set(map(repr, column))) > 1]
    distinct = list(dict.fromkeys(columns[c] for c in holes))
    mixed = any(len({type(v) for v in column}) > 1 for column in distinct)
    if len(distinct) > MOST or mixed:
        by_numbers: dict[str, int] = {}
        for form, member in zip(forms, members, strict=True):
            key = repr(form.numbers)
            if key not in by_numbers:
                by_numbers[key] = len(out)
                out.append(form.kernel)
            uses[member] = Use(by_numbers[key], ())
        return
    index = len(out)
    out.append(_with_scalars(forms[0], {c: distinct.index(columns[c]) for c in holes}, distinct))
    for row, member in enumerate(members):
        uses[member] = Use(index, tuple(column[row] for column in distinct))


def _with_scalars(form: _Form, holes: dict[int, int], columns: Sequence[Sequence[Any]]) -> Kernel:
    """The kernel with the numbers at `holes` as parameters."""
    kernel = form.kernel
    if not columns:
        return kernel
    words = set(re.findall(r"\w+", kernel.text))
    names, params = [], []
    for i, column in enumerate(columns):
        kind = "f64" if isinstance(column[0], float) else "i64"
        name = f"{'c' if kind == 'f64' else 'n'}{i}"
        while name in words:
            name += "_"
        words.add(name)
        names.append(name)
        params.append(Parameter(name, kind, "scalar"))
    body = form.pieces[0]
    for at, (number, piece) in enumerate(zip(form.numbers, form.pieces[1:], strict=True)):
        body += (names[holes[at]] if at in holes else _literal(number)) + piece
    head = kernel.text[:len(kernel.text) - len(_body_text(form))]
    text = head.replace("chunk):", ", ".join([*names, "chunk):"]), 1) + body
    return replace(kernel, params=(*kernel.params, *params), text=text)


def _body_text(form: _Form) -> str:
    body = form.pieces[0]
    for number, piece in zip(form.numbers, form.pieces[1:], strict=True):
        body += _literal(number) + piece
    return body


def _literal(number: int | float) -> str:
    return "1e999" if number == float("inf") else repr(number)
