"""Einstein sums: a sequence of matmuls over merged axes, in the order of fewest products.

    einsum("bij,bkj->bik", a, b)   ->   matmul(a, transpose(b, (0, 2, 1)))
"""

from __future__ import annotations

import itertools
import math
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe, make
from dlc.ops.contract import MATMUL
from dlc.ops.convert import broadcast_to, cast, factors
from dlc.ops.elementwise import mul
from dlc.ops.reduce import sum_
from dlc.ops.varying import present
from dlc.ops.view import reshape, slice_, transpose

LETTERS = string.ascii_letters
EXHAUSTIVE = 6  # operands up to which every order of contractions is tried


@dataclass(frozen=True)
class Term:
    """An operand with a label for each axis; a label is a letter, or "0", "1" ... of the ellipsis.
    """

    node: Node
    labels: tuple[str, ...]


def einsum(subscripts: Any, *operands: Any) -> Node:
    """NumPy's einsum: labels for each operand's axes, "->" and those of the result.

    einsum("ij,jk->ik", a, b), or with numbers for labels: einsum(a, [0, 1], b, [1, 2], [0, 2]).

    A label repeated within an operand takes its diagonal; labels missing in the result are summed;
    "..." stands for axes that broadcast. Without "->" the result has the labels that occur once, in
    alphabetical order, after the broadcast axes. Axes of size 1 broadcast. Several operands are
    contracted in pairs, in the cheapest order. For bool and small integers the result is i32.
    Raises DlcError naming the invalid label.
    """
    if not isinstance(subscripts, str):
        subscripts, operands = _as_text((subscripts, *operands))
    nodes = factors("einsum", *operands)
    inputs, output = _parse(subscripts, nodes)
    sizes = _sizes(subscripts, inputs, nodes)
    if output is None:
        seen = list(itertools.chain.from_iterable(inputs))
        broadcast = sorted({s for s in seen if s.isdigit()}, key=int, reverse=True)
        output = (*broadcast, *sorted(s for s in set(seen) if s.isalpha() and seen.count(s) == 1))
    _check_output(subscripts, output, sizes)
    wanted = set(output)
    nodes = [present(n, [a for a, label in enumerate(labels) if label not in wanted], 0)
             for n, labels in zip(nodes, inputs, strict=True)]
    terms = [_diagonal(Term(n, labels)) for n, labels in zip(nodes, inputs, strict=True)]
    path = contraction_path([t.labels for t in terms], wanted, sizes)
    for i, j in path:
        first, second = terms[i], terms[j]
        terms = [t for n, t in enumerate(terms) if n not in (i, j)]
        kept = wanted.union(*(t.labels for t in terms))
        terms.append(contract_pair(first, second, kept, sizes))
    return arranged(terms[0], output, sizes)


# --- reading subscripts ---------------------------------------------------------------------------


def _refuse(subscripts: Any, problem: str, hint: str = "") -> DlcError:
    return DlcError(f"einsum({subscripts!r}): {problem}", here(), hint)


def _as_text(mixed: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """Operands and lists of numbers in turn, as subscripts and operands."""
    def word(labels: Any) -> str:
        if not isinstance(labels, (list, tuple)) or not all(
                c is Ellipsis or (isinstance(c, int) and 0 <= c < len(LETTERS)) for c in labels):
            raise _refuse(labels, "neither text nor a list of labels after an operand",
                          'einsum("ij,jk->ik", a, b), or einsum(a, [0, 1], b, [1, 2], [0, 2])')
        return "".join("..." if c is Ellipsis else LETTERS[c] for c in labels)

    count = len(mixed) // 2
    text = ",".join(word(labels) for labels in mixed[1:2 * count:2])
    arrow = f"->{word(mixed[-1])}" if len(mixed) % 2 else ""
    return text + arrow, tuple(mixed[:2 * count:2])


def _parse(subscripts: str, nodes: Sequence[Node]) -> tuple[list[tuple[str, ...]],
                                                            tuple[str, ...] | None]:
    """Labels of each operand, and of the result where they are written."""
    left, arrow, right = "".join(subscripts.split()).partition("->")
    words = left.split(",")
    spans = _spans(subscripts, words, left.replace(",", "") + right, nodes)
    longest = max((s for s, w in zip(spans, words, strict=True) if "..." in w), default=0)
    inputs = [_labels(w, s) for w, s in zip(words, spans, strict=True)]
    if not arrow:
        return inputs, None
    if right.count("...") > 1:
        raise _refuse(subscripts, "the result has two ellipses")
    if longest and "..." not in right:
        raise _refuse(subscripts, "the result lacks the ellipsis that operands have",
                      "write ...; to sum over those axes, name them")
    return inputs, _labels(right, longest)


def _spans(subscripts: str, words: Sequence[str], letters: str, nodes: Sequence[Node]) -> list[int]:
    """How many axes the ellipsis of each operand stands for. Raises DlcError for labels that are
    none of LETTERS, or do not fit the operands."""
    bad = next((c for c in letters.replace("...", "") if c not in LETTERS), None)
    if bad is not None:
        raise _refuse(subscripts, f"{bad!r} is not a label",
                      "labels are letters; ... stands for axes")
    if len(words) != len(nodes) or not nodes:
        raise _refuse(subscripts, f"{len(words)} terms for {len(nodes)} operands",
                      "a comma stands between the operands' labels")
    spans = [n.ndim - len(w.replace("...", "")) for w, n in zip(words, nodes, strict=True)]
    for number, (word, node, span) in enumerate(zip(words, nodes, spans, strict=True)):
        if span < 0 or (span and "..." not in word) or word.count("...") > 1:
            raise _refuse(subscripts, f"the labels {word!r} of operand {number} do not fit "
                          f"{describe(node)}", f"it has {node.ndim} axes, one label each")
    return spans


def _labels(word: str, span: int) -> tuple[str, ...]:
    """One label an axis; the ellipsis counts its axes from the end, so that they align."""
    before, dots, after = word.partition("...")
    middle = tuple(str(i) for i in reversed(range(span))) if dots else ()
    return (*before, *middle, *after)


def _sizes(subscripts: str, inputs: Sequence[tuple[str, ...]],
           nodes: Sequence[Node]) -> dict[str, int]:
    """The extent of each label. Raises DlcError where operands differ on one."""
    sizes: dict[str, int] = {}
    owner: dict[str, int] = {}
    for number, (labels, node) in enumerate(zip(inputs, nodes, strict=True)):
        for axis, label in enumerate(labels):
            size = int(node.shape[axis])
            known = sizes.setdefault(label, size)
            owner.setdefault(label, number)
            if known == 1:
                sizes[label], owner[label] = size, number
            elif size not in (1, known):
                name = f"label {label!r}" if label.isalpha() else f"axis {axis} (of the ellipsis)"
                raise _refuse(subscripts, f"{name} is {known} in operand {owner[label]} "
                              f"({describe(nodes[owner[label]])}) and {size} in operand {number} "
                              f"({describe(node)})", "an axis of one label has one size")
    return sizes


def _check_output(subscripts: str, output: Sequence[str], sizes: Mapping[str, int]) -> None:
    for label in output:
        if label not in sizes and label.isalpha():
            raise _refuse(subscripts, f"label {label!r} of the result stands in no operand",
                          f"operands have {', '.join(sorted(sizes))}")
        if list(output).count(label) > 1:
            raise _refuse(subscripts, f"label {label!r} stands twice in the result")


# --- one operand, two operands --------------------------------------------------------------------


def _diagonal(term: Term) -> Term:
    """The term with each label once: axes of a repeated one become their diagonal."""
    node, labels = term.node, list(term.labels)
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            i = labels.index(label)
            j = labels.index(label, i + 1)
            node = _merged_diagonal(node, i, j)
            labels.pop(j)
    return Term(node, tuple(labels))


def _merged_diagonal(x: Node, i: int, j: int) -> Node:
    """x without axis j, at equal indices along i and j; an axis of size 1 is read whole."""
    if x.shape[i] == 1 or x.shape[j] == 1:
        short, long = (i, j) if x.shape[i] == 1 else (j, i)
        order = [a for a in range(x.ndim) if a not in (i, j)]
        order.insert(i, long)
        shape = [x.shape[a] for a in order]
        return reshape(transpose(x, (short, *order)), shape)
    rest = [a for a in range(x.ndim) if a not in (i, j)]
    n = int(x.shape[i])
    lead = tuple(x.shape[a] for a in rest)
    flat = reshape(transpose(x, (*rest, i, j)), (*lead, n * n))
    # n + 1 elements from one place of the diagonal to the next
    picked = slice_(flat, (0,) * flat.ndim, tuple(map(int, flat.shape)),
                    (*(1,) * len(rest), n + 1)) if n else reshape(flat, (*lead, 0))
    order = list(range(len(rest)))
    order.insert(i, len(rest))
    return transpose(picked, order)


def _summed(term: Term, kept: set[str] | frozenset[str]) -> Term:
    axes = [a for a, label in enumerate(term.labels) if label not in kept]
    if not axes:
        return term
    return Term(cast(sum_(term.node, axes), term.node.dtype),
                tuple(label for label in term.labels if label in kept))


def contract_pair(a: Term, b: Term, kept: set[str], sizes: Mapping[str, int]) -> Term:
    """The product of two terms, summed over the labels that nobody wants afterwards."""
    # an axis that broadcasts is not an axis of that operand
    a, b = _without_ones(a, sizes), _without_ones(b, sizes)
    a, b = _summed(a, kept | set(b.labels)), _summed(b, kept | set(a.labels))
    shared = [s for s in a.labels if s in b.labels]
    batch = [s for s in shared if s in kept]
    inner = [s for s in shared if s not in kept]
    rows = [s for s in a.labels if s not in shared]
    cols = [s for s in b.labels if s not in shared]
    # a matrix times a vector is a sum over what is read once anyway; halves must not be rounded
    thin = not rows or not cols
    if not inner or not a.node.dtype.is_float or (thin and a.node.dtype.bytes >= 4):
        return _product(a, b, [*batch, *rows, *cols], inner, sizes)
    left = _grouped(a, (batch, rows, inner), sizes)
    right = _grouped(b, (batch, inner, cols), sizes)
    y = make(MATMUL, (left, right)) if batch else make(MATMUL, (
        reshape(left, left.shape[1:]), reshape(right, right.shape[1:])))
    labels = (*batch, *rows, *cols)
    return Term(reshape(y, tuple(sizes[s] for s in labels)), labels)


def _without_ones(term: Term, sizes: Mapping[str, int]) -> Term:
    """The term without axes of size 1 that stand for a longer one."""
    keep = [a for a, s in enumerate(term.labels) if int(term.node.shape[a]) == sizes[s]]
    node = reshape(term.node, tuple(term.node.shape[a] for a in keep))
    return Term(node, tuple(term.labels[a] for a in keep))


def _grouped(term: Term, groups: Sequence[Sequence[str]], sizes: Mapping[str, int]) -> Node:
    """The node with one axis for each group of labels."""
    order = [label for group in groups for label in group]
    x = transpose(term.node, tuple(term.labels.index(s) for s in order))
    return reshape(x, tuple(math.prod(sizes[s] for s in group) for group in groups))


def _product(a: Term, b: Term, out: Sequence[str], inner: Sequence[str],
             sizes: Mapping[str, int]) -> Term:
    """Element by element, then summed: outer products, and integers."""
    labels = (*out, *inner)
    y = mul(_spread(a, labels, sizes), _spread(b, labels, sizes))
    return _summed(Term(y, labels), frozenset(out))


def _spread(term: Term, labels: Sequence[str], sizes: Mapping[str, int]) -> Node:
    """The node with axes of size 1 for labels that it lacks."""
    own = [s for s in labels if s in term.labels]
    x = transpose(term.node, tuple(term.labels.index(s) for s in own))
    return reshape(x, tuple(sizes[s] if s in own else 1 for s in labels))


def arranged(term: Term, output: Sequence[str], sizes: Mapping[str, int]) -> Node:
    """The term's node with the axes of `output`: summed, transposed and repeated to that."""
    term = _summed(term, frozenset(output))
    x = transpose(term.node, tuple(term.labels.index(s) for s in output if s in term.labels))
    kept = [s for s in output if s in term.labels]
    x = reshape(x, tuple(x.shape[kept.index(s)] if s in kept else 1 for s in output))
    return broadcast_to(x, tuple(sizes.get(s, 1) for s in output))


# --- the order ------------------------------------------------------------------------------------


def contraction_path(terms: Sequence[Sequence[str]], output: set[str],
                     sizes: Mapping[str, int]) -> list[tuple[int, int]]:
    """Pairs of positions, in order; a pair leaves the list and its product joins at the end.

    Fewest products over all orders up to `EXHAUSTIVE` operands, beyond that greedily by what a
    pair costs less what it frees (Smith and Gray 2018, opt_einsum).
    """
    sets = [frozenset(t) for t in terms]
    if len(sets) <= EXHAUSTIVE:
        return _best(tuple(sets), frozenset(output), sizes, {})[1]
    path = []
    while len(sets) > 1:
        i, j = min(itertools.combinations(range(len(sets)), 2),
                   key=lambda p: _greed(sets, p, output, sizes))
        path.append((i, j))
        sets = _after(sets, i, j, output)
    return path


def _after(sets: Sequence[frozenset[str]], i: int, j: int,
           output: set[str] | frozenset[str]) -> list[frozenset[str]]:
    rest = [s for n, s in enumerate(sets) if n not in (i, j)]
    return [*rest, (sets[i] | sets[j]) & frozenset(output).union(*rest)]


def _cost(labels: frozenset[str], sizes: Mapping[str, int]) -> int:
    return math.prod(sizes[s] for s in labels)


def _greed(sets: Sequence[frozenset[str]], pair: tuple[int, int], output: set[str],
           sizes: Mapping[str, int]) -> tuple[int, int]:
    i, j = pair
    made = _cost(_after(sets, i, j, output)[-1], sizes)
    return (made - _cost(sets[i], sizes) - _cost(sets[j], sizes), _cost(sets[i] | sets[j], sizes))


def _best(sets: tuple[frozenset[str], ...], output: frozenset[str], sizes: Mapping[str, int],
          known: dict[Any, Any]) -> tuple[int, list[tuple[int, int]]]:
    """(products, path) of the cheapest order; ties go to the order of the operands."""
    if len(sets) < 2:
        return 0, []
    if sets in known:
        found: tuple[int, list[tuple[int, int]]] = known[sets]
        return found
    options = []
    for i, j in itertools.combinations(range(len(sets)), 2):
        cost, path = _best(tuple(_after(sets, i, j, output)), output, sizes, known)
        options.append((cost + _cost(sets[i] | sets[j], sizes), [(i, j), *path]))
    best = known[sets] = min(options, key=lambda option: option[0])
    return best
