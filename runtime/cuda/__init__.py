"""CUDA programs outside a GPU: PTX of kernels, machine code, which devices there are."""
