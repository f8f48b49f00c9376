"""An encoder and a decoder: one recurrent network reads a sequence, another writes one."""

from __future__ import annotations

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.ir.types import Type
from dlc.lang.array import rearrange
from dlc.lang.layer import Layer
from dlc.lang.loops import scan
from dlc.lang.scope import training
from dlc.nn import checks
from dlc.nn.layers import dense
from dlc.nn.recurrent import gru, gru_cell
from dlc.nn.tables import embedding
from dlc.ops import elementwise, reduce, view
from dlc.ops.leaf import constant


def encoder_decoder(read: int, written: int, units: int, *, size: int = 16,
                    name: str = "") -> Layer:
    """Scores of what is written, [batch, length, written], for what is read: layer(x, y), both
    integers [batch, time] and [batch, length].

    A GRU of `units` reads x of `read` symbols in tables of `size` columns; its last state, the
    summary, begins that of a second one, and stands in each of its inputs beside the symbol before:
    that of y in training, the likeliest of the network's own otherwise, where y gives the length
    alone. Parameters are those of the layers reads, summary, start, writes, cell and score.

    Raises DlcError for arrays of other ranks. Source: Cho et al. 2014, sections 2.2 and 3.2.
    """
    checks.at_least("encoder_decoder", 1, read=read, written=written, units=units, size=size)
    reads, summarize = embedding(read, size, name="reads"), gru(units, returns="last",
                                                                name="summary")
    start, cell, score = dense(units, name="start"), gru_cell(units, name="cell"), dense(
        written, name="score")
    said = embedding(written + 1, size, name="writes")  # the last stands before the first symbol

    def apply(x: Node, y: Node) -> Node:
        for sequence in (x, y):
            if sequence.ndim != 2 or not sequence.dtype.is_integer:
                raise DlcError(f"{describe(sequence)} is no batch of sequences", here(),
                               "integers [batch, time]")
        summary = summarize(reads(x))

        def step(state: tuple[Node, Node], true: Node) -> tuple[tuple[Node, Node], Node]:
            h = cell(view.concat([said(state[1]), summary], 1), state[0])
            scores = score(h)
            after = true if training() else reduce.argmax(scores, 1).cast(y.dtype)
            return (h, after), scores

        begin = constant(written, Type(y.dtype, (y.shape[0],)))
        first = elementwise.tanh(start(summary)), begin
        return rearrange.moveaxis(scan(step, first, rearrange.moveaxis(y, 1, 0))[1], 0, 1)

    return Layer("encoder_decoder", apply, f"encoder_decoder({read}, {written}, {units})", name,
                 here())
