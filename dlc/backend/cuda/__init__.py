"""The CUDA target: how kernels over parallel axes become grids of threads (docs/design/cuda.md)."""
