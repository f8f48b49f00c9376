"""What the ONNX standard says of an operator: its schema, its attributes, its function body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from dlc.errors import DlcError, nearest
from dlc.intake import Intake
from dlc.ir.graph import Node
from dlc.ir.types import DTYPES
from dlc.onnx.proto import ONNX_DTYPES, Source, onnx_package
from dlc.onnx.tensors import array_of

# Operators are read as they are from this opset on; older models may use those that kept their
# meaning.
OLDEST = 7
# AttributeProto.AttributeType -> the field that holds the value
FIELDS = {1: "f", 2: "i", 3: "s", 4: "t", 5: "g", 6: "floats", 7: "ints", 8: "strings",
          9: "tensors", 10: "graphs"}
# dlc's dtype -> as a schema writes it
TYPE_NAMES = {"f64": "double", "f32": "float", "f16": "float16", "bf16": "bfloat16",
              "i64": "int64", "i32": "int32", "i16": "int16", "i8": "int8", "u64": "uint64",
              "u32": "uint32", "u16": "uint16", "u8": "uint8", "bool": "bool"}


@lru_cache(maxsize=4096)
def schema_of(operator: str, domain: str, opset: int) -> Any:
    """The schema of an operator in an opset. Raises DlcError when the standard knows none."""
    defs = onnx_package().defs
    try:
        found = defs.get_schema(operator, opset, domain)
    except defs.SchemaError:
        known = {s.name for s in defs.get_all_schemas() if s.domain == domain}
        place = f"opset {opset}" if domain == "" else f"domain {domain!r} {opset}"
        raise DlcError(f"the operator {operator!r} does not exist in {place}"
                       f"{nearest(operator, sorted(known))}") from None
    if domain == "" and opset < OLDEST and found.since_version != since(operator, OLDEST):
        raise DlcError(f"{operator} as it was in opset {opset}", None,
                       f"dlc reads operators as they are from opset {OLDEST} on")
    if found.deprecated:
        raise DlcError(f"the operator {operator!r} is no longer there in opset {opset}")
    return found


def since(name: str, opset: int) -> int:
    """The opset in which an operator's meaning in `opset` began; 0 where there is none."""
    defs = onnx_package().defs
    try:
        return int(defs.get_schema(name, opset, "").since_version)
    except defs.SchemaError:
        return 0


def attributes_of(protos: Any, given: Mapping[str, Any], where: Source) -> dict[str, Any]:
    """AttributeProtos as Python values; those in a function's body may refer to `given`.

    Raises DlcError for one that stands twice or is malformed.
    """
    found: dict[str, Any] = {}
    for attribute in protos:
        if attribute.name in found or not attribute.name:
            raise DlcError(f"the attribute {attribute.name!r} is there twice, or has no name")
        if attribute.ref_attr_name:
            if attribute.ref_attr_name in given:
                found[attribute.name] = given[attribute.ref_attr_name]
            continue
        field = FIELDS.get(attribute.type)
        if field is None:
            raise DlcError(f"the attribute {attribute.name!r} is of an unknown kind")
        found[attribute.name] = plain_value(getattr(attribute, field), field, where)
    return found


def plain_value(value: Any, field: str, where: Source) -> Any:
    """An attribute's value: numbers, text, arrays; graphs stay messages."""
    if field == "s":
        return text(value)
    if field == "strings":
        return tuple(map(text, value))
    if field == "t":
        return array_of(value, where)
    if field == "tensors":
        return tuple(array_of(t, where) for t in value)
    return tuple(value) if field in ("floats", "ints", "graphs") else value


def text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise DlcError(f"the text {value[:40]!r} is not UTF-8") from None


@lru_cache(maxsize=4096)
def defaults_of(operator: str, domain: str, opset: int) -> Mapping[str, Any]:
    """The attributes of an operator that have a value when they are left out."""
    entries = schema_of(operator, domain, opset).attributes.values()
    protos = [e.default_value for e in entries if e.default_value.name]
    return attributes_of(protos, {}, Source("the standard", None, Intake("the standard")))


def check_call(schema: Any, attributes: dict[str, Any], node: Any, operands: Sequence[Any]) -> None:
    """Raise DlcError unless a node has the attributes and operands that its schema asks for."""
    unknown = [a for a in attributes if a not in schema.attributes]
    if unknown:
        raise DlcError(f"no attribute {unknown[0]!r}"
                       f"{nearest(unknown[0], list(schema.attributes))}")
    for name, entry in schema.attributes.items():
        if entry.required and name not in attributes:
            raise DlcError(f"the attribute {name!r} is missing")
    check_kinds(schema, node)
    if not schema.min_input <= len(node.input) <= schema.max_input:
        raise DlcError(f"{len(node.input)} operands, it takes {schema.min_input} to "
                       f"{schema.max_input}")
    if not len(node.output) <= schema.max_output:
        raise DlcError(f"{len(node.output)} results, it has at most {schema.max_output}")
    check_operands(schema, operands)


def check_kinds(schema: Any, node: Any) -> None:
    """Raise DlcError for an attribute of another kind than the schema's."""
    for attribute in node.attribute:
        wanted = schema.attributes[attribute.name].type
        if attribute.type != wanted.value and not attribute.ref_attr_name:
            raise DlcError(f"the attribute {attribute.name!r} is not of type "
                           f"{wanted.name.lower()}")


def check_operands(schema: Any, operands: Sequence[Any]) -> None:
    """Raise DlcError unless the operands' dtypes are those of the schema, equal where it says so.
    """
    allowed = {c.type_param_str: set(c.allowed_type_strs) for c in schema.type_constraints}
    bound: dict[str, str] = {}
    for position, value in enumerate(operands):
        formal = schema.inputs[min(position, len(schema.inputs) - 1)]
        if not isinstance(value, Node):
            if value is None and formal.option.name == "Single":
                raise DlcError(f"operand {position} ({formal.name}) is missing")
            continue
        kind = f"tensor({TYPE_NAMES[value.dtype.name]})"
        fits = allowed.get(formal.type_str, {formal.type_str})
        if kind not in fits and f"optional({kind})" not in fits:
            names = [d for d in DTYPES if f"tensor({TYPE_NAMES[d]})" in fits]
            raise DlcError(f"operand {position} ({formal.name}) is {value.dtype.name}", None,
                           f"it may be {', '.join(names) or ', '.join(sorted(fits))}")
        if formal.is_homogeneous and bound.setdefault(formal.type_str, kind) != kind:
            raise DlcError(f"operand {position} ({formal.name}) is {kind[7:-1]}, others of its "
                           f"type are {bound[formal.type_str][7:-1]}")


def body_of(schema: Any, node: Any, attributes: Mapping[str, Any], opset: int,
            operands: Sequence[Any]) -> Any:
    """The FunctionProto that the standard defines an operator by, or None.

    `attributes` replace those of the node that refer to a function's.
    """
    onnx = onnx_package()
    node = resolved(node, attributes)
    # of several bodies, the one written for the newest opset that the model may use
    if schema.has_function:
        fit = [v for v in schema.function_opset_versions if v <= opset]
        data = schema.get_function_with_opset_version(max(fit)) if fit else b""
    elif schema.has_context_dependent_function:
        fit = [v for v in schema.context_dependent_function_opset_versions if v <= opset]
        types = [type_proto(v).SerializeToString() for v in operands]
        data = schema.get_context_dependent_function_with_opset_version(
            max(fit), node.SerializeToString(), types) if fit else b""
    else:
        return None
    if not data:
        return None
    body = onnx.FunctionProto()
    body.ParseFromString(data)
    return body


def resolved(node: Any, attributes: Mapping[str, Any]) -> Any:
    """`node` with values for attributes that refer to those of a function around it."""
    refers = [a for a in node.attribute if a.ref_attr_name]
    if not refers:
        return node
    copy = type(node)()
    copy.CopyFrom(node)
    del copy.attribute[:]
    copy.attribute.extend(a for a in node.attribute if not a.ref_attr_name)
    copy.attribute.extend(onnx_package().helper.make_attribute(a.name, attributes[a.name])
                          for a in refers if a.name in attributes)
    return copy


def type_proto(value: Any) -> Any:
    """The TypeProto of an operand."""
    helper = onnx_package().helper
    if not isinstance(value, Node):
        return onnx_package().TypeProto()
    return helper.make_tensor_type_proto(ONNX_DTYPES[value.dtype], [int(d) for d in value.shape])
