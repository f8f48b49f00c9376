"""Optimizers, schedules and clipping: 20 compiled steps of dlc beside torch.optim's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch.testing._internal.common_optimizers import optim_db

import dlc
from dlc import f32, nn, optim
from dlc.runtime.train.plateau import PlateauRule

pytestmark = pytest.mark.conformance
STEPS, BATCH, SEED = 20, 8, 20261
# f32 on both sides; rounding grows over the steps
RELATIVE, ABSOLUTE = 2e-5, 2e-6
NAMES = ("dense1.weight", "dense1.bias", "dense2.weight", "dense2.bias")
TORCH: dict[str, Any] = {"sgd": torch.optim.SGD, "momentum": torch.optim.SGD,
                         "nesterov": torch.optim.SGD, "adam": torch.optim.Adam,
                         "adamw": torch.optim.AdamW, "adagrad": torch.optim.Adagrad,
                         "adadelta": torch.optim.Adadelta, "rmsprop": torch.optim.RMSprop,
                         "adamax": torch.optim.Adamax, "nadam": torch.optim.NAdam,
                         "radam": torch.optim.RAdam}
# torch's words for what dlc calls otherwise
WORDS = {"initial_accumulator_value": "initial", "centered": "centred",
         "decoupled_weight_decay": "decoupled"}
RATES = {"adagrad": 1e-2, "adadelta": 1.0, "rmsprop": 1e-2, "adamax": 2e-3, "nadam": 2e-3}


@dataclass(frozen=True)
class Setting:
    """One optimizer in both libraries; `clip` changes the gradients in torch before its step. dlc
    maximizes by minimizing the negative loss."""

    name: str
    ours: optim.Optimizer
    theirs: Callable[[Any], Any]
    clip: Callable[[Any], Any] | None = None
    schedule: Callable[[Any], Any] | None = None
    maximize: bool = False

    def __str__(self) -> str:
        return self.name


def settled(name: str, clip: Any = None, their_clip: Any = None, **settings: Any) -> Setting:
    """dlc.optim's `name` with torch's settings, in torch's words."""
    words = dict(settings)
    ours = {WORDS.get(k, k): v for k, v in settings.items() if k != "maximize"}
    if name in ("momentum", "nesterov"):
        words.setdefault("momentum", 0.9)
        ours["momentum"] = words["momentum"]
        words["nesterov"] = name == "nesterov"
    if "betas" in ours:
        ours["b1"], ours["b2"] = ours.pop("betas")
    if isinstance(ours.get("lr"), torch.Tensor):
        ours["lr"] = words["lr"] = float(ours["lr"])
    ours.setdefault("lr", RATES.get(name, 1e-3))
    words.setdefault("lr", RATES.get(name, 1e-3))
    text = ", ".join(f"{k}={v}" for k, v in settings.items())
    return Setting(f"{name}({text}){' clipped' if clip else ''}",
                   getattr(optim, name)(**ours, clip=clip),
                   lambda params: TORCH[name](params, **words), their_clip,
                   maximize=bool(settings.get("maximize")))


def from_torch() -> Iterator[Setting]:
    """The configurations that torch tests its own optimizers with."""
    known = {theirs.__name__: name for name, theirs in TORCH.items()}
    for info in optim_db:
        name = {**known, "SGD": "sgd"}.get(info.optim_cls.__name__)
        for given in info.optim_inputs_func(device="cpu") if name else ():
            settings = dict(given.kwargs)
            lookahead = settings.pop("nesterov", False)
            heavy = name == "sgd" and "momentum" in settings
            which = "nesterov" if lookahead else "momentum" if heavy else name
            yield settled(str(which), **settings)


def own() -> Iterator[Setting]:
    """Larger rates, other moments, an eps that matters, and both kinds of clipping."""
    yield settled("sgd", lr=0.3, weight_decay=0.02)
    yield settled("momentum", lr=0.05, momentum=0.5)
    yield settled("nesterov", lr=0.05, momentum=0.95, weight_decay=0.01)
    yield settled("adam", lr=0.03, betas=(0.8, 0.95), eps=1e-2)
    yield settled("adam", lr=0.03, betas=(0.0, 0.9), weight_decay=0.1)
    yield settled("adamw", lr=0.03, betas=(0.9, 0.99), eps=1e-3, weight_decay=0.3)
    for limit in (0.05, 1e3):
        yield settled("nesterov", optim.clip_by_norm(limit), lambda p, most=limit:
                      torch.nn.utils.clip_grad_norm_(p, most), lr=0.1 + limit / 1e4)
    yield settled("adam", optim.clip_by_value(0.02), lambda p:
                  torch.nn.utils.clip_grad_value_(p, 0.02), lr=0.02)


def second_order() -> Iterator[Setting]:
    """torch's L-BFGS, an iteration a step."""
    for lr, history in ((1.0, 10), (0.3, 3), (0.5, 1)):
        yield Setting(f"lbfgs(lr={lr}, history={history})", optim.lbfgs(lr, history),
                      lambda p, lr=lr, most=history: torch.optim.LBFGS(
                          p, lr, max_iter=1, history_size=most))


def muons() -> Iterator[Setting]:
    """torch's configurations of Muon for the matrices, AdamW for the biases."""
    info = next(i for i in optim_db if i.optim_cls.__name__ == "Muon")
    words = {"ns_steps": "steps", "ns_coefficients": "coefficients"}
    for given in info.optim_inputs_func(device="cpu"):
        settings = {k: float(v) if isinstance(v, torch.Tensor) else v
                    for k, v in given.kwargs.items()}
        settings.setdefault("lr", 0.02)
        rule = optim.muon(**{words.get(k, k): v for k, v in settings.items()})
        told = ", ".join(f"{k}={v}" for k, v in settings.items())
        yield Setting(f"muon({told})", optim.by_name({"*.weight": rule, "*": optim.adamw(0.01)}),
                      lambda p, settings=settings: Muon(list(p), settings))


class Muon:
    """torch.optim.Muon in f32 throughout (it casts to bf16, whose eps is 65,536 times f32's)."""

    def __init__(self, params: list[torch.nn.Parameter], settings: dict[str, Any]) -> None:
        self.parts = [torch.optim.Muon([p for p in params if p.ndim == 2], **settings),
                      torch.optim.AdamW([p for p in params if p.ndim != 2], 0.01)]
        self.param_groups = self.parts[0].param_groups

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad()

    def step(self, closure: Any) -> None:
        with mock.patch.object(torch.Tensor, "bfloat16", lambda x: x.clone()):
            for part in self.parts:
                part.step()


def from_optax() -> Iterator[Setting]:
    """What PyTorch has not."""
    import optax

    yield Setting("lion", optim.lion(0.01), lambda p: Optax(p, optax.lion(0.01, weight_decay=0.0)))
    yield Setting("lion(weight_decay=0.3)", optim.lion(0.003, 0.8, 0.95, 0.3),
                  lambda p: Optax(p, optax.lion(0.003, 0.8, 0.95, weight_decay=0.3)))
    yield Setting("lamb", optim.lamb(0.02), lambda p: Optax(p, optax.lamb(0.02)))
    yield Setting("lamb(weight_decay=0.1)", optim.lamb(0.02, 0.8, 0.99, 1e-3, 0.1), lambda p: Optax(
        p, optax.lamb(0.02, 0.8, 0.99, 1e-3, weight_decay=0.1)))


class Optax:
    """A transformation of optax as an optimizer of torch's parameters."""

    def __init__(self, params: Any, rule: Any) -> None:
        self.params, self.rule = list(params), rule
        self.state = rule.init([p.detach().numpy() for p in self.params])

    def zero_grad(self) -> None:
        for p in self.params:
            p.grad = None

    def step(self, closure: Any) -> None:
        values = [p.detach().numpy() for p in self.params]
        grads = [p.grad.numpy() for p in self.params]
        changes, self.state = self.rule.update(grads, self.state, values)
        with torch.no_grad():
            for p, change in zip(self.params, changes, strict=True):
                p += torch.from_numpy(np.array(change))


SETTINGS = [*from_torch(), *own(), *second_order(), *muons()]


def problem(optimizer: optim.Optimizer, maximize: bool = False) -> dlc.Task:
    """Two dense layers that fit random targets, or flee them."""
    net = nn.chain(nn.dense(6), nn.tanh, nn.dense(3))

    @dlc.task(optimizer=optimizer, batch=BATCH)
    def fit(x: f32["batch", 5], y: f32["batch", 3]) -> dlc.Loss:
        return dlc.loss(nn.mse(net(x), y) * (-1.0 if maximize else 1.0))

    return fit


def batches() -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(SEED)
    return [(rng.normal(size=(BATCH, 5)).astype(np.float32),
             rng.normal(size=(BATCH, 3)).astype(np.float32)) for _ in range(STEPS)]


def ours(setting: Setting) -> tuple[dict[str, Any], list[dict[str, Any]], list[float]]:
    """(first values, parameters after each step, learning rates) of the compiled program."""
    compiled = dlc.compile(problem(setting.ours, setting.maximize), batch=BATCH)
    first = {k: np.asarray(v) for k, v in compiled.initial_values(0).items()}
    history, rates = [], []
    with compiled.load(threads=2) as program:
        for x, y in batches():
            out = program(x, y, entry="train")
            rates.append(float(out["lr"]))
            history.append({name: program.read(name) for name in NAMES})
    return first, history, rates


def twin(first: dict[str, Any]) -> torch.nn.Sequential:
    """The same network in PyTorch, with the same first values; its weights are transposed."""
    net = torch.nn.Sequential(torch.nn.Linear(5, 6), torch.nn.Tanh(), torch.nn.Linear(6, 3))
    with torch.no_grad():
        for parameter, name in zip(net.parameters(), NAMES, strict=True):
            parameter.copy_(torch.tensor(first[name].T))
    return net


def theirs(setting: Setting, first: dict[str, Any]) -> tuple[list[dict[str, Any]], list[float]]:
    """(parameters after each step, learning rates) of torch.optim."""
    net = twin(first)
    optimizer = setting.theirs(net.parameters())
    schedule = setting.schedule(optimizer) if setting.schedule else None
    history, rates = [], []
    for x, y in batches():
        loss = torch.nn.functional.mse_loss(net(torch.tensor(x)), torch.tensor(y))
        optimizer.zero_grad()
        loss.backward()
        if setting.clip is not None:
            setting.clip(list(net.parameters()))
        rates += [float(g["lr"]) for g in getattr(optimizer, "param_groups", ())[:1]]
        optimizer.step(lambda loss=loss: loss)
        if schedule is not None:
            schedule.step()
        history.append({n: p.detach().numpy().T.copy() for n, p in
                        zip(NAMES, net.parameters(), strict=True)})
    return history, rates


def follows(setting: Setting) -> float:
    """Compare both trajectories; the largest difference, relative to the parameter's size."""
    first, found, rates = ours(setting)
    expected, their_rates = theirs(setting, first)
    if their_rates:
        np.testing.assert_allclose(rates, their_rates, rtol=2e-6, atol=1e-9)
    worst = 0.0
    for step, (got, want) in enumerate(zip(found, expected, strict=True)):
        for name in NAMES:
            np.testing.assert_allclose(got[name], want[name], RELATIVE, ABSOLUTE,
                                       err_msg=f"{setting}: {name} after step {step + 1}")
            worst = max(worst, float(np.max(np.abs(got[name] - want[name]))
                                     / np.max(np.abs(want[name]))))
    moved = max(float(np.max(np.abs(found[-1][n] - first[n]))) for n in NAMES)
    assert moved > 100 * ABSOLUTE, "the parameters have hardly moved"
    return worst


@pytest.mark.sliced
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_trajectory(setting: Setting) -> None:
    print(f"{setting}: {follows(setting):.1e} from torch.optim after {STEPS} steps, seed {SEED}")


@pytest.mark.sliced
def test_trajectories_of_optax() -> None:
    for setting in from_optax():
        print(f"{setting}: {follows(setting):.1e} from optax after {STEPS} steps, seed {SEED}")


def schedules() -> Iterator[Setting]:
    """Learning rates over the steps, beside torch.optim.lr_scheduler's."""
    of = torch.optim.lr_scheduler

    def pair(name: str, rate: Any, schedule: Callable[[Any], Any], start: float) -> Setting:
        return Setting(name, optim.sgd(rate), lambda p: torch.optim.SGD(p, start),
                       schedule=schedule)

    yield pair("step_decay", optim.step_decay(0.1, 0.5, every=6),
               lambda o: of.StepLR(o, 6, 0.5), 0.1)
    yield pair("exponential", optim.exponential(0.1, 0.9, every=1),
               lambda o: of.ExponentialLR(o, 0.9), 0.1)
    yield pair("cosine", optim.cosine(0.1, 0.01, steps=STEPS),
               lambda o: of.CosineAnnealingLR(o, STEPS, 0.01), 0.1)
    yield pair("piecewise", optim.piecewise({0: 0.1, 5: 0.02, 11: 0.004}),
               lambda o: of.MultiStepLR(o, [5, 11], 0.2), 0.1)
    yield pair("warmup", optim.warmup(0.1, steps=8),
               lambda o: of.LinearLR(o, 1 / 8, 1.0, 7), 0.1)
    yield pair("warmup of cosine", optim.warmup(optim.cosine(0.1, steps=STEPS), steps=5),
               lambda o: of.ChainedScheduler([of.LinearLR(o, 1 / 5, 1.0, 4),
                                              of.CosineAnnealingLR(o, STEPS)]), 0.1)
    yield pair("one_cycle", optim.one_cycle(0.1, steps=STEPS),
               lambda o: of.OneCycleLR(o, 0.1, STEPS, cycle_momentum=False), 0.1)
    yield pair("one_cycle(rise, divide, final)", optim.one_cycle(0.3, 0.5, 10, 100, steps=STEPS),
               lambda o: of.OneCycleLR(o, 0.3, STEPS, pct_start=0.5, div_factor=10,
                                       final_div_factor=100, cycle_momentum=False), 0.1)
    yield pair("a function", lambda step: 0.1 / (1.0 + step / 4),
               lambda o: of.LambdaLR(o, lambda step: 1 / (1 + step / 4)), 0.1)


@pytest.mark.sliced
@pytest.mark.parametrize("setting", list(schedules()), ids=str)
def test_schedule(setting: Setting) -> None:
    print(f"{setting}: {follows(setting):.1e} from torch.optim.lr_scheduler, seed {SEED}")


@pytest.mark.sliced
def test_plateaus() -> None:
    """The count of reductions along 200 random walks is that of torch's ReduceLROnPlateau."""
    rng = np.random.default_rng(SEED)
    for _ in range(200):
        higher = bool(rng.integers(2))
        rule = PlateauRule(int(rng.integers(4)), float(rng.choice([0.0, 1e-2, 0.1])),
                           int(rng.integers(4)))
        values = np.abs(np.cumsum(rng.normal(size=40)) + 3).tolist()
        optimizer = torch.optim.SGD([torch.zeros(1)], 1.0)
        theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, "max" if higher else "min", 0.5, rule.patience, rule.threshold,
            cooldown=rule.cooldown, eps=0.0)
        for number, value in enumerate(values):
            theirs.step(value)
            assert optimizer.param_groups[0]["lr"] == 0.5 ** rule.count(values[:number + 1], higher)
