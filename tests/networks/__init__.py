"""The bundled networks trained to the end, and held to their figures: `make networks`."""

# What tests of listings, programs and exports go through: one of each size.
SHOWN = ("linear_regression", "logistic_regression", "xor", "mlp", "lenet")
