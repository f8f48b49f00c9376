"""How far each bundled network gets in a second: options, metric, and the range it must end in.

Where data alone decide the result, the range is that figure within about a thousandth. Elsewhere it
is chosen around what seed 0 reaches on AVX-512, far from where an untrained network stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dlc.cli.source import load_task
from dlc.compiler import Compiled, task_source
from dlc.runtime.data.batches import bind_arrays, epoch_order
from dlc.task.task import Task
from dlc.task_training import dataset_of

# Planted faults that a short run has to see (tests/faults/test_short_runs.py), by what is broken.
FAULTS = {"sign": "descent_climbs", "moment": "adam_second_moment", "draws": "draws_are_all_equal"}
# What a run can't see: of another optimizer than Adam and its kind; of a network that starts from
# zeros and draws nothing; of a rule without gradients.
NO_MOMENT = ("moment",)
NO_DRAWS = ("moment", "draws")
NEITHER = ("sign", "moment", "draws")


@dataclass(frozen=True)
class Short:
    """A short run: `metric` of the held-out data ends within low .. high. `blind` names the faults
    of FAULTS that don't reach it.

    With `steps` it is the mean loss of the last quarter of so many training steps instead (of
    `phase`, where a task has phases), of a program that only trains: it has half the kernels of one
    that also tests and takes smaller last batches, and they are most of what such a run costs.
    """

    metric: str
    low: float
    high: float
    options: Mapping[str, Any] = field(default_factory=dict)
    blind: tuple[str, ...] = ()
    steps: int = 0
    phase: str = ""


def figure(name: str) -> float:
    """What the short run of a network ends at."""
    short = RUNS[name]
    task = load_task(name).with_options(**short.options) if short.options else load_task(name)
    if short.steps:
        return loss_after(task, short.steps, f"train.{short.phase}" if short.phase else "train")
    return float(task.train(seed=0).metrics[short.metric])


def loss_after(task: Task, steps: int, entry: str) -> float:
    """The mean loss of the last quarter of the first `steps` runs of `entry`, from seed 0."""
    data = dataset_of(task)
    compiled = Compiled(task_source(task, task.batch, {}, kinds=("train",)), "cpu", 0)
    arrays = bind_arrays(data.name, data.train, compiled.program.entries[entry].inputs)
    order = np.arange(data.samples) if data.lanes else epoch_order(0, 0, data.samples)
    losses = []
    with compiled.load(threads=1) as step:
        if any(p.name == "steps_per_epoch" for p in compiled.program.persistent):
            step.write("steps_per_epoch", np.int32(-(-steps // task.epochs)))
        for rows in np.resize(order, (steps, task.batch)):
            fed = {name: array[rows] for name, array in arrays.items()}
            losses.append(float(step(**fed, entry=entry)["loss"]))
    return float(np.mean(losses[-(steps // 4):]))


RUNS = {
    "perceptron": Short("rule.accuracy", 1.0, 1.0, {"epochs": 5}, blind=NEITHER),
    "adaline": Short("erle", 25.0, 60.0, {"epochs": 1}, blind=NO_DRAWS),
    "least_squares_bmi": Short("coefficient", 938.2, 938.3, {"epochs": 10}, blind=NO_DRAWS),
    "ridge": Short("r2", 0.4508, 0.4516, {"epochs": 40}, blind=NO_DRAWS),
    "polynomial_2": Short("loss", 0.0456, 0.0461, {"epochs": 40}, blind=NO_DRAWS),
    "iris": Short("accuracy", 0.95, 1.0, {"data": "iris?test=0&fold=1/10", "epochs": 30},
                  blind=NO_DRAWS),
    "steps": Short("loss", 0.0, 0.002, {"epochs": 60}, blind=NO_DRAWS),
    "xor_online": Short("loss", 0.0, 0.01, {"epochs": 400}, blind=NO_MOMENT),
    "xor": Short("loss", 0.001, 0.02, {"epochs": 60}),
    "equilibrium": Short("loss", 0.6, 1.0, {"epochs": 3}),
    "width_beyond": Short("loss", 0.35, 0.6, {"epochs": 300}),
    "lecun1989": Short("accuracy", 0.93, 0.99, {"epochs": 5}, blind=NO_MOMENT),
    "resnet": Short("loss", 1.9, 2.24, {"blocks": 2, "epochs": 4}, steps=60),
    "capsule": Short("loss", 0.4, 0.58, {"epochs": 2}, steps=40),
    "smoothing": Short("off", 0.0, 1e-5, blind=NO_DRAWS),
    "vgg": Short("loss", 0.9, 1.9, {"epochs": 4}, steps=80),
    "unet": Short("loss", 0.26, 0.39, {"epochs": 5}, steps=60),
    "motion": Short("loss", 1.7, 2.0, {"epochs": 2}, steps=40),
    "transfer_source": Short("loss", 0.45, 0.8, {"epochs": 1}, steps=40),
    "alexnet": Short("loss", 1.5, 2.1, {"epochs": 7}, steps=160),
    "vit": Short("loss", 0.45, 1.0, {"epochs": 7}, steps=160),
    "lenet1998": Short("loss", 0.6, 1.0, {"epochs": 1}, steps=40),
    "siamese": Short("loss", 0.07, 0.092, {"epochs": 2}),
    "ngram": Short("bits", 2.4, 2.7, blind=NEITHER),
    "rnn": Short("loss", 2.3, 2.9, {"epochs": 1}, steps=60),
    "peephole": Short("loss", 2.4, 3.0, {"epochs": 1}, steps=60),
    "carried": Short("loss", 2.8, 3.5, {"epochs": 1}, steps=60),
    "deep": Short("loss", 3.05, 3.23, {"epochs": 1}, steps=60),
    "forward": Short("loss", 3.05, 3.24, {"epochs": 1}, steps=25),
    "bidirectional": Short("loss", 3.05, 3.23, {"epochs": 1}, steps=25),
    "gpt": Short("loss", 2.8, 3.1, {"epochs": 1}, steps=40),
    "reverse": Short("loss", 0.55, 1.1, {"epochs": 1}, steps=60),
    "phonemes": Short("loss", 1.5, 2.1, {"epochs": 1}, steps=40),
    "sort": Short("loss", 0.0, 0.2, {"epochs": 3}, steps=120),
    "nettalk": Short("loss", 0.7, 1.5, {"epochs": 3}, steps=100),
    "truck": Short("docked", 0.7, 1.0, {"epochs": 140}),
    "diagnosis": Short("loss", 0.075, 0.083, {"epochs": 20}),
    "autoencoder": Short("loss", 0.03, 0.06, {"epochs": 15}, steps=200),
    "conv_autoencoder": Short("loss", 0.055, 0.071, {"epochs": 6}, steps=100),
    "anomaly": Short("loss", 0.02, 0.05, {"epochs": 6}, steps=400),
    "deep_autoencoder": Short("loss", 0.025, 0.05, {"epochs": 110}),
    "semantic_hashing": Short("precision", 0.6, 0.78, {"epochs": 8}),
    "vae": Short("loss", 24.0, 28.0, {"epochs": 20}, steps=200),
    "rbm": Short("nats", -9.3, -8.0, {"epochs": 1500}, blind=NO_MOMENT),
    "hopfield": Short("overlap", 0.98, 1.0, blind=NEITHER),
    "hopfield_full": Short("overlap", 0.4, 0.7, blind=NEITHER),
    "encoder": Short("loss", 0.0, 0.3, {"epochs": 800}, blind=NO_MOMENT),
    "deep_belief": Short("accuracy", 0.6, 0.85, {"epochs": 115}),
    "boltzmann": Short("nats", -3.3, -2.9, {"epochs": 100}, blind=NEITHER),
    "gan": Short("score", 2.5, 5.5, {"epochs": 60}),
    "wgan_gp": Short("score", 3.5, 6.5, {"epochs": 30}),
    "dcgan": Short("score", 2.5, 5.0, {"epochs": 8}),
    "caption_gan": Short("accuracy", 0.25, 0.8, {"epochs": 20}),
    "diffusion": Short("loss", 0.25, 0.5, {"epochs": 15}, steps=150, phase="denoise"),
}
