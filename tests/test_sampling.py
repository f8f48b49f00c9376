"""Networks that draw random numbers: net.sample, and `dlc sample -o`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, i32, nn, optim
from dlc.cli import main
from dlc.network import Network
from dlc.runtime.data import Dataset
from dlc.runtime.report.images import in_rows, pictures_of

make = nn.dense(9)


def task(source: str = "") -> dlc.Task:
    """A generator of 3x3 pictures; with a label each is `label` brighter."""
    @dlc.task(name="generator", optimizer=optim.sgd(0.1), batch=8, report={"shows": "samples"})
    def plain(image: f32["batch", 9]) -> Any:
        drawn = make(dlc.random.normal((image.shape[0], 4)))
        return dlc.loss(nn.mse(drawn, image), prediction=drawn)

    @dlc.task(name="labelled", optimizer=optim.sgd(0.1), batch=8, report={"shows": "samples"})
    def labelled(image: f32["batch", 9], label: i32["batch"]) -> Any:
        drawn = make(dlc.random.normal((image.shape[0], 4))) + dlc.cast(label, f32)[:, None] * 100
        return dlc.loss(nn.mse(drawn, image), prediction=drawn)

    return labelled if source == "labelled" else plain


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    rows = {"image": np.ones((16, 9), np.float32), "label": np.zeros(16, np.int32)}
    task().train({"image": rows["image"]}, folder=folder / "plain", epochs=1)
    task("labelled").train(rows, folder=folder / "labelled", epochs=1)
    return folder


def test_samples_follow_from_the_seed_and_none_repeats(runs: Path) -> None:
    """Also beyond the largest block, whose draws another block's would repeat."""
    with dlc.load(runs / "plain") as net:
        first = net.sample(150)
        assert first.shape == (150, 9) and len(np.unique(first, axis=0)) == 150
        assert np.array_equal(first, net.sample(150))
        assert not np.any(first == net.sample(150, seed=1))


def test_what_samples_are_conditioned_on(runs: Path) -> None:
    with dlc.load(runs / "labelled") as net:
        assert np.all(net.sample(9, label=[3]).mean(1) > 200)
        each = net.sample(3, label=np.array([0, 5, 9])).mean(1)
        assert each[0] < 100 < each[1] < 700 < each[2]
        again = net.predict(label=np.array([0], np.int32))
        net.sample(1, seed=5, label=[0])
        assert np.array_equal(again, net.predict(label=np.array([0], np.int32)))


def refused(net: Network, *args: Any, **named: Any) -> str:
    with pytest.raises(DlcError) as caught:
        net.sample(*args, **named)
    return str(caught.value)


def test_what_cannot_be_sampled(runs: Path) -> None:
    with dlc.load(runs / "labelled") as net:
        assert "sample: label has 2 rows, for 3 samples" in refused(net, 3, label=[1, 2])
        assert "labelled takes label" in refused(net, 3)
        assert "sample: 0 samples" in refused(net, 0, label=[1])
        assert "sample: seed -1" in refused(net, 3, seed=-1, label=[1])
    with dlc.load(runs / "plain") as net, pytest.raises(DlcError, match=r"takes no rows: it draws"):
        net.predict()


def test_a_network_without_draws() -> None:
    @dlc.task(optimizer=optim.sgd(0.1), batch=8)
    def classifier(image: f32["batch", 9], label: i32["batch"]) -> Any:
        return dlc.loss(nn.cross_entropy(make(image), label))

    rows = {"image": np.ones((16, 9), np.float32), "label": np.zeros(16, np.int32)}
    net = classifier.train(rows, epochs=1).network
    assert "draws no random numbers" in refused(net, 3)


@dlc.task(name="coded", optimizer=optim.sgd(0.1), batch=8)
def coded(image: f32["batch", 9]) -> Any:
    """An autoencoder that names what it draws from the prior; its decoder is `make`."""
    code = nn.dense(4, name="encode")(image) + 0.1 * dlc.random.normal((image.shape[0], 4))
    return dlc.loss(nn.mse(make(code), image),
                    samples=make(dlc.random.normal((image.shape[0], 4))))


def test_samples_that_are_not_the_prediction(tmp_path: Path) -> None:
    """They take no rows, and are the decoder's answers to codes from the prior, here of one weight
    matrix: their covariance is weight.T @ weight."""
    trained = coded.train({"image": np.ones((16, 9), np.float32)}, folder=tmp_path, epochs=1)
    rows = np.zeros((3, 9), np.float32)
    with dlc.load(tmp_path) as net:
        before, drawn = net.predict(rows), net.sample(4000)
        assert drawn.shape == (4000, 9) and list(net.inputs) == ["image"]
        assert np.array_equal(before, net.predict(rows))
        weight = next(v for k, v in net.values.items() if v.shape == (4, 9))
        # an entry of a covariance of n normal rows has a deviation of at most 2 var / sqrt(n)
        spread = weight.T @ weight
        bound = 5 * np.sqrt(2 / 4000) * float(np.diag(spread).max())
        np.testing.assert_allclose(np.cov(drawn.T), spread, atol=bound)
        assert np.array_equal(drawn[:64], trained.network.sample(4000)[:64])


def test_samples_alone_are_the_prediction() -> None:
    @dlc.task(optimizer=optim.sgd(0.1), batch=8)
    def alone(image: f32["batch", 9]) -> Any:
        drawn = make(dlc.random.normal((image.shape[0], 4)))
        return dlc.loss(dlc.square(drawn.mean(0) - image.mean(0)).mean(), samples=drawn)

    net = alone.train({"image": np.ones((16, 9), np.float32)}, epochs=1).network
    assert net.sample(3).shape == (3, 9) and not net.inputs
    assert alone.meta(alone.graphs())["subject"]["kind"] == "samples"


@pytest.mark.parametrize(("wrong", "message"), [
    (lambda image: dlc.random.normal((3, 4)), "has no row for each of the 8 of the batch"),
    (lambda image: image * 2.0, "depends on no random numbers")])
def test_what_cannot_be_samples(wrong: Any, message: str) -> None:
    @dlc.task(optimizer=optim.sgd(0.1), batch=8)
    def task(image: f32["batch", 9]) -> Any:
        return dlc.loss(nn.mse(make(image), image), samples=wrong(image))

    with pytest.raises(DlcError, match=message) as caught:
        task.graphs()
    assert "test_sampling.py" in str(caught.value)


FILE = """
import dlc
from dlc import f32, nn, optim
make = nn.dense(9)
@dlc.task(optimizer=optim.sgd(0.1), batch=8, report={"shows": "samples"})
def generator(image: f32["batch", 9]):
    drawn = make(dlc.random.normal((image.shape[0], 4)))
    return dlc.loss(nn.mse(drawn, image), prediction=drawn)
"""


def test_pictures_go_to_a_file(runs: Path, tmp_path: Path,
                               capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "generator.py").write_text(FILE, encoding="utf-8")
    sample = ["sample", str(tmp_path / "generator.py"), "--weights", str(runs / "plain")]
    for name, status in (("a.png", 0), ("a.npy", 0), ("a.jpg", 2)):
        assert main([*sample, "-n", "5", "-o", str(tmp_path / name)]) == status, name
    assert np.load(tmp_path / "a.npy").shape == (5, 9)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert main(sample) == 2
    assert main([*sample, "-o", "a.npy", "--given", "x=1"]) == 2
    assert "generator takes nothing" in capsys.readouterr().err


def test_pictures_from_the_prior_go_to_a_file(tmp_path: Path) -> None:
    """Without --given: the rows that the network reconstructs are not needed."""
    source = tmp_path / "coded.py"
    source.write_text(FILE.replace("prediction=drawn", "samples=drawn").replace(
        "nn.mse(drawn, image)", "nn.mse(make(image[:, :4]), image)").replace(
        ', report={"shows": "samples"}', ""), encoding="utf-8")
    rows = np.ones((16, 9), np.float32)
    np.savez(tmp_path / "rows.npz", image=rows)
    run = ["--out", str(tmp_path / "run"), "--epochs", "1", "--set",
           f"data={tmp_path / 'rows.npz'}"]
    assert main(["train", str(source), *run]) == 0
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "<h2>Samples</h2>" in page and "<h2>Reconstructions</h2>" in page
    assert main(["sample", str(source), "--weights", str(tmp_path / "run"), "-n", "5", "-o",
                 str(tmp_path / "a.npy")]) == 0
    assert np.load(tmp_path / "a.npy").shape == (5, 9)


def test_rows_of_pictures() -> None:
    rows = np.arange(5 * 4, dtype=np.float32).reshape(5, 4)
    pictures = pictures_of(rows)
    assert pictures is not None and pictures.shape == (5, 1, 2, 2)
    assert in_rows(pictures, 1).shape == (2 * 3 + 1, 3 * 3 + 1)
    assert pictures_of(np.zeros((5, 3, 2, 2))) is not None
    assert pictures_of(np.zeros((5, 7))) is None


WORDS = ("", "dark", "light", "very")


@dlc.task(name="painter", data="captions", optimizer=optim.sgd(0.1), batch=8,
          report={"shows": "samples"})
def painter(image: f32["batch", 9], caption: i32["batch", 3]) -> Any:
    """Pictures that are by 100 brighter for each "light"; one "very" adds 1,000."""
    told = (dlc.cast(caption == 2, f32) * 100 + dlc.cast(caption == 3, f32) * 1000).sum(1)
    drawn = make(dlc.random.normal((image.shape[0], 4))) + told[:, None]
    return dlc.loss(nn.mse(drawn, image), prediction=drawn)


def test_samples_of_what_a_text_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In Python and on the command line, from a checkpoint that holds the words."""
    rows = {"image": np.ones((16, 9), np.float32), "caption": np.zeros((16, 3), np.int32)}
    painter.train(Dataset("captions", rows, words={"caption": WORDS, "other": ("a",)}),
                  folder=tmp_path / "run", epochs=1)
    with dlc.load(tmp_path / "run") as net:
        assert net.words == {"caption": list(WORDS)}
        means = net.sample(3, caption=["dark", "light", "very light"]).mean(1)
        assert means[0] < 50 < means[1] < 500 < means[2]
        assert np.array_equal(net.sample(5, caption="light"), net.sample(5, caption=[[2, 0, 0]]))
        assert np.array_equal(net.predict(caption=["dark"]), net.predict(caption=[[1, 0, 0]]))
        assert "the word 'bright' of 'bright' is not in the data" in refused(
            net, 3, caption="bright")
    (tmp_path / "painter.py").write_text(
        "from tests.test_sampling import painter\n", encoding="utf-8")
    sample = ["sample", str(tmp_path / "painter.py"), "--weights", str(tmp_path / "run"), "-n", "4",
              "-o", str(tmp_path / "a.npy")]
    for asked in (["--prompt", "very light"], ["--given", "caption=very light"],
                  ["--given", "caption=3,2,0"]):
        assert main([*sample, *asked]) == 0, asked
        assert np.load(tmp_path / "a.npy").mean() > 1000
    capsys.readouterr()
    assert main([*sample, "--prompt", "very big"]) == 2
    assert "the word 'big' of 'very big' is not in the data" in capsys.readouterr().err
    assert main(sample) == 2
    assert "or caption=TEXT" in capsys.readouterr().err


def test_a_generator_that_takes_no_text(runs: Path, tmp_path: Path,
                                        capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "generator.py").write_text(FILE, encoding="utf-8")
    assert main(["sample", str(tmp_path / "generator.py"), "--weights", str(runs / "plain"),
                 "-o", str(tmp_path / "a.npy"), "--prompt", "three"]) == 2
    assert "--prompt: generator takes no text" in capsys.readouterr().err
