"""What NumPy, JAX or PyTorch have and dlc does not, with the reason; shown by `dlc ops`."""

from __future__ import annotations

LEFT_OUT = {
    "complex numbers, fft": "no network of the textbooks trains on them; no dtype of dlc is "
                            "complex",
    "nonzero, unique, x[x > 0]": "the result's shape would depend on data, and memory is known "
                                "before the first step; where(mask, x, other) keeps the shape",
    "x[i] = v": "no stores: x.at[i].set(v) is a new value",
    "eig, schur": "eigenvalues of matrices that are not symmetric are complex; eigh, svd and qr "
                  "are there",
    "convolutions of integers": "networks convolve floats: cast pixels to f32, which holds "
                                "integers exactly up to 2**24",
    "x.at[i].apply(f)": "x.at[i].set(f(x[i])) where places differ; add, multiply, divide, power, "
                        "max and min fold all values of a place",
    'x.at[i].set(v, mode="drop")': "an index out of range stops the step; x padded by a spare "
                                   "element takes what would be dropped",
    "sparse arrays": "take, scatter and segment_sum say what training needs of them",
    "strings, dates, objects": "arrays hold numbers",
    "while_loop without bound": "memory is known before the first step: give bound=N",
    "host callbacks": "no Python runs between two steps; dlc.custom_op compiles a function of "
                      "yours into the step",
}
