"""What a graph means: its text, its invariants, the NumPy evaluator, rewriting."""
