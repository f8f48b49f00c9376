"""The language: tracing, control flow, transformations, custom operators."""
