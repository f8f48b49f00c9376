"""`dlc bench`: step time, start-up and memory beside PyTorch and JAX (docs/benchmarks.md)."""
