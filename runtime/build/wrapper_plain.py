"""The network dlcnet through ctypes, without NumPy: arrays are buffers of rows."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ABI = 1
DTYPES = ("f64", "f32", "f16", "bf16", "i64", "i32", "i16", "i8", "u64", "u32", "u16", "u8", "bool")
# of each dtype, the letter that memoryview and array have; bf16 has none
FORMATS = dict(zip(DTYPES, "dfeHqihbQIHB?", strict=True))
INPUT, PREDICT_INPUT, PREDICTION, VALUE, METRIC = range(5)


class NetworkError(Exception):
    """A call that the library refused; `code` is one of dlcnet.h."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Kind:
    """The dtype and shape of a row of an input, of a row of the prediction, or of a value."""

    dtype: str
    shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True)
class Position:
    """Where training stands: `batches` and `samples` are those done of epoch number `epoch`."""

    step: int
    epoch: int
    batches: int
    samples: int
    seed: int


def fits(view: memoryview, dtype: str) -> bool:
    """Whether a buffer has elements of a dtype. C's letters for integers differ between machines:
    of these the size and the sign count."""
    wanted, letter = FORMATS[dtype], view.format.lstrip("@=<")
    if letter == wanted or letter not in "bhilqBHILQ" or dtype[0] not in "iu":
        return letter == wanted
    return letter.islower() == wanted.islower() and 8 * view.itemsize == int(dtype[1:])


class _Array(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("dtype", ctypes.c_int), ("data", ctypes.c_void_p),
                ("bytes", ctypes.c_size_t)]


class _Type(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("dtype", ctypes.c_int), ("axes", ctypes.c_int),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("bytes", ctypes.c_size_t)]


class _Position(ctypes.Structure):
    _fields_ = [("step", ctypes.c_int64), ("epoch", ctypes.c_int64), ("batches", ctypes.c_int64),
                ("samples", ctypes.c_int64), ("seed", ctypes.c_uint64)]


class Network:
    """The network dlcnet. Inputs are buffers (bytes, array.array, memoryview) of rows by name.

    `inputs` are what `step` and `evaluate` take, `predict_inputs` what `predict` takes,
    `prediction` what it gives, `values` all parameters and state. Raises NetworkError for what does
    not fit, a file that cannot be used, and a step that fails.
    """

    def __init__(self, weights: str | Path | None = None, threads: int = 0, isa: str | None = None,
                 library: str | Path | None = None) -> None:
        self._net = ctypes.c_void_p()
        path = library or Path(__file__).resolve().with_name("libdlcnet.so")
        self._library = ctypes.CDLL(str(path))
        self._library.dlcnet_message.restype = ctypes.c_char_p
        self._library.dlcnet_isa.restype = ctypes.c_char_p
        self._ask("create", ctypes.byref(self._net), ABI, threads, isa.encode() if isa else None)
        self.inputs = self._kinds(INPUT)
        self.predict_inputs = self._kinds(PREDICT_INPUT)
        self.prediction = next(iter(self._kinds(PREDICTION).values()), None)
        self.values = self._kinds(VALUE)
        self.metrics = tuple(self._kinds(METRIC))
        if weights is not None:
            self.load(weights)

    def _ask(self, function: str, *arguments: Any) -> None:
        """Call a function of the library. Raises NetworkError for another code than OK."""
        code = getattr(self._library, f"dlcnet_{function}")(*arguments)
        if code:
            raise NetworkError(self._library.dlcnet_message().decode(errors="replace"), code)

    def _kinds(self, kind: int) -> dict[str, Kind]:
        found: dict[str, Kind] = {}
        told = _Type()
        while self._library.dlcnet_describe(kind, len(found), ctypes.byref(told)) == 0:
            shape = tuple(told.shape[k] for k in range(told.axes))
            found[told.name.decode()] = Kind(DTYPES[told.dtype], shape, told.bytes)
        return found

    # ---- files and values ------------------------------------------------------------------------

    def load(self, path: str | Path) -> None:
        """Read a checkpoint, or any safetensors file that has all parameters and state."""
        self._ask("load", self._net, str(path).encode())

    def load_parameters(self, path: str | Path) -> None:
        """Read parameters alone."""
        self._ask("load_parameters", self._net, str(path).encode())

    def save(self, path: str | Path) -> None:
        """Write a checkpoint."""
        self._ask("save", self._net, str(path).encode())

    def read(self, name: str) -> Any:
        """A copy of a parameter or state."""
        kind = self._value(name)
        content = ctypes.create_string_buffer(max(kind.bytes, 1))
        self._ask("read", self._net, name.encode(), content, ctypes.c_size_t(kind.bytes))
        return self._given(content, kind, ())

    def write(self, name: str, value: Any) -> None:
        """Change a parameter or state."""
        held, size = self._held(name, self._value(name), value)
        self._ask("write", self._net, name.encode(), held, ctypes.c_size_t(size))

    def _value(self, name: str) -> Kind:
        if name not in self.values:
            raise NetworkError(f"dlcnet has no value {name}", 1)
        return self.values[name]

    # ---- running ---------------------------------------------------------------------------------

    def step(self, **inputs: Any) -> dict[str, float]:
        """One training step on a batch; its metrics."""
        return self._run("step", inputs)

    def evaluate(self, **inputs: Any) -> dict[str, float]:
        """The metrics of a batch."""
        return self._run("evaluate", inputs)

    def _run(self, function: str, inputs: Mapping[str, Any]) -> dict[str, float]:
        arrays, _held = self._arrays(self.inputs, inputs)
        self._ask(function, self._net, arrays, ctypes.c_size_t(len(arrays)))
        found, value = {}, ctypes.c_double()
        for name in self.metrics:
            if self._library.dlcnet_metric(self._net, name.encode(), ctypes.byref(value)) == 0:
                found[name] = value.value
        return found

    def predict(self, **inputs: Any) -> Any:
        """The prediction for any number of rows."""
        arrays, _held = self._arrays(self.predict_inputs, inputs)
        kind = self.prediction
        first = next(iter(self.predict_inputs), None)
        if kind is None or first is None:
            raise NetworkError("predict: the library was built to train alone", 1)
        size = next((a.bytes for a in arrays if a.name == first.encode()), 0)
        rows = size // self.predict_inputs[first].bytes
        content = ctypes.create_string_buffer(max(rows * kind.bytes, 1))
        self._ask("predict", self._net, arrays, ctypes.c_size_t(len(arrays)), content,
                  ctypes.c_size_t(rows * kind.bytes))
        return self._given(content, kind, (rows,))

    def _arrays(self, kinds: Mapping[str, Kind], inputs: Mapping[str, Any]) -> tuple[Any, Any]:
        """(inputs as the library takes them, what holds their memory)."""
        held, arrays = [], []
        for name, value in inputs.items():
            kind = kinds.get(name, Kind("u8", (), 1))  # an unknown one is the library's to refuse
            memory, size = self._held(name, kind, value)
            held.append(memory)
            arrays.append(_Array(name.encode(), DTYPES.index(kind.dtype),
                                 ctypes.cast(memory, ctypes.c_void_p), size))
        return (_Array * len(arrays))(*arrays), held

    # ---- arrays, which the class for NumPy has in its own way ------------------------------------

    def _held(self, name: str, kind: Kind, value: Any) -> tuple[Any, int]:
        """(a ctypes array of the bytes of a buffer, how many). Raises NetworkError for a buffer of
        another dtype; bytes are of any."""
        view = memoryview(value)
        if view.format != "B" and not fits(view, kind.dtype):
            raise NetworkError(f"{name} takes {kind.dtype}, not a buffer of {view.format!r}", 1)
        content = view.cast("B") if view.nbytes else memoryview(b"")
        size = len(content)
        array = ctypes.c_char * max(size, 1)
        if view.readonly or not size:
            return array.from_buffer_copy(bytes(content) or b"\0"), size
        return array.from_buffer(content), size

    def _given(self, content: Any, kind: Kind, rows: tuple[int, ...]) -> Any:
        """`rows` of a kind as a memoryview of their shape; one of a dtype without a letter of its
        own (bf16) as bits."""
        size = kind.bytes * (rows[0] if rows else 1)
        flat: Any = memoryview(content).cast("B")[:size]
        if not size or not (rows + kind.shape):
            return flat.cast(FORMATS[kind.dtype]) if size else flat
        return flat.cast(FORMATS[kind.dtype], [*rows, *kind.shape])

    # ---- where training stands -------------------------------------------------------------------

    def order(self, epoch: int, count: int) -> Any:
        """The order in which `dlc train` takes `count` samples in an epoch: a buffer of i64."""
        content = (ctypes.c_int64 * max(count, 1))()
        self._ask("order", ctypes.c_uint64(self.position.seed), ctypes.c_int64(epoch),
                  ctypes.c_int64(count), content)
        return memoryview(content).cast("B").cast("q")[:count]

    def end_epoch(self) -> None:
        """Count the epoch as done."""
        self._ask("end_epoch", self._net)

    @property
    def position(self) -> Position:
        found = _Position()
        self._ask("where", self._net, ctypes.byref(found))
        return Position(found.step, found.epoch, found.batches, found.samples, found.seed)

    @property
    def isa(self) -> str:
        """The instruction set that the kernels are for."""
        return str(self._library.dlcnet_isa(self._net).decode())

    def close(self) -> None:
        """End the threads and give the memory back."""
        if self._net:
            self._ask("destroy", self._net)
            self._net = ctypes.c_void_p()

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
