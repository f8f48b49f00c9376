"""Optimizers as values, clipping, and the schedules beside them.

A rule gives the new value of one parameter in a few operators; the task predicates and stores it.
Names that PyTorch has too mean exactly what they mean there.
"""

from dlc.optim.adam import adam, adamax, adamw, nadam, radam
from dlc.optim.adaptive import adadelta, adagrad, rmsprop
from dlc.optim.clipping import clip_by_norm, clip_by_value
from dlc.optim.combined import (
    accumulate,
    average,
    by_name,
    constrain,
    max_norm,
    non_negative,
    unit_norm,
)
from dlc.optim.descent import momentum, nesterov, sgd
from dlc.optim.hessian_free import hessian_free
from dlc.optim.layerwise import lamb, lion, muon
from dlc.optim.lbfgs import lbfgs
from dlc.optim.learning_rate import (
    constant,
    cosine,
    exponential,
    one_cycle,
    piecewise,
    plateau,
    step_decay,
    warmup,
)
from dlc.optim.optimizer import Optimizer, Slot
from dlc.words import speaking

__all__ = ["Optimizer", "Slot", "accumulate", "adadelta", "adagrad", "adam", "adamax", "adamw",
           "average", "by_name", "clip_by_norm", "clip_by_value", "constant", "constrain", "cosine",
           "exponential", "hessian_free", "lamb", "lbfgs", "lion", "max_norm", "momentum", "muon",
           "nadam", "nesterov", "non_negative", "one_cycle", "piecewise", "plateau", "radam",
           "rmsprop", "sgd", "step_decay", "unit_norm", "warmup"]

# those that stand for themselves, in the order in which they are told
NAMES = ("sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamw", "adamax",
         "nadam", "radam", "lion", "lamb", "muon", "lbfgs", "hessian_free")


speaking("optim", globals(), __all__)
