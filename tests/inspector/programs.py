"""Programs that the inspector's tests share, each compiled once in a process."""

from __future__ import annotations

from functools import cache

import numpy as np

import dlc
from dlc import f32, i32, nn, optim
from dlc.compiler import Compiled, task_source
from dlc.inspector.gather import inspect
from dlc.inspector.record import Inspection
from dlc.ir.graph import Node
from dlc.models.lenet import lenet
from dlc.models.peers import NETWORKS

HOSTILE = "</script><b title='\"&\u2028\u202e${x}`"


def looping(w: f32[8, 8], xs: f32["time", 8]) -> Node:
    def step(h: Node, x: Node) -> tuple[Node, Node]:
        h = dlc.tanh(x + h @ w)
        return h, dlc.sum(h * h)

    _, losses = dlc.scan(step, np.zeros(8, np.float32), xs)
    return dlc.mean(losses)


def branching(x: f32[32], flag: i32[()]) -> Node:
    return dlc.cond(flag > 0, lambda v: dlc.cumsum(v), lambda v: dlc.sort(v) * 2, x).sum()


def planted(x: f32[1280, 512], w: f32[512, 8192]) -> Node:
    wide = dlc.tanh(x @ w)
    shares = wide / wide.sum(1, keepdims=True)
    return shares.max(0)


def replacing(x: f32[64, 300], w: f32[300, 200]) -> Node:
    h = dlc.tanh(x @ w)
    scale = dlc.sum(h @ w.T)
    return (h * scale) @ w.T


net = nn.chain(nn.conv(4, 3), nn.batch_norm(), dlc.relu, nn.max_pool(2), nn.flatten, nn.dense(10))


@dlc.task(data="digits", optimizer=optim.momentum(0.1, 0.9, clip=optim.clip_by_norm(1.0)), batch=16)
def normalized(image: f32["batch", 1, 28, 28], label: i32["batch"]) -> dlc.Loss:
    return dlc.loss(nn.cross_entropy(net(image), label))


@dlc.task(data="digits8", optimizer=optim.adam(1e-3), batch=16)
def recurrent(image: f32["batch", 64], label: i32["batch"]) -> dlc.Loss:
    seen = nn.lstm(8)(dlc.reshape(image, (image.shape[0], 8, 8)))
    return dlc.loss(nn.cross_entropy(nn.dense(10)(seen[:, -1]), label))


FUNCTIONS = {"branch": branching, "planted": planted, "replacing": replacing}
TASKS = {"normalized": normalized, "recurrent": recurrent}


@cache
def compiled(name: str) -> Compiled:
    if name == "lenet":
        return dlc.compile(lenet, batch=16)
    if name == "loop":
        return dlc.compile(dlc.value_and_grad(looping), time=12)
    if name in FUNCTIONS:
        return dlc.compile(FUNCTIONS[name])
    if name in NETWORKS:  # the training step alone
        return Compiled(task_source(NETWORKS[name](), None, {}, kinds=("train",)), "cpu")
    return dlc.compile(TASKS[name])


@cache
def inspection(name: str) -> Inspection:
    return inspect(compiled(name))
