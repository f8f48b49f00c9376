"""The bundled networks by chapter, with the figure that each must reach; a file each, in the DSL.

A name here is what `dlc train NAME` takes. The docstring of a file opens with what the network is,
and names in a paragraph that begins with "After" the paper that it follows.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """What a network must reach: `metric` after `dlc train NAME`, of the held-out data, or of the
    training data where none are held out (test=0 without `folds`).

    `at_least` or `at_most` bounds it; `beats` names the network whose own figure it must be better
    than, trained from the same seed. `folds` averages over as many folds of the data. `file` is the
    file of models/ that defines the task where that isn't called like the network. `init` names the
    network whose trained weights it starts from.
    """

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    beats: str = ""
    folds: int = 0
    file: str = ""
    init: str = ""

    @property
    def more_is_better(self) -> bool:
        """Whether a higher figure is the better one."""
        return self.at_most is None

    def reached(self, figure: float) -> bool:
        """Whether `figure` is within the bound."""
        return figure >= self.at_least if self.at_least is not None else figure <= self.bound

    @property
    def bound(self) -> float:
        """The number that the figure is held to."""
        found = self.at_least if self.at_least is not None else self.at_most
        assert found is not None, "a goal has a bound"
        return found

    @property
    def sign(self) -> str:
        """How a figure compares with the bound that it keeps."""
        return ">=" if self.more_is_better else "<="

    def __str__(self) -> str:
        beats = f", beats {self.beats}" if self.beats else ""
        mean = f", mean of {self.folds} folds" if self.folds else ""
        return f"{self.metric} {self.sign} {self.bound:g}{mean}{beats}"


CHAPTERS: dict[str, dict[str, Goal]] = {
    "Neurons and linear models": {
        "perceptron": Goal("rule.accuracy", at_least=1.0),
        "perceptron_xor": Goal("accuracy", at_most=0.75, file="perceptron"),
        "adaline": Goal("erle", at_least=30.0),
        "linear_regression": Goal("loss", at_most=0.012),
        "least_squares_bmi": Goal("r2", at_least=0.4725, file="regression"),
        "least_squares": Goal("r2", at_least=0.5177, file="regression"),
        "ridge": Goal("r2", at_least=0.4512, file="regression"),
        "lasso": Goal("fista.zeros", at_least=7, file="regression"),
        "elastic_net": Goal("fista.r2", at_least=0.379, file="regression"),
        "polynomial_1": Goal("loss", at_most=0.13, file="polynomial"),
        "polynomial_2": Goal("loss", at_most=0.046, beats="polynomial_9", file="polynomial"),
        "polynomial_9": Goal("loss", at_most=0.06, file="polynomial"),
        "logistic_regression": Goal("accuracy", at_least=0.94),
        "breast_cancer": Goal("accuracy", at_least=0.977, folds=10, file="logistic"),
        "iris": Goal("accuracy", at_least=0.973, folds=10, file="logistic"),
        "diagnosis": Goal("auc", at_least=0.99),
    },
    "Multilayer perceptrons": {
        "steps": Goal("loss", at_most=1e-4),
        "xor": Goal("accuracy", at_least=1.0),
        "xor_online": Goal("accuracy", at_least=1.0, file="xor_nets"),
        "xor_1986": Goal("accuracy", at_least=1.0, file="xor_nets"),
        "xor_skip": Goal("accuracy", at_least=1.0, file="xor_nets"),
        "xor_relu": Goal("accuracy", at_least=1.0, file="xor_nets"),
        "mirror": Goal("accuracy", at_least=1.0),
        "encoder": Goal("accuracy", at_least=1.0),
        "mlp": Goal("accuracy", at_least=0.975),
        "width_below": Goal("loss", at_most=1.0, beats="width_critical", file="width"),
        "width_critical": Goal("loss", at_least=0.8, file="width"),
        "width_beyond": Goal("loss", at_most=0.7, beats="width_below", file="width"),
        "equilibrium": Goal("accuracy", at_least=0.95),
        "unrolled": Goal("accuracy", at_least=0.95, file="equilibrium"),
    },
    "Convolutional networks": {
        "lecun1989": Goal("accuracy", at_least=0.95),
        "lenet": Goal("accuracy", at_least=0.985),
        "lenet1998": Goal("accuracy", at_least=0.96),
        "alexnet": Goal("accuracy", at_least=0.92),
        "vgg": Goal("accuracy", at_least=0.96),
        "resnet": Goal("accuracy", at_least=0.95),
        "resnet_plain": Goal("accuracy", at_most=0.75, file="resnet"),
        "motion": Goal("accuracy", at_least=0.95),
        "unet": Goal("iou", at_least=0.85),
        "capsule": Goal("accuracy", at_least=0.97),
        "vit": Goal("accuracy", at_least=0.95),
        "smoothing": Goal("off", at_most=1e-5),
        "smoothing_2d": Goal("off", at_most=2e-4, file="smoothing"),
        "siamese": Goal("auc", at_least=0.9),
        "transfer_source": Goal("accuracy", at_least=0.96, file="transfer"),
        "transfer_scratch": Goal("accuracy", at_least=0.8, file="transfer"),
        "transfer_frozen": Goal("accuracy", at_least=0.87, file="transfer", init="transfer_source"),
        "transfer_tuned": Goal("accuracy", at_least=0.88, beats="transfer_scratch",
                               file="transfer", init="transfer_source"),
    },
    "Recurrent networks and language models": {
        "ngram": Goal("bits", at_most=2.65),
        "rnn": Goal("bits", at_most=2.25, beats="ngram", file="characters"),
        "gru": Goal("bits", at_most=2.1, beats="ngram", file="characters"),
        "lstm": Goal("bits", at_most=2.4, beats="ngram", file="characters"),
        "gpt": Goal("bits", at_most=2.26, beats="ngram"),
        "reverse": Goal("whole", at_least=0.9, file="seq2seq"),
        "sort": Goal("whole", at_least=0.95, file="seq2seq"),
        "nettalk": Goal("accuracy", at_least=0.99),
        "phonemes": Goal("accuracy", at_least=0.93, file="nettalk"),
        "deep": Goal("bits", at_most=2.5, beats="ngram", file="recurrent"),
        "peephole": Goal("bits", at_most=2.4, beats="ngram", file="recurrent"),
        "carried": Goal("bits", at_most=2.4, beats="ngram", file="recurrent"),
        "forward": Goal("bits", at_most=3.0, file="recurrent"),
        "bidirectional": Goal("bits", at_most=2.5, beats="forward", file="recurrent"),
    },
    "Control": {
        "truck": Goal("docked", at_least=0.95),
    },
    "Codes and generators": {
        "linear_autoencoder": Goal("loss", at_most=0.031, file="autoencoder"),
        "autoencoder": Goal("loss", at_most=0.02, beats="linear_autoencoder"),
        "conv_autoencoder": Goal("loss", at_most=0.02, beats="linear_autoencoder",
                                 file="autoencoder"),
        "denoising": Goal("loss", at_most=0.02, file="autoencoder"),
        "anomaly": Goal("auc", at_least=0.85, file="autoencoder"),
        "deep_autoencoder": Goal("loss", at_most=0.02, beats="linear_autoencoder"),
        "semantic_hashing": Goal("precision", at_least=0.8),
        "deep_belief_random": Goal("accuracy", at_least=0.75, file="deep_belief"),
        "deep_belief": Goal("accuracy", at_least=0.8, beats="deep_belief_random"),
        "vae": Goal("loss", at_most=25.0),
        "gan": Goal("score", at_least=6.0),
        "wgan_gp": Goal("score", at_least=6.0, file="gan"),
        "dcgan": Goal("score", at_least=4.5),
        "caption_gan": Goal("accuracy", at_least=0.9),
        "diffusion": Goal("accuracy", at_least=0.8),
        "boltzmann": Goal("nats", at_least=-2.75),
        "rbm": Goal("nats", at_least=-6.5),
        "rbm_persistent": Goal("nats", at_least=-6.5, file="rbm"),
        "hopfield": Goal("overlap", at_least=0.95),
        "hopfield_full": Goal("overlap", at_most=0.75, file="hopfield"),
    },
}
GOALS: dict[str, Goal] = {name: goal for part in CHAPTERS.values() for name, goal in part.items()}


def file_of(name: str) -> str:
    """The module of models/ that holds the network `name`."""
    return GOALS[name].file or name


def command(name: str) -> str:
    """What trains the network `name` from the command line, after the one whose weights it takes.
    """
    first = GOALS[name].init
    return f"dlc train {name} --init runs/{first}" if first else f"dlc train {name}"
