"""The truck backer-upper: an emulator learns how a truck moves, a controller to back it to a dock.

After D. Nguyen and B. Widrow, The truck backer-upper: an example of self-learning in neural
networks, 1989: a network of 45 hidden units learns the next position from the present one and the
steering; through it, 50 steps long, flow the gradients of the final error to a controller of 25
hidden units. `docked` is the share of 200 random starts from which the truck, moved by its exact
kinematics, comes to the dock within a tenth of the trailer's length and a tenth of a radian;
`emulator` is the emulator's error, as a share of a step's length.
Differs: Adam, and the error of the whole path counts, the end most, in place of lessons from ever
longer distances.
"""

from __future__ import annotations

import math

import dlc
from dlc import Node, f32, nn, optim

CAB, TRAILER, MOVED, STEPS = 0.6, 1.4, 0.2, 50  # in tens of metres; a step backs by MOVED
emulator = nn.chain(nn.dense(45), nn.tanh, nn.dense(4), name="emulator")
controller = nn.chain(nn.dense(25), nn.tanh, nn.dense(1), nn.tanh, name="controller")


def moved(state: Node, steering: Node) -> Node:
    """Exact kinematics: x, y of the trailer's rear, angles of trailer and cab; f32[batch, 4]."""
    x, y, trailer, cab = (state[:, i] for i in range(4))
    forth, side = MOVED * dlc.cos(steering[:, 0]), MOVED * dlc.sin(steering[:, 0])
    along, across = forth * dlc.cos(cab - trailer), forth * dlc.sin(cab - trailer)
    return dlc.stack([x - along * dlc.cos(trailer), y - along * dlc.sin(trailer),
                      trailer - dlc.atan(across / TRAILER), cab - dlc.atan(side / CAB)], 1)


def emulated(state: Node, steering: Node) -> Node:
    """What the emulator says of the next state: the present one, and a small change."""
    change: Node = emulator(dlc.concat([state, steering], 1))
    return state + MOVED * change


def steered(state: Node) -> Node:
    """The controller's angle of the front wheels, within 70 degrees."""
    angle: Node = controller(state)
    return math.radians(70.0) * angle


def emulate(start: f32["batch", 4]) -> dlc.Loss:
    """States anywhere in the yard, with any steering."""
    spread = dlc.random.uniform(start.shape, -1.0, 1.0) * dlc.asarray([6.0, 3.0, 1.6, 1.0], f32)
    state = dlc.concat([spread[:, :3], spread[:, 2:3] + spread[:, 3:]], 1)
    steering = dlc.random.uniform((start.shape[0], 1), -1.2, 1.2)
    wrong = (emulated(state, steering) - moved(state, steering)) / MOVED
    return dlc.loss(dlc.square(wrong).mean())


def control(start: f32["batch", 4]) -> dlc.Loss:
    """The truck backs to x = 0; in training as the emulator says, else as it does."""
    move = emulated if dlc.training() else moved

    def step(state: Node, late: Node) -> tuple[Node, Node]:
        there = state[:, :1] <= 0.0
        after = dlc.where(there, state, move(state, steered(state)))
        apart = dlc.square(after[:, 1]) + dlc.square(after[:, 2])
        folded = dlc.square(after[:, 3] - after[:, 2])
        return after, late * apart + 0.1 * folded

    end, costs = dlc.scan(step, start, (dlc.arange(STEPS, dtype=f32) + 1.0) / STEPS)
    docked = (end[:, 0] <= 0.0) & (dlc.abs(end[:, 1]) < 0.1 * TRAILER) & (dlc.abs(end[:, 2]) < 0.1)
    step_error = dlc.abs(emulated(start, steered(start)) - moved(start, steered(start))).max(1)
    return dlc.loss(costs.mean(), docked=dlc.cast(docked, f32).mean(), prediction=end,
                    emulator=step_error.mean() / MOVED)


truck = dlc.task(name="truck", data="yard", batch=50, epochs=300, phases=[
    dlc.phase("emulate", emulate, optim.adam(3e-3), params=emulator, stop=100),
    dlc.phase("control", control, optim.adam(optim.one_cycle(1e-2), clip=optim.clip_by_norm(1.0)),
              params=controller, start=100)])
