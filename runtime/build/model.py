"""model.c and words.h: what the library knows of its network, as the C that it is compiled from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dlc.ir.types import Type
from dlc.program import Constant, Port
from dlc.runtime.build.features import needed
from dlc.runtime.build.plan import Batch, Plan, Planned, Row
from dlc.runtime.build.tables import ARENA, relative_table
from dlc.runtime.compile import runner
from dlc.runtime.cpu.table import PlainTable
from dlc.runtime.cpu.table_builder import is_short

# Words of the control block, of rows and instructions, and kinds of these, that table.c names.
WORDS = ("ROWS", "CODE", "THREADS", "SPINS", "STEPS", "CURRENT", "POSITION", "STOP", "STEP", "DONE",
         "FINISHED", "CONTROL_WORDS", "FUNCTION", "ARGUMENTS", "CHUNKS", "COUNTERS", "ROW_WORDS",
         "WORK", "AGAIN", "BRANCH", "KIND", "OPENED", "CHUNKS_DONE", "INLINE", "ITERATION", "MOVES",
         "FLAG", "CODE_WORDS")
NUMBERS_A_LINE = 12


def words_text() -> str:
    """words.h: the layout of launch tables, from runtime/compile/runner.py."""
    lines = [f"    {word} = {getattr(runner, word)}," for word in WORDS]
    return "\n".join(["/* The layout of launch tables (runtime/compile/runner.py). */", "enum {",
                      *lines, f"    LINE_WORDS = {runner.LINE // 8}", "};", ""])


class Writer:
    """C under construction: definitions in order, each array once under a name of its own."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.names: dict[str, str] = {}

    def define(self, kind: str, values: Sequence[str], a_line: int = 1, dimension: str = "") -> str:
        """A constant array of `values`; its name, or NULL for an empty one."""
        if not values:
            return "NULL"
        lines = [", ".join(values[k:k + a_line]) for k in range(0, len(values), a_line)]
        text = f"[]{dimension} = {{\n    " + ",\n    ".join(lines) + "\n};\n"
        key = kind + text
        if key not in self.names:
            self.names[key] = f"a{len(self.names)}"
            self.parts.append(f"static const {kind}{self.names[key]}{text}")
        return self.names[key]

    def numbers(self, kind: str, values: Iterable[int], dimension: str = "") -> str:
        """An array of integers, or of rows of them."""
        return self.define(kind, [number(v) for v in values], NUMBERS_A_LINE, dimension)

    def rows(self, kind: str, rows: Iterable[Sequence[int]], dimension: str) -> str:
        """An array of rows of integers."""
        return self.define(kind, ["{" + ", ".join(map(number, row)) + "}" for row in rows], 1,
                           dimension)

    def data(self, content: bytes) -> str:
        """An array that holds these bytes, aligned for any element."""
        padded = np.frombuffer(content.ljust(-(-len(content) // 8) * 8, b"\0"), "<i8")
        return self.numbers("int64_t ", [int(v) for v in padded])


def number(value: int) -> str:
    """An integer as C has it; the lowest i64 has no literal of its own."""
    return "INT64_MIN" if value == -2**63 else str(value)


def quoted(text: str) -> str:
    """A string literal, in pieces of a line."""
    escaped = "".join(f"\\{b:03o}" if b < 32 or b > 126 or chr(b) in '"\\?' else chr(b)
                      for b in text.encode())
    pieces, at = [], 0
    while at < len(escaped):
        end = min(at + 80, len(escaped))
        while end < len(escaped) and "\\" in escaped[end - 3:end]:
            end -= 1  # between escapes
        pieces.append(escaped[at:end])
        at = end
    return "\n        ".join(f'"{p}"' for p in pieces or [""])


def type_text(writer: Writer, name: str, kind: Type, size: int) -> str:
    """A dlcnet_type."""
    shape = writer.numbers("int64_t ", [int(d) for d in kind.shape])
    return (f"{{{quoted(name)}, DLCNET_{kind.dtype.name.upper()}, {len(kind.shape)}, {shape}, "
            f"{size}}}")


class ModelWriter(Writer):
    """Writes the MODEL of one library."""

    def __init__(self, plan: Plan, symbols: Mapping[str, Sequence[str]],
                 runners: Mapping[str, str],
                 kernels: Mapping[str, Sequence[Sequence[int]]]) -> None:
        """`symbols` are the kernels of each instruction set, `kernels` the numbers from 1 of those
        of each program, `runners` the names of the runners."""
        super().__init__()
        self.plan, self.symbols, self.runners, self.kernels = plan, symbols, runners, kernels

    def text(self) -> str:
        """model.c"""
        model = self.model()
        declared = [f"void {name}(int64_t *arguments, int64_t chunk);"
                    for isa, names in self.symbols.items() for name in (*names, self.runners[isa])]
        return "\n".join([f"/* The network {self.plan.name}, written by `dlc build`. */",
                          '#include "model.h"', "", *declared, "", *self.parts, model])

    def model(self) -> str:
        plan = self.plan
        variants = [self.variant(isa, programs) for isa, programs in plan.variants.items()]
        fields: dict[str, object] = {
            "name": quoted(plan.name), "isas": quoted(",".join(plan.variants)),
            "variants": self.define("variant ", variants),
            "batches": self.define("batch_kind ", [self.batch(b) for b in plan.batches]),
            "inputs": self.types(plan.inputs), "predict_inputs": self.types(plan.predict_inputs),
            "prediction": self.types(plan.prediction),
            "metrics": self.define("char *const ", [quoted(m) for m in plan.metrics]),
            "each_epoch": self.define("begun ", [
                f"{{{self.place(name)}, {self.data(np.ascontiguousarray(array).tobytes())}}}"
                for name, array in plan.each_epoch.items()]),
            "file_order": self.numbers("int ", file_order(plan.values)),
            "variant_count": len(variants), "program_count": len(plan.programs),
            "batch_count": len(plan.batches), "input_count": len(plan.inputs),
            "predict_input_count": len(plan.predict_inputs),
            "prediction_count": len(plan.prediction), "metric_count": len(plan.metrics),
            "each_epoch_count": len(plan.each_epoch), "trains": int(bool(plan.phases)),
            "in_order": int(plan.in_order),
            **{f"json_{k}": quoted(json.dumps(v)) for k, v in about(plan).items()},
            "batch": plan.identity.batch, "epochs": plan.identity.epochs}
        lines = [f"    .{name} = {text}," for name, text in fields.items()]
        return "\n".join(["const struct model MODEL = {", *lines, "};", ""])

    def place(self, name: str) -> int:
        """The number of a parameter or state; -1 where the library has none of that name."""
        return next((k for k, port in enumerate(self.plan.values) if port.name == name), -1)

    def types(self, rows: Sequence[Row]) -> str:
        return self.define("dlcnet_type ", [
            type_text(self, row.name, row.type, row.type.bytes) for row in rows])

    def batch(self, batch: Batch) -> str:
        phases = [f"{{{entry}, {p.every}, {p.offset}, {p.first_epoch}, "
                  f"{-1 if p.last_epoch is None else p.last_epoch}}}" for entry, p in batch.phases]
        return (f"{{{batch.rows}, {int(batch.trains)}, {self.define('phase ', phases)}, "
                f"{len(phases)}}}")

    def variant(self, isa: str, programs: Sequence[Planned]) -> str:
        features = [f"{{{f.leaf}u, {f.subleaf}u, {f.word}, {f.bit}, {quoted(f.name)}}}"
                    for f in needed(isa)]
        plans = [self.program(p, numbers)
                 for p, numbers in zip(programs, self.kernels[isa], strict=True)]
        return (f"{{{quoted(isa)}, {self.define('feature ', features)}, {len(features)}, "
                f"{self.runners[isa]}, {self.define('kernel ', self.symbols[isa], 4)}, "
                f"{self.define('program ', plans)}}}")

    def program(self, planned: Planned, numbers: Sequence[int]) -> str:
        program = planned.program
        values = self.define("value ", [self.value(p) for p in program.persistent])
        constants = self.define("constant ", [self.constant(c) for c in program.constants])
        entries = self.define("entry ", [self.entry(planned, k, numbers)
                                         for k in range(len(planned.entries))])
        return (f"{{{max(program.arena_bytes, 1)}, {planned.block}, {values}, {constants}, "
                f"{entries}, {len(program.persistent)}, {len(program.constants)}, "
                f"{len(planned.entries)}}}")

    def value(self, port: Port) -> str:
        return (f"{{{type_text(self, port.name, port.type, port.type.bytes)}, {port.offset}, "
                f"{int(port.role == 'param')}, {self.place(port.name)}}}")

    def constant(self, constant: Constant) -> str:
        return f"{{{constant.offset}, {len(constant.data)}, {self.data(constant.data)}}}"

    def entry(self, planned: Planned, number_: int, numbers: Sequence[int]) -> str:
        entry = planned.entry(number_)
        table = relative_table(planned.program, entry, numbers)
        inputs = [p for p in entry.inputs if p.name not in planned.persistent]
        metrics = {output: self.plan.metrics.index(name)
                   for name, output in self.plan.metrics_of(planned, number_).items()
                   } if not planned.block else {}
        outputs = sorted((p for p in entry.outputs if p.name not in planned.persistent),
                         key=lambda p: p.name != "prediction")
        roles = {"data": "DATA", "step": "STEP_NUMBER", "seed": "SEED"}
        given = [self.port(p, roles[p.role]) for p in inputs]
        found = [self.port(p, "FAULT_WORD" if p.role == "fault" else
                           "METRIC" if p.name in metrics else "RESULT", metrics.get(p.name, 0))
                 for p in outputs]
        checks = self.define("char *const ", [quoted(c) for c in planned.checks[entry.name]])
        return (f"{{{quoted(entry.name)}, {self.table(table)}, {self.define('port ', given)}, "
                f"{self.define('port ', found)}, {len(given)}, {len(found)}, {checks}, "
                f"{len(planned.checks[entry.name])}, {int(is_short(entry))}}}")

    def port(self, port: Port, role: str, number_: int = 0) -> str:
        return f"{{{self.value(port)}, {role}, {number_}}}"

    def table(self, table: PlainTable) -> str:
        based = table.based.get(ARENA, [])
        arrays = [self.rows("int64_t ", table.rows, "[3]"),
                  self.rows("int64_t ", table.code, "[CODE_WORDS]"),
                  self.numbers("int64_t ", table.arguments), self.numbers("int32_t ", based),
                  self.rows("int64_t ", table.moves, "[3]")]
        counts = (len(table.rows), len(table.code), len(table.arguments), len(based),
                  len(table.moves))
        return ", ".join([*arrays, *map(str, counts)])


def about(plan: Plan) -> dict[str, Any]:
    """What a checkpoint says of the network itself, by the names that record.c has for it."""
    identity = plan.identity
    return {"name": identity.model, "task": identity.task, "schedule": identity.learning_rate,
            "network": dict(plan.network)}


def file_order(ports: Sequence[Port]) -> list[int]:
    """The numbers of values as the package safetensors orders them in a file."""
    from safetensors.numpy import save

    empty = {p.name: np.zeros((0,), p.type.dtype.numpy) for p in ports}
    content = save(empty)
    header = json.loads(content[8:8 + int.from_bytes(content[:8], "little")])
    places = {port.name: k for k, port in enumerate(ports)}
    return [places[name] for name in header if name in places]
