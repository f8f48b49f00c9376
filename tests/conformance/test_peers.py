"""The eight networks of the benchmark follow PyTorch for 20 steps, from its weights.

In f64 within 1e-6; in f32 within 1e-4, the two deep convolutional networks within three times
PyTorch's own difference between f32 and f64. Full sizes; those of the day.
"""

from __future__ import annotations

import pytest
import torch

from dlc import f32, f64
from dlc.models.peers import NETWORKS
from tests.conformance.cut import chosen
from tests.conformance.peers import STEPS, by_dlc, by_torch

pytestmark = pytest.mark.conformance
DEEP = ("vgg", "resnet18")


@pytest.mark.parametrize("name", chosen("peers followed", list(NETWORKS)))
def test_twenty_steps(name: str) -> None:
    """Each loss, and all parameters after the last step; in f64 each parameter by its largest
    element. In f32 Adam moves a parameter whose gradient is rounding alone by whole rates, in any
    direction, and no loss tells: so those are compared together."""
    wide, ours = by_torch(name, torch.float64), by_dlc(name, f64)
    loss, rest = ours.from_(wide)
    worst, which = ours.worst(wide)
    print(f"{name} in f64, {STEPS} steps: loss {loss:.1e}, {which} {worst:.1e}")
    assert max(loss, rest, worst) < 1e-6
    peer, narrow = by_torch(name, torch.float32), by_dlc(name, f32)
    own, found = peer.from_(wide), narrow.from_(wide)
    print(f"{name} in f32: loss {found[0]:.1e} and parameters {found[1]:.1e} from f64, "
          f"PyTorch's own {own[0]:.1e} and {own[1]:.1e}")
    if name in DEEP:
        assert found[0] <= 3 * own[0] and found[1] <= 3 * own[1]
    else:
        assert max(narrow.from_(peer)) < 1e-4
