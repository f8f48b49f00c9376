"""Small ONNX models for the tests, made in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

Value = tuple[str, int, Sequence[int | str] | None]
F32, I64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def value(name: str, kind: int = F32, shape: Sequence[int | str] | None = (2, 3)) -> Any:
    """An input or output."""
    return helper.make_tensor_value_info(name, kind, shape)


def node(operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> Any:
    return helper.make_node(operator, inputs, outputs, **attributes)


def initializer(name: str, array: Any) -> Any:
    return numpy_helper.from_array(np.asarray(array), name)


def model(nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any],
          initializers: Sequence[Any] = (), opset: int = 17, functions: Sequence[Any] = (),
          domains: Sequence[tuple[str, int]] = ()) -> Any:
    """A ModelProto."""
    graph = helper.make_graph(nodes, "tested", inputs, outputs, initializers)
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(*d) for d in domains)]
    return helper.make_model(graph, opset_imports=imports, functions=functions, ir_version=8)


def perceptron() -> Any:
    """relu(x w + b) with an open batch; the weights are 0.0 .. 1.1, the biases -1, 0, 1, 2."""
    return model([node("MatMul", ["x", "fc/w"], ["h:0"]), node("Add", ["h:0", "b"], ["h:1"]),
                  node("Relu", ["h:1"], ["out"])],
                 [value("x", shape=["batch", 3])], [value("out", shape=["batch", 4])],
                 [initializer("fc/w", np.arange(12, dtype=np.float32).reshape(3, 4) / 10),
                  initializer("b", np.arange(-1, 3, dtype=np.float32))])


def one(operator: str, inputs: Sequence[Any], *, results: int = 1, kind: int = F32,
        shape: Sequence[int] | None = None, opset: int = 17, **attributes: Any) -> Any:
    """A model of one operator, whose results have undeclared shapes unless `shape` is given."""
    outputs = [f"y{i}" for i in range(results)]
    return model([node(operator, [i.name for i in inputs], outputs, **attributes)], inputs,
                 [value(o, kind, shape) for o in outputs], opset=opset)
