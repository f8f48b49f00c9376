"""Code generation: kernels' texts and everything a Program carries."""
