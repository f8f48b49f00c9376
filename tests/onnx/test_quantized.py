"""Quantized operators over i8, u8, i16, u16, and n-grams, beside the ONNX package's evaluator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import dlc
from tests.onnx.models import I64, initializer, model, node, one, value

U8, I32, F32 = TensorProto.UINT8, TensorProto.INT32, TensorProto.FLOAT


def both(proto: Any, **arrays: np.ndarray) -> None:
    """dlc, evaluated and compiled, and ONNX's evaluator give the same numbers."""
    expected = ReferenceEvaluator(proto).run(None, arrays)[0]
    loaded = dlc.onnx.load(proto.SerializeToString())
    graph = loaded.graph()
    with dlc.compile(graph).load(threads=1) as program:
        for found in (dlc.evaluate(loaded, **arrays), program(*arrays.values())):
            assert np.asarray(found).dtype == expected.dtype
            np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_quantize_saturates_and_rounds_to_even() -> None:
    proto = one("QuantizeLinear", [value("x", F32, (3, 4)), value("s", F32, ()),
                                   value("z", U8, ())], kind=U8, opset=21)
    x = np.array([[-9, -0.25, 0.25, 0.75], [1.25, 300, -300, 0], [2, 3, 4, 5]], np.float32)
    both(proto, x=x, s=np.float32(0.5), z=np.uint8(7))
    x[1, 1:3] = np.inf, -np.inf
    found = dlc.evaluate(dlc.onnx.load(proto.SerializeToString()), x=x, s=np.float32(0.5),
                         z=np.uint8(7))
    np.testing.assert_array_equal(found[1], [9, 255, 0, 7])


@pytest.mark.parametrize(("axis", "block"), [(1, 0), (2, 0), (1, 2)])
def test_scales_along_an_axis(axis: int, block: int) -> None:
    shape = (2, 4, 3)
    rng = np.random.default_rng(axis + block)
    scale = (2, 2, 3) if block else (shape[axis],)
    proto = one("DequantizeLinear", [value("x", U8, shape), value("s", F32, scale),
                                     value("z", U8, scale)], axis=axis, block_size=block, opset=21)
    both(proto, x=rng.integers(0, 256, shape).astype(np.uint8),
         s=rng.uniform(0.1, 2, scale).astype(np.float32),
         z=rng.integers(0, 256, scale).astype(np.uint8))


def test_products_of_whole_numbers_are_exact() -> None:
    rng = np.random.default_rng(1)
    a, b = (rng.integers(0, 256, s).astype(np.uint8) for s in ((3, 5, 40), (40, 6)))
    both(one("MatMulInteger", [value("a", U8, a.shape), value("b", U8, b.shape),
                               value("p", U8, ()), value("q", U8, ())], kind=I32),
         a=a, b=b, p=np.uint8(200), q=np.uint8(3))
    x, w = (rng.integers(0, 256, s).astype(np.uint8) for s in ((2, 4, 9, 8), (6, 2, 3, 3)))
    both(one("ConvInteger", [value("x", U8, x.shape), value("w", U8, w.shape),
                             value("p", U8, ())], kind=I32, group=2, pads=[1, 0, 2, 1],
             strides=[2, 1]), x=x, w=w, p=np.uint8(9))


def test_a_quantized_product() -> None:
    rng = np.random.default_rng(2)
    arrays: dict[str, Any] = {
        "a": rng.integers(0, 256, (2, 4)).astype(np.uint8), "sa": np.float32(0.02),
        "za": np.uint8(120), "b": rng.integers(0, 256, (4, 3)).astype(np.uint8),
        "sb": np.float32(0.03), "zb": np.uint8(130), "sy": np.float32(0.05), "zy": np.uint8(100)}
    inputs = [value(k, U8 if v.dtype == np.uint8 else F32, v.shape) for k, v in arrays.items()]
    both(one("QLinearMatMul", inputs, kind=U8), **arrays)


@pytest.mark.parametrize("kind", [TensorProto.INT4, TensorProto.UINT4, TensorProto.FLOAT8E4M3FN])
def test_numbers_of_other_widths_are_refused(kind: int) -> None:
    name = TensorProto.DataType.Name(kind)
    data = one("Identity", [value("x", kind)], kind=kind).SerializeToString()
    with pytest.raises(dlc.DlcError, match=f"'x': elements of type {name}") as problem:
        dlc.onnx.load(data)
    assert "u8" in (problem.value.hint or "")
    quantized = one("QuantizeLinear", [value("x", F32), value("s", F32, ())], kind=U8,
                    output_dtype=kind, opset=21).SerializeToString()
    with pytest.raises(dlc.DlcError, match=name):
        dlc.onnx.load(quantized).graph()


WIDTHS = {TensorProto.INT8: np.int8, TensorProto.INT16: np.int16, TensorProto.UINT16: np.uint16,
          TensorProto.UINT64: np.uint64}


@pytest.mark.parametrize("kind", list(WIDTHS)[:3])
def test_quantized_to_other_widths(kind: int) -> None:
    """By the dtype of the zero point, or by the attribute; and back."""
    x = np.array([[-9, -0.25, 0.25, 0.75], [1.25, 3e6, -3e6, 0], [2, 3, 4, 5]], np.float32)
    zero, scale = WIDTHS[kind](7), np.float32(0.5)
    both(one("QuantizeLinear", [value("x", F32, (3, 4)), value("s", F32, ()),
                                value("z", kind, ())], kind=kind, opset=21), x=x, s=scale, z=zero)
    both(one("QuantizeLinear", [value("x", F32, (3, 4)), value("s", F32, ())], kind=kind,
             output_dtype=kind, opset=21), x=x, s=scale)
    whole = np.random.default_rng(3).integers(0, 100, (3, 4)).astype(WIDTHS[kind])
    both(one("DequantizeLinear", [value("x", kind, (3, 4)), value("s", F32, ()),
                                  value("z", kind, ())], opset=21), x=whole, s=scale, z=zero)


def test_products_of_i8() -> None:
    rng = np.random.default_rng(4)
    a, b = (rng.integers(-128, 128, s).astype(np.int8) for s in ((3, 5, 40), (40, 6)))
    i8 = TensorProto.INT8
    both(one("MatMulInteger", [value("a", i8, a.shape), value("b", i8, b.shape),
                               value("p", i8, ()), value("q", i8, ())], kind=I32),
         a=a, b=b, p=np.int8(-100), q=np.int8(3))
    arrays: dict[str, Any] = {
        "a": a[0, :2, :4], "sa": np.float32(0.02), "za": np.int8(12), "b": b[:4, :3],
        "sb": np.float32(0.03), "zb": np.int8(-13), "sy": np.float32(0.05), "zy": np.int8(10)}
    inputs = [value(k, i8 if v.dtype == np.int8 else F32, v.shape) for k, v in arrays.items()]
    both(one("QLinearMatMul", inputs, kind=i8), **arrays)


@pytest.mark.swept(3)
@pytest.mark.parametrize("kind", WIDTHS)
@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Max", "Min", "Equal", "BitwiseXor"])
def test_whole_numbers_of_every_width(kind: int, operator: str) -> None:
    info = np.iinfo(WIDTHS[kind])
    x, y = (np.random.default_rng(s).integers(info.min, info.max, (3, 4), WIDTHS[kind], True)
            for s in (5, 6))
    result = TensorProto.BOOL if operator == "Equal" else kind
    both(one(operator, [value("x", kind, (3, 4)), value("y", kind, (3, 4))], kind=result,
             opset=18), x=x, y=y)


@pytest.mark.parametrize("kind", WIDTHS)
def test_tensors_of_every_width_in_both_forms(kind: int) -> None:
    """Raw bytes, and the typed field that the standard gives to the width."""
    info = np.iinfo(WIDTHS[kind])
    ends = np.array([info.min, info.max, 3], WIDTHS[kind])
    for tensor in (numpy_helper.from_array(ends, "t"),
                   helper.make_tensor("t", kind, (3,), ends.tolist())):
        proto = model([node("Add", ["x", "t"], ["y"])], [value("x", kind, (3,))],
                      [value("y", kind, (3,))], [tensor])
        found = dlc.evaluate(dlc.onnx.load(proto.SerializeToString()), np.zeros(3, WIDTHS[kind]))
        np.testing.assert_array_equal(found, ends)


def test_scales_that_fit_no_axis_are_refused() -> None:
    proto = one("DequantizeLinear", [value("x", U8, (2, 4)), value("s", F32, (3,))], opset=21)
    with pytest.raises(dlc.DlcError, match="a scale") as problem:
        dlc.onnx.load(proto.SerializeToString()).graph()
    assert "one for each entry of the axis" in (problem.value.hint or "")


# --- n-grams --------------------------------------------------------------------------------------


def grams(mode: str, **changes: Any) -> Any:
    """2-grams (5 6), (7 8), (6 7) and 1-grams 2, 3, 5, 4 of rows of 12 numbers."""
    settings: dict[str, Any] = {
        "mode": mode, "min_gram_length": 1, "max_gram_length": 2, "max_skip_count": 2,
        "ngram_counts": [0, 4], "ngram_indexes": [0, 1, 2, 3, 4, 5, 6],
        "pool_int64s": [2, 3, 5, 4, 5, 6, 7, 8, 6, 7], "weights": [2.0, 1, 1, 3, 1, 0.5, 1]}
    return one("TfIdfVectorizer", [value("x", I64, (2, 12))], **{**settings, **changes})


@pytest.mark.parametrize("mode", ["TF", "IDF", "TFIDF"])
def test_n_grams(mode: str) -> None:
    x = np.random.default_rng(5).integers(2, 9, (2, 12))
    both(grams(mode), x=x)


def test_pools_that_do_not_fit_are_refused() -> None:
    for changes, message in (({"ngram_counts": [0, 3]}, "ngram_counts"),
                             ({"weights": [1.0]}, "1 weights of 7"),
                             ({"ngram_indexes": [0]}, "1 ngram_indexes of 7")):
        with pytest.raises(dlc.DlcError, match=message):
            dlc.onnx.load(grams("TF", **changes).SerializeToString()).graph()
    words = one("TfIdfVectorizer", [value("x", I64, (3,))], mode="TF", min_gram_length=1,
                max_gram_length=1, max_skip_count=0, ngram_counts=[0], ngram_indexes=[0],
                pool_strings=["a"])
    with pytest.raises(dlc.DlcError, match="n-grams of strings"):
        dlc.onnx.load(words.SerializeToString()).graph()


def test_what_is_known_is_counted() -> None:
    """Unique of an initializer: its shape is known."""
    proto = model([node("Unique", ["c"], ["u"]), node("Add", ["x", "u"], ["y"])],
                  [value("x", F32, (2,))], [value("y", F32, (2,))],
                  [initializer("c", np.array([3, 1, 3], np.float32))])
    found = dlc.evaluate(dlc.onnx.load(proto.SerializeToString(), frozen=True),
                         np.zeros(2, np.float32))
    np.testing.assert_array_equal(found, [1, 3])
