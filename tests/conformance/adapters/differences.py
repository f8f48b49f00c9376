"""Input that torch refuses and dlc takes, each with the reason."""

from __future__ import annotations

NUMBERS = "torch wants a tensor: dlc's operators take Python numbers"
OUT = "out=: dlc has no stores"
OWN = "dlc has no such operator, and the argument never reaches it: the adapter computes with it"
WORD = "reduction= is torch's way to say what follows; dlc writes mean(x) or sum(x)"
COMPUTED = "a place computed at run time changes no shape: dlc's slices are constant"
DIFFERENCES = {case: reason for reason, listed in {
    OWN: """isclose-0 isclose-1 movedim-0 movedim-1 movedim-3 movedim-6 movedim-8 rot90-0 rot90-2
        roll-0 roll-1 roll-2 roll-3 hsplit-0 hsplit-1 vsplit-0 vsplit-1 dsplit-0 dsplit-1
        diagonal-1 diagonal-2 diagonal-4 diagonal-5 diagonal_copy-1 diagonal_copy-2 diagonal_copy-4
        diagonal_copy-5 linalg.diagonal-1 linalg.diagonal-2 linalg.diagonal-4 linalg.diagonal-5
        trace-0 diff-0 gather-2 gather-3 nn.functional.hardtanh-0 nn.functional.softshrink-0
        nn.functional.gelu-0 nn.functional.prelu-0 nn.functional.prelu-2
        nn.functional.huber_loss-1 nn.functional.huber_loss-2
        nn.functional.group_norm-0 nn.functional.rms_norm-0 nn.functional.rms_norm-2""",
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
