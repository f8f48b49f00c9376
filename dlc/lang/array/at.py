"""x.at[key].set(v), add, multiply, ...: writes as new values, in jax.numpy's spelling."""

from __future__ import annotations

from typing import Any

from dlc.ir.graph import Node
from dlc.lang.array.indexing import index, update
from dlc.ops import leaf
from dlc.ops.convert import as_node
from dlc.words import attributes


class At:
    """x.at: x.at[key].set(v) is x with x[key] = v, x itself unchanged (jax.numpy's spelling)."""

    def __init__(self, x: Node) -> None:
        self.x = x

    def __getitem__(self, key: Any) -> Elements:
        return Elements(self.x, key)


@attributes("x.at[0]")
class Elements:
    """x.at[key]: what to do there. Each gives a new array; `value` broadcasts to x[key].

    Of several values for one element set keeps the last; the others fold all of them.
    """

    def __init__(self, x: Node, key: Any) -> None:
        self.x, self.key = x, key

    def get(self) -> Node:
        """x[key]"""
        return index(self.x, self.key)

    def set(self, value: Any) -> Node:
        """x with x[key] = value."""
        return update(self.x, self.key, value, "set")

    def add(self, value: Any) -> Node:
        """x with `value` added to x[key]."""
        return update(self.x, self.key, value, "add")

    def subtract(self, value: Any) -> Node:
        """x with `value` taken from x[key]."""
        return update(self.x, self.key, -as_node(value, self.x.dtype), "add")

    def multiply(self, value: Any) -> Node:
        """x with x[key] times `value`."""
        return update(self.x, self.key, value, "mul")

    mul = multiply

    def divide(self, value: Any) -> Node:
        """x with x[key] divided by `value`, by the product of all that are given for an element."""
        return self.x / self._product(value)

    def power(self, value: Any) -> Node:
        """x with x[key] to the power of `value`, of the product of all given for an element."""
        return self.x ** self._product(value)

    def _product(self, value: Any) -> Node:
        """Ones, and the products of the values at the key."""
        ones = leaf.constant(1, self.x.type.with_(layout=None))
        return update(ones, self.key, value, "mul")

    def max(self, value: Any) -> Node:
        """x with the larger of x[key] and `value`."""
        return update(self.x, self.key, value, "max")

    def min(self, value: Any) -> Node:
        """x with the smaller of x[key] and `value`."""
        return update(self.x, self.key, value, "min")
