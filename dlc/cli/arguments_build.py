"""The arguments of `dlc build`."""

from __future__ import annotations

from typing import Any

from dlc.cli.arguments import SEEDS, command, memory_argument, set_argument, whole


def build(commands: Any) -> None:
    """dlc build FILE -o DIR"""
    parser = command(commands, "build", "write a network as a shared library that needs no Python",
                     "build")
    parser.add_argument("file", metavar="FILE",
                        help="a Python file with a task, or the name of a bundled model")
    parser.add_argument("-o", "--output", required=True, metavar="DIR",
                        help="the folder for library, header, examples and first values")
    parser.add_argument("--train", action="store_true", help="what trains (default: both)")
    parser.add_argument("--predict", action="store_true", help="what predicts (default: both)")
    parser.add_argument("--isa", default="", metavar="LIST",
                        help="instruction sets, separated by commas, of which the library chooses "
                        "when it starts (this machine's): avx512, avx2, scalar")
    parser.add_argument("--data", action="store_true",
                        help="write the training data too, as files of raw rows")
    parser.add_argument("--epochs", type=whole(1), metavar="N", help="total number of epochs")
    parser.add_argument("--batch", type=whole(1), metavar="N", help="samples per step")
    parser.add_argument("--seed", type=whole(0, SEEDS), default=0, metavar="N",
                        help="seed of initial.safetensors, of sample order and noise (0)")
    memory_argument(parser)
    set_argument(parser)
