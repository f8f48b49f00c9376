"""A task of the report's tests: whether a digit is drawn with a closed loop, yes or no."""

from __future__ import annotations

import dlc
from dlc import f32, nn, optim
from dlc.runtime.data import load_dataset

ROUND = (0, 6, 8, 9)
digits = load_dataset("digits8")


def rounds(part: dict) -> dict:
    """The pictures of a part, and 1 for those with a loop."""
    loop = sum(part["label"] == digit for digit in ROUND)
    return {"image": part["image"], "loop": loop.astype("float32")}


line = nn.chain(nn.flatten, nn.dense(1))


@dlc.task(data=(rounds(digits.train), rounds(digits.test)), optimizer=optim.adam(3e-3), batch=64,
          epochs=15)
def is_round(image: f32["batch", 1, 8, 8], loop: f32["batch"]) -> dlc.Loss:
    logit = line(image)[:, 0]
    return dlc.loss(nn.binary_cross_entropy_with_logits(logit, loop),
                    accuracy=nn.binary_accuracy(logit, loop))
