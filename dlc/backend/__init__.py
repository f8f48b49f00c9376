"""The loop-level IR: from fused groups to kernels (grammar in docs/ir.md)."""
