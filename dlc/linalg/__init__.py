"""dlc.linalg: linear algebra with NumPy's names, batched over leading axes, differentiable.

Everything takes [..., m, n] in f32 or f64 (half precisions compute in f32, integers become f32).
Matrices that have no answer (singular, not positive definite) give NaN or infinity, and a check
beside them stops the step with the user's line, as with indices.
"""

from __future__ import annotations

from typing import Any

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe, make
from dlc.ir.types import f32
from dlc.lang.array.products import cross, multi_dot, outer
from dlc.linalg.basis import completed
from dlc.linalg.det import determinant
from dlc.linalg.norms import cond, matrix_norm, norm, vector_norm
from dlc.ops.contract import matmul, swap
from dlc.ops.convert import as_node, as_nodes, broadcast_to, cast, common_type
from dlc.ops.elementwise import and_, isfinite, not_, where
from dlc.ops.gather import note_check
from dlc.ops.linalg_exp import EXPM
from dlc.ops.linalg_factor import CHOLESKY, solve_triangle
from dlc.ops.linalg_qr import qr_of_tall
from dlc.ops.linalg_solve import SLOGDET, SOLVE, identity_like
from dlc.ops.linalg_spectral import eigh_of, svd_of
from dlc.ops.reduce import all_, max_
from dlc.ops.view import concat, narrow, pad, reshape
from dlc.words import speaking

__all__ = ["cholesky", "cholesky_solve", "cond", "cross", "det", "eigh", "eigvalsh", "expm", "inv",
           "lstsq", "matrix_norm", "matrix_power", "multi_dot", "norm", "outer", "pinv", "qr",
           "slogdet", "solve", "solve_triangular", "svd", "svdvals", "vector_norm"]


def _matrices(what: str, x: Any, square: bool = False) -> Node:
    """`x` as float matrices. Raises DlcError for anything else."""
    node = as_node(x)
    node = node if node.dtype.is_float else cast(node, f32)
    if node.ndim < 2:
        raise DlcError(f"{what}({describe(node)}): no matrix", here(), "it needs [..., m, n]")
    if square and int(node.shape[-1]) != int(node.shape[-2]):
        raise DlcError(f"{what}({describe(node)}): the matrices are not square", here(),
                       "the last two axes must be equal")
    return node


def _fails(x: Node, given: Node, text: str) -> None:
    """Stop the step where x is not finite although `given` is."""
    note_check(and_(not_(all_(isfinite(x))), all_(isfinite(given))), text)


def _symmetric(a: Node) -> Node:
    return (a + swap(a)) * 0.5


def cholesky(a: Any, upper: bool = False) -> Node:
    """Lower L [..., n, n] with L L^T = a (upper: U with U^T U = a), of (a + a^T) / 2.

    Stops the step when a matrix is not positive definite. Gradient: Murray 2016.
    """
    node = _matrices("cholesky", a, square=True)
    low = make(CHOLESKY, (_symmetric(node),))
    _fails(low, node, f"cholesky({describe(node)}): a matrix is not positive definite")
    return swap(low) if upper else low


def solve_triangular(a: Any, b: Any, *, lower: bool = False, trans: bool = False,
                     unit_diagonal: bool = False) -> Node:
    """x with a x = b for the upper (or lower) triangle of a; `trans` solves a^T x = b.

    a [..., n, n], b [n] or [..., n, k]; leading axes broadcast. SciPy's defaults.
    """
    x, y, vector = _system("solve_triangular", a, b)
    found = solve_triangle(x, y, lower, trans, unit_diagonal)
    _fails(found, x, f"solve_triangular({describe(as_node(a))}): a zero on the diagonal")
    return reshape(found, found.shape[:-1]) if vector else found


def _system(what: str, a: Any, b: Any) -> tuple[Node, Node, bool]:
    """Operands of one dtype and equal leading axes, and whether b is a vector."""
    x, y = _sides(what, a, b, square=True)
    vector = y.ndim == 1
    y = reshape(y, (*y.shape, 1)) if vector else y
    if y.ndim < 2 or int(y.shape[-2]) != int(x.shape[-1]):
        raise DlcError(f"{what}({describe(x)}, {describe(as_node(b))}): the right side does not "
                       "fit", here(), f"it needs {int(x.shape[-1])} rows")
    x, y = _same_lead(what, x, y)
    return x, y, vector


def _sides(what: str, a: Any, b: Any, square: bool = False) -> tuple[Node, Node]:
    """Matrices and a right side as floats of one dtype."""
    x, y = as_nodes(a, b)
    x, y = common_type(what, _matrices(what, x, square), y if y.dtype.is_float else cast(y, f32))
    return x, y


def _same_lead(what: str, x: Node, y: Node) -> tuple[Node, Node]:
    """Both with the leading axes that theirs broadcast to."""
    rank = max(x.ndim, y.ndim) - 2
    left = (1,) * (rank + 2 - x.ndim) + tuple(map(int, x.shape[:-2]))
    right = (1,) * (rank + 2 - y.ndim) + tuple(map(int, y.shape[:-2]))
    if any(i != j and 1 not in (i, j) for i, j in zip(left, right, strict=True)):
        raise DlcError(f"{what}({describe(x)}, {describe(y)}): leading axes do not broadcast",
                       here())
    lead = tuple(i if j == 1 else j for i, j in zip(left, right, strict=True))
    return (broadcast_to(x, (*lead, *x.shape[-2:])), broadcast_to(y, (*lead, *y.shape[-2:])))


def cholesky_solve(factor: Any, b: Any) -> Node:
    """x with L L^T x = b for the lower factor L [..., n, n] that `cholesky` gives."""
    middle = solve_triangular(factor, b, lower=True)
    return solve_triangular(factor, middle, lower=True, trans=True)


def solve(a: Any, b: Any) -> Node:
    """x with a x = b, by LU with partial pivoting; a [..., n, n], b [n] or [..., n, k].

    Stops the step when a matrix is singular.
    """
    x, y, vector = _system("solve", a, b)
    found = make(SOLVE, (x, y), trans=False)
    _fails(found, x, f"solve({describe(as_node(a))}): a matrix is singular")
    return reshape(found, found.shape[:-1]) if vector else found


def inv(a: Any) -> Node:
    """The inverse of a [..., n, n]; stops the step when a matrix is singular."""
    node = _matrices("inv", a, square=True)
    found = make(SOLVE, (node, identity_like(node)), trans=False)
    _fails(found, node, f"inv({describe(node)}): a matrix is singular")
    return found


def slogdet(a: Any) -> tuple[Node, Node]:
    """(sign, log |det a|) of a [..., n, n], each [...]; (0, -inf) for a singular matrix, where the
    logarithm has no gradient."""
    from dlc.ops.tuples import item

    node = make(SLOGDET, (_matrices("slogdet", a, square=True),))
    return item(node, 0), item(node, 1)


def det(a: Any) -> Node:
    """The determinant [...] of a [..., n, n]; its gradient, the cofactors, exists at singular
    matrices too."""
    return determinant(_matrices("det", a, square=True))


def qr(a: Any, mode: str = "reduced") -> Any:
    """(q [..., m, k], r [..., k, n]) with k = min(m, n) by Householder; mode "r": r alone, mode
    "complete": k = m.

    The signs are LAPACK's. The gradient (Walter & Lehmann 2018) needs linearly independent columns
    among the first min(m, n).
    """
    if mode not in ("reduced", "complete", "r"):
        raise DlcError(f"qr: mode {mode!r}", here(), 'modes are "reduced", "complete" and "r"')
    node = _matrices("qr", a)
    m, n = map(int, node.shape[-2:])
    if m >= n:
        q, r = qr_of_tall(node)
    else:
        q, left = qr_of_tall(narrow(node, node.ndim - 1, 0, m))
        rest = narrow(node, node.ndim - 1, m, n - m)
        r = concat([left, matmul(swap(q), rest)], axis=node.ndim - 1)
    if mode == "complete" and m > n:
        ahead = (0,) * r.ndim
        return completed(q), pad(r, ahead, (*ahead[2:], m - n, 0))
    return r if mode == "r" else (q, r)


def eigh(a: Any) -> tuple[Node, Node]:
    """(values [..., n] ascending, vectors [..., n, n] in columns) of (a + a^T) / 2.

    Jacobi rotations: meant for small matrices. A vector's component of largest magnitude is
    positive. The gradient of vectors needs distinct values (Giles 2008, 3.1).
    """
    return eigh_of(_symmetric(_matrices("eigh", a, square=True)))


def eigvalsh(a: Any) -> Node:
    """The eigenvalues [..., n] of (a + a^T) / 2, ascending; differentiable where they coincide."""
    return eigh(a)[0]


def svd(a: Any, full_matrices: bool = False) -> tuple[Node, Node, Node]:
    """(u [..., m, k], s [..., k] descending, v^T [..., k, n]) with k = min(m, n); `full_matrices`
    gives u [..., m, m] and v^T [..., n, n].

    The component of largest magnitude in each column of u (of v where m < n) is positive. The
    gradient of vectors needs distinct singular values that are not 0 (Townsend 2016).
    """
    u, s, vh = svd_of(_matrices("svd", a))
    return (completed(u), s, swap(completed(swap(vh)))) if full_matrices else (u, s, vh)


def svdvals(a: Any) -> Node:
    """The singular values [..., min(m, n)] of a [..., m, n], descending."""
    return svd(a)[1]


def pinv(a: Any, rcond: Any = None) -> Node:
    """The pseudo-inverse [..., n, m] of a [..., m, n]: singular values up to `rcond` (max(m, n)
    times the dtype's precision) of the largest count as 0. `rcond` is a number, or an array that
    broadcasts to [...]."""
    a, *given = as_nodes(a) if rcond is None else as_nodes(a, rcond)
    u, s, vh = svd(a)
    if not s.shape[-1]:
        return matmul(swap(vh), swap(u))
    precision = {"f64": 2.0 ** -52, "f32": 2.0 ** -23, "f16": 2.0 ** -10, "bf16": 2.0 ** -7}
    size = max(int(u.shape[-2]), int(vh.shape[-1]))
    cut = reshape(given[0], (*given[0].shape, 1)) if given else size * precision[s.dtype.name]
    kept = s > cut * max_(s, axis=-1, keepdims=True)
    inverse = where(kept, 1.0 / where(kept, s, 1.0), 0.0)
    return matmul(swap(vh) * reshape(inverse, (*s.shape[:-1], 1, s.shape[-1])), swap(u))


def lstsq(a: Any, b: Any) -> Node:
    """x that minimizes |a x - b|, by QR; if there are several, the one of least norm.

    a [..., m, n] of full rank, b [m] or [..., m, k]. Stops the step when the columns of a (the rows
    where m < n) are linearly dependent; pinv(a) @ b is the solution then.
    """
    node, right = _sides("lstsq", a, b)
    vector = right.ndim == 1
    right = reshape(right, (*right.shape, 1)) if vector else right
    if right.ndim < 2 or int(right.shape[-2]) != int(node.shape[-2]):
        raise DlcError(f"lstsq({describe(node)}, {describe(as_node(b))}): the right side does not "
                       "fit", here(), f"it needs {int(node.shape[-2])} rows")
    if int(node.shape[-2]) >= int(node.shape[-1]):
        q, r = qr_of_tall(node)
        found = solve_triangle(*_same_lead("lstsq", r, matmul(swap(q), right)), lower=False)
        which = "columns"
    else:
        q, r = qr_of_tall(swap(node))
        found = matmul(q, solve_triangle(*_same_lead("lstsq", r, right), lower=False, trans=True))
        which = "rows"
    _fails(found, node, f"lstsq({describe(node)}): the {which} are linearly dependent")
    return reshape(found, found.shape[:-1]) if vector else found


def matrix_power(a: Any, n: int) -> Node:
    """a [..., m, m] times itself n times, by repeated squaring; n < 0: of the inverse."""
    node = _matrices("matrix_power", a, square=True)
    if not isinstance(n, int) or isinstance(n, bool):
        raise DlcError(f"matrix_power: power {n!r}", here(), "the power is an int")
    base, left = (inv(node), -n) if n < 0 else (node, n)
    found: Node | None = None
    while left:
        if left & 1:
            found = base if found is None else matmul(found, base)
        left >>= 1
        base = matmul(base, base) if left else base
    return identity_like(node) if found is None else found


def expm(a: Any) -> Node:
    """The matrix exponential of a [..., n, n], by scaling and squaring."""
    return make(EXPM, (_matrices("expm", a, square=True),))


speaking("linalg", globals(), __all__)
