"""From fused groups to a Program: the kernel IR, its lowering, and the kernels' text."""
