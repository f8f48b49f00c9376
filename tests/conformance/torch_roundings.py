"""PyTorch's f32 with other roundings: each computed element moved by up to a unit.

Monte Carlo arithmetic (Parker 1997): how far the results move says how much the rounding of
intermediate values matters, which one run, whose roundings may be lucky, does not.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

# What copies or moves elements rounds nothing.
EXACT = frozenset((
    "clone", "_to_copy", "cat", "stack", "index", "index_select", "gather", "where", "flip", "roll",
    "constant_pad_nd", "masked_fill", "embedding", "neg", "abs", "relu", "threshold_backward",
    "max", "min", "amax", "amin", "maximum", "minimum", "clamp", "zeros_like", "ones_like",
    "full_like", "empty_like", "new_zeros", "new_empty", "repeat", "copy", "lift_fresh"))


class OtherRoundings(TorchDispatchMode):
    """Within it each f32 that an operator computes is moved by -1, 0 or 1 units, at random."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.rng = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        exact = func.overloadpacket.__name__ in EXACT or func.is_view or not any(
            isinstance(a, (torch.Tensor, list, tuple)) for a in args)
        if exact or any(r.alias_info is not None for r in func._schema.returns):
            return found
        return tree_map(self.moved, found)

    def moved(self, x: Any) -> Any:
        """`x` with its finite elements moved, if it is a tensor of f32."""
        if not isinstance(x, torch.Tensor) or x.dtype != torch.float32:
            return x
        units = torch.randint(-1, 2, x.shape, generator=self.rng)
        to = torch.where(units > 0, torch.inf, -torch.inf).to(x.dtype)
        moves = (units != 0) & torch.isfinite(x) & (x != 0)
        return torch.where(moves, torch.nextafter(x, to), x)
