"""Fresh random models of NNSmith, each as .onnx with inputs and what PyTorch computes as .npz.

    python nnsmith_generate.py FOLDER [--count N] [--seed N] [--dtypes f32,i64,...]

Runs in an environment of its own, for nnsmith 0.1.0 asks for versions of its own
(nnsmith_requirements.txt); nnsmith_fresh.py makes it and calls this. Every model's seed is printed
and is its name; a seed gives the same model in any run, for each is made in a forked process, and
searches are bounded by counts. account.json beside the models says how many were asked for, the
first and the last seed, and what was left out. To run them:

    NNSMITH_FOLDER=FOLDER pytest -m conformance tests/conformance/test_nnsmith.py

Source: Liu et al., NNSmith, ASPLOS 2023.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import secrets
import warnings
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

OPERATORS = range(3, 13)  # in a model
ELEMENTS = 1024  # of a value, at most
DTYPES = "f32,i64,bool"  # casts give others
KNOWN = {"FLOAT", "UINT8", "INT32", "INT64", "BOOL", "FLOAT16", "DOUBLE", "UINT32", "BFLOAT16",
         "INT8", "INT16", "UINT16", "UINT64"}
SECONDS = 20  # for the solver to find one model
ALTOGETHER = 60  # seconds for one model
WARMING = 1000  # a seed that gives a model
NONE = "NNSmith or PyTorch's exporter gives no model"


class Foreign(Exception):
    """A model with values of dtypes that dlc has not."""


def plain_export() -> None:
    """nnsmith calls the exporter of its days: by TorchScript."""
    export = torch.onnx.export

    def traced(*args: Any, **options: Any) -> Any:
        return export(*args, **{"dynamo": False, **options})

    torch.onnx.export = traced


class CountedTime:
    """In the place of the module `time`: a millisecond a call, however long it takes."""

    def __init__(self) -> None:
        self.calls = 0

    def time(self) -> float:
        """Seconds."""
        self.calls += 1
        return self.calls / 1000


def bound_by_counts() -> None:
    """NNSmith searches inputs that give no NaN for 20 ms: make that 20 steps."""
    from nnsmith.materialize.torch import input_gen, symbolnet

    input_gen.time = symbolnet.time = CountedTime()


def generated(seed: int, opset: Any, model_type: Any,
              kinds: list[str]) -> tuple[bytes, dict[str, np.ndarray]]:
    """(the model, its arrays: i_NAME for inputs, o_NAME for outputs). Raises Foreign."""
    from nnsmith.graph_gen import model_gen

    size = int(np.random.default_rng(seed).choice(OPERATORS))
    found = model_gen(opset=opset, method="symbolic-cinit", seed=seed, max_elem_per_tensor=ELEMENTS,
                      max_nodes=size, timeout_ms=SECONDS * 1000, dtype_choices=kinds)
    model = model_type.from_gir(found.make_concrete())
    model.refine_weights()
    oracle = model.make_oracle()
    if foreign := dtypes(model.native_model) - KNOWN:
        raise Foreign(f"values of {' and '.join(sorted(foreign))}, which dlc has not")
    arrays = {f"i_{k}": np.asarray(v) for k, v in oracle.input.items()}
    arrays |= {f"o_{k}": np.asarray(v) for k, v in oracle.output.items()}
    return model.native_model.SerializeToString(), arrays


def dtypes(proto: onnx.ModelProto) -> set[str]:
    """The dtypes of all values of a model, by their names in TensorProto."""
    graph = onnx.shape_inference.infer_shapes(proto).graph
    kinds = {v.type.tensor_type.elem_type for v in (*graph.input, *graph.output, *graph.value_info)}
    kinds |= {t.data_type for t in graph.initializer}
    kinds |= {a.i for n in graph.node if n.op_type == "Cast" for a in n.attribute if a.name == "to"}
    return {onnx.TensorProto.DataType.Name(kind) for kind in kinds}


def attempt(folder: Path, told: Connection, seed: int, *made_of: Any) -> None:
    """Make one model and tell why there is none, "" where there is one."""
    try:
        proto, arrays = generated(seed, *made_of)
    except (Exception, SystemExit) as problem:
        print(f"seed {seed}: none ({type(problem).__name__}: {problem})", flush=True)
        told.send(str(problem) if isinstance(problem, Foreign) else NONE)
    else:
        (folder / f"{seed}.onnx").write_bytes(proto)
        np.savez_compressed(folder / f"{seed}.npz", **arrays)
        print(f"seed {seed}: {len(proto)} bytes", flush=True)
        told.send("")


def made_alone(folder: Path, seed: int, *made_of: Any) -> str:
    """`attempt` in a process of its own: nothing depends on the models before, or dies with one."""
    forked = multiprocessing.get_context("fork")
    heard, told = forked.Pipe(duplex=False)
    process = forked.Process(target=attempt, args=(folder, told, seed, *made_of))
    process.start()
    told.close()
    try:
        reason = str(heard.recv()) if heard.poll(ALTOGETHER) else NONE
    except EOFError:  # it crashed
        reason = NONE
    process.kill()
    process.join()
    return reason


def fill(folder: Path, count: int, seed: int, kinds: list[str]) -> dict[str, Any]:
    """Make `count` models from `seed` on; seeds that give none are told and counted."""
    from nnsmith.materialize import Model
    from nnsmith.narrow_spec import auto_opset

    model_type = Model.init("onnx", backend_target="cpu")
    model_type.add_seed_setter()
    opset = auto_opset(model_type, None)
    bound_by_counts()
    torch.set_num_threads(1)
    generated(WARMING, opset, model_type, kinds)  # what it imports and keeps, forked processes have
    left_out: Counter[str] = Counter()
    made, first = 0, seed
    while made < count:
        reason = made_alone(folder, seed, opset, model_type, kinds)
        left_out.update([reason] if reason else [])
        made += not reason
        seed += 1
    return {"asked": count, "first": first, "last": seed - 1, "left_out": dict(left_out)}


def main() -> None:
    """Make as many models as asked for, and an account of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    parser.add_argument("--dtypes", default=DTYPES)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    plain_export()
    options.folder.mkdir(parents=True, exist_ok=True)
    account = fill(options.folder, options.count, options.seed, options.dtypes.split(","))
    (options.folder / "account.json").write_text(json.dumps(account, indent=2) + "\n")


if __name__ == "__main__":
    main()
