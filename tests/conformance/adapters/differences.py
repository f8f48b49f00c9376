"""Input that torch refuses and dlc takes, each with the reason."""

from __future__ import annotations

NUMBERS = "torch wants a tensor: dlc's operators take Python numbers"
OUT = "out=: dlc has no stores"
DIFFERENCES = {case: reason for reason, listed in {
    "gelu and gelu_tanh are two functions": "nn.functional.gelu-0",
    "dlc has no renorm: the adapter computes it": "renorm-0",
    "no shifts move nothing": "roll-0",
    "the layer makes its weight itself, of the input's size": """nn.functional.rms_norm-1
        nn.functional.rms_norm-2 nn.functional.prelu-1 nn.functional.prelu-2""",
    "matrix_trace and searchsorted take batches": "trace-0 bucketize-0",
    "a range against its step is empty, as NumPy's": "arange-1 arange-2 arange-3",
    "the operands of cross() broadcast": "linalg.cross-1",
    "what is written takes the array's dtype, as in NumPy": "scatter-0",
    "padding of more than half a window is fine while none is hidden": """
        nn.functional.max_pool1d-2 nn.functional.max_pool1d-14""",
    "adaptive pools take any leading axes": """nn.functional.adaptive_avg_pool2d-0
        nn.functional.adaptive_avg_pool3d-0 nn.functional.adaptive_max_pool2d-0
        nn.functional.adaptive_max_pool3d-0""",
    "of no channels there are no maxima": """nn.functional.max_pool1d-5 nn.functional.max_pool1d-17
        nn.functional.max_pool3d-4""",
    "where() broadcasts its values": "masked_fill-0",
    "the mean of integers is f32": "mean-0 mean-1",
    "f32 with f64 is f64": "scatter_add-0",
    "negative padding of a convolution cuts, as in JAX": "nn.functional.conv3d-3",
    "'same' with a stride gives size / stride, as in JAX": "nn.functional.conv3d-9",
    "a table may have any rank": "nn.functional.embedding-1",
}.items() for case in listed.split()}
