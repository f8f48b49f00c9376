"""Input that torch refuses and dlc takes, each with the reason."""

from __future__ import annotations

NUMBERS = "torch wants a tensor: dlc's operators take Python numbers"
OUT = "out=: dlc has no stores"
OWN = "dlc has no such operator, and the argument never reaches it: the adapter computes with it"
WORD = "reduction= is torch's way to say what follows; dlc writes mean(x) or sum(x)"
COMPUTED = "a place computed at run time changes no shape: dlc's slices are constant"
DIFFERENCES = {case: reason for reason, listed in {
    OWN: """diff-0 nn.functional.hardtanh-0 nn.functional.softshrink-0
        nn.functional.gelu-0 nn.functional.prelu-0 nn.functional.prelu-2
        nn.functional.huber_loss-1 nn.functional.huber_loss-2
        nn.functional.group_norm-0 nn.functional.rms_norm-0 nn.functional.rms_norm-2 renorm-0""",
    "no shifts move nothing": "roll-0",
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
    WORD: """nn.functional.l1_loss-0 nn.functional.huber_loss-0 nn.functional.hinge_embedding_loss-0
        nn.functional.soft_margin_loss-0 nn.functional.poisson_nll_loss-0
        nn.functional.margin_ranking_loss-0 nn.functional.gaussian_nll_loss-0""",
    COMPUTED: "narrow-7 narrow-8",
    "where() broadcasts its values": "masked_fill-0",
    "the mean of integers is f32": "mean-0 mean-1",
    "f32 with f64 is f64": "scatter_add-0",
    "negative padding of a convolution cuts, as in JAX": "nn.functional.conv3d-3",
    "'same' with a stride gives size / stride, as in JAX": "nn.functional.conv3d-9",
    "a table may have any rank": "nn.functional.embedding-1",
}.items() for case in listed.split()}

# Names of training_operators.txt without an adapter, by reason.
LEFT_OUT = {name: reason for reason, listed in {
    "random: two libraries draw two arrays; tests/random holds dlc's to their distributions": """
        bernoulli normal rand_like randn_like uniform nn.functional.alpha_dropout
        nn.functional.rrelu""",
    "its samples are complex-valued or defined up to a sign per vector, so PyTorch's first sample "
    "wraps the operator: tests/ops hold dlc.linalg's by the products they must give": """
        linalg.eigh linalg.svd linalg.lstsq""",
}.items() for name in listed.split()}
