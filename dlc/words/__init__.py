"""The words of PyTorch, Keras, NumPy and JAX: tables of what dlc calls them, and errors from these.

counterparts.txt has a row for each public name, idioms.txt what is done another way, calls.txt
arguments; docs/names.md shows them,
docs/from-pytorch.md whole programs.
"""

from dlc.words.answers import WordError, attributes, counterpart, speaking, unknown
from dlc.words.calls import answering, argument_hint, original

__all__ = ["WordError", "answering", "argument_hint", "attributes", "counterpart", "original",
           "speaking", "unknown"]
