"""The arguments of `dlc bench`, and of the workers that it starts."""

from __future__ import annotations

from typing import Any

from dlc.cli.arguments import THREADS, command, whole


def bench(commands: Any) -> None:
    """dlc bench"""
    parser = command(commands, "bench", "compare step time, start-up and memory with other systems",
                     "bench")
    parser.add_argument("names", nargs="*", metavar="NAME",
                        help="models (default: all that the peers have)")
    parser.add_argument("--against", default="torch,jax", metavar="LIST",
                        help="peers, separated by commas: torch, jax, onnx (torch,jax)")
    parser.add_argument("--dtype", default="f32", help="element type (f32)")
    parser.add_argument("--threads", type=whole(1, THREADS), default=0, metavar="N",
                        help="threads for every system (default: all cores)")
    parser.add_argument("--isa", default="", metavar="ISA",
                        help="hold every system to this instruction set (avx512, avx2)")
    parser.add_argument("--starts", type=whole(1), default=3, metavar="N",
                        help="cold and warm starts of each system (3)")
    parser.add_argument("--rounds", type=whole(1), default=21, metavar="N",
                        help="rounds of interleaved steps (21)")
    parser.add_argument("--predict", action="store_true",
                        help="measure predictions; onnx is a peer then, too")
    parser.add_argument("--batch", metavar="LIST",
                        help="rows of a prediction, separated by commas (1,32)")
    parser.add_argument("--json", metavar="OUT", help="write the results to this file")
    parser.add_argument("--html", metavar="OUT", help="write a page of them to this file")
    parser.add_argument("--png", metavar="OUT", help="write a picture of them to this file")


def bench_worker(commands: Any) -> None:
    """dlc bench-worker, which `dlc bench` starts."""
    parser = command(commands, "bench-worker", None, "bench", "worker")
    parser.add_argument("file", metavar="MODEL")
    parser.add_argument("--threads", type=whole(1, THREADS), required=True)
    parser.add_argument("--batch", type=whole(0), required=True)
    parser.add_argument("--predict", action="store_true")
