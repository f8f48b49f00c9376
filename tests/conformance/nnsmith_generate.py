"""Fresh random models of NNSmith, each as .onnx with inputs and what PyTorch computes as .npz.

    python nnsmith_generate.py FOLDER [--count N] [--seed N]

Runs in an environment of its own, for nnsmith 0.1.0 asks for old versions: pip install
nnsmith==0.1.0 z3-solver==4.12.2.0 torch onnx onnxruntime multipledispatch. Every model's seed is
printed and is its name. To run them:

    NNSMITH_FOLDER=FOLDER pytest -m conformance tests/conformance/test_nnsmith.py

Source: Liu et al., NNSmith, ASPLOS 2023.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

OPERATORS = range(3, 13)  # in a model
ELEMENTS = 1024  # of a value, at most
DTYPES = ("f32", "i64", "bool")
KINDS = {1, 7, 9}  # TensorProto's numbers of DTYPES, for weights
SECONDS = 20  # to find one model


def plain_export() -> None:
    """nnsmith calls the exporter of its days: by TorchScript."""
    export = torch.onnx.export

    def traced(*args: Any, **options: Any) -> Any:
        return export(*args, **{"dynamo": False, **options})

    torch.onnx.export = traced


def generated(opset: Any, model_type: Any, seed: int) -> tuple[bytes, dict[str, np.ndarray]]:
    """(the model, its arrays: i_NAME for inputs, o_NAME for outputs)."""
    from nnsmith.graph_gen import model_gen

    size = int(np.random.default_rng(seed).choice(OPERATORS))
    found = model_gen(opset=opset, method="symbolic-cinit", seed=seed, max_elem_per_tensor=ELEMENTS,
                      max_nodes=size, timeout_ms=SECONDS * 1000, dtype_choices=list(DTYPES))
    model = model_type.from_gir(found.make_concrete())
    model.refine_weights()
    oracle = model.make_oracle()
    kinds = {t.data_type for t in model.native_model.graph.initializer}
    if not kinds <= KINDS:
        raise ValueError(f"weights of types {kinds}")
    arrays = {f"i_{k}": np.asarray(v) for k, v in oracle.input.items()}
    arrays |= {f"o_{k}": np.asarray(v) for k, v in oracle.output.items()}
    return model.native_model.SerializeToString(), arrays


def main() -> None:
    """Make as many models as asked for; seeds that give none are told and left out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int(np.random.SeedSequence().entropy) % 2**31)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    plain_export()
    from nnsmith.materialize import Model
    from nnsmith.narrow_spec import auto_opset

    model_type = Model.init("onnx", backend_target="cpu")
    model_type.add_seed_setter()
    opset = auto_opset(model_type, None)
    options.folder.mkdir(parents=True, exist_ok=True)
    made, seed = 0, options.seed
    while made < options.count:
        try:
            proto, arrays = generated(opset, model_type, seed)
        except (Exception, SystemExit) as problem:
            print(f"seed {seed}: none ({type(problem).__name__})", flush=True)
        else:
            (options.folder / f"{seed}.onnx").write_bytes(proto)
            np.savez_compressed(options.folder / f"{seed}.npz", **arrays)
            made += 1
            print(f"seed {seed}: {len(proto)} bytes", flush=True)
        seed += 1


if __name__ == "__main__":
    main()
