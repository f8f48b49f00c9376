"""Optimizers as text: what `--set optimizer=` takes."""

from __future__ import annotations

import ast
from typing import Any

from dlc import optim
from dlc.errors import DlcError, nearest
from dlc.optim.optimizer import Optimizer


def from_text(text: str) -> Optimizer:
    """The optimizer that `text` writes as in Python: adam, adam(1e-3, b1=0.8),
    lion(cosine(1e-4), clip=clip_by_norm(1.0)). Names are those of dlc.optim, arguments numbers and
    calls of these; a name alone has its own default rate. Raises DlcError for anything else.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as problem:
        raise DlcError(f"optimizer={text} is not an expression of Python ({problem.msg})", None,
                       "e.g. optimizer=adam, or 'optimizer=lion(cosine(1e-4))'") from None
    try:
        found = value(tree if isinstance(tree, ast.Call) else ast.Call(tree, [], []))
    except (TypeError, ValueError) as problem:
        raise DlcError(f"optimizer={text}: {problem}", None, "as in Python") from None
    if not isinstance(found, Optimizer):
        raise DlcError(f"optimizer={text} is not an optimizer", None,
                       f"there are {', '.join(optim.NAMES)}")
    return found


def value(tree: ast.expr) -> Any:
    """What an expression means: a call of dlc.optim's, a number, or a tuple or dict of these."""
    if isinstance(tree, ast.Call):
        arguments = [value(a) for a in tree.args]
        return called(tree.func)(*arguments, **{k.arg: value(k.value) for k in tree.keywords
                                                if k.arg is not None})
    if isinstance(tree, (ast.Tuple, ast.List)):
        return tuple(map(value, tree.elts))
    if isinstance(tree, ast.Dict):
        return {value(k): value(v) for k, v in zip(tree.keys, tree.values, strict=True)
                if k is not None}
    return ast.literal_eval(tree)


def called(tree: ast.expr) -> Any:
    """The function of dlc.optim that is called: adam, or optim.adam."""
    if isinstance(tree, ast.Attribute) and ast.unparse(tree.value) == "optim":
        tree = ast.Name(tree.attr)
    name = ast.unparse(tree)
    known = [n for n in optim.__all__ if n[0].islower()]
    if name not in known:
        raise DlcError(f"optimizer: there is no {name!r}{nearest(name, known)}", None,
                       f"there are {', '.join(known)}")
    return getattr(optim, name)
