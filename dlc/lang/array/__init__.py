"""NumPy-like functions composed of operators; an import gives Node its operators and methods."""

from dlc.lang.array import elementwise_functions, methods, numpy_calls

methods.install()
numpy_calls.install()

__all__ = ["elementwise_functions", "methods", "numpy_calls"]
