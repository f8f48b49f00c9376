"""The records of ordinary operators, each whole in one place: an import registers them."""

from dlc.ops import (
    argsort,
    collective,
    contract,
    convert,
    cumulative,
    elementwise,
    elementwise_bits,
    elementwise_special,
    gather,
    leaf,
    linalg_exp,
    linalg_factor,
    linalg_qr,
    linalg_solve,
    linalg_spectral,
    reduce,
    scatter,
    scatter_onto,
    searchsorted,
    tuples,
    view,
    window,
)

__all__ = ["argsort", "collective", "contract", "convert", "cumulative", "elementwise",
           "elementwise_bits", "elementwise_special", "gather", "leaf", "linalg_exp",
           "linalg_factor", "linalg_qr", "linalg_solve", "linalg_spectral", "reduce", "scatter",
           "scatter_onto", "searchsorted", "tuples", "view", "window"]
