"""A network whose loss is not finite where a row holds a zero; the second column numbers the rows.
"""

from __future__ import annotations

from typing import Any

import dlc
from dlc import f32, optim


@dlc.task(optimizer=optim.sgd(0.001), batch=8, micro_batches=4)
def spoilt(x: f32["batch", 2]) -> Any:
    w = dlc.parameter("w", f32[()], dlc.init.constant(1.0))
    return dlc.loss((dlc.log(x[:, 0]) * w).mean())
