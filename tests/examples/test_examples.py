"""Each example runs, small, and shows what it claims."""

import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest

from .running import example


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def write_mnist(folder, rows):
    """Two classes, with the upper or the lower half of 4 x 4 pixels lit, noise, and every fifth label at random."""
    draw = np.random.default_rng(0)
    for part in ("train", "t10k"):
        labels = draw.integers(0, 2, rows)
        images = draw.integers(0, 120, (rows, 4, 4))
        images[labels == 0, :2] += 100
        images[labels == 1, 2:] += 100
        labels[::5] = draw.integers(0, 2, len(labels[::5]))
        write_idx(folder / f"{part}-images-idx3-ubyte", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels)


def check(result, picture, printed):
    assert list(result.schedules) == ["constant", "cosine", "exponential", "learned"]
    for judged in result.schedules.values():
        assert f"{np.mean(judged.losses):.4f} ± " in printed
        assert f"{np.mean(judged.errors):.2%} ± " in printed
        assert np.all(np.isfinite(judged.losses))
        assert jnp.all(judged.rates > 0)
    assert result.tuned.value <= result.tuned.start_value
    assert "nan" not in printed
    assert matplotlib.image.imread(picture).std() > 0.05  # something is drawn


def test_hypertrain_on_digits(tmp_path, capsys):
    picture = tmp_path / "new folder" / "picture.png"
    result = example("hypertrain").main(["--steps", "20", "--outer-steps", "12", "--out", str(picture)])
    check(result, picture, capsys.readouterr().out)
    schedules = result.schedules
    assert np.median(schedules["learned"].losses) < 0.97 * np.median(schedules["constant"].losses)
    assert np.mean(schedules["learned"].errors) < 0.1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`tune` found no settings that are better")  # of fifty images one learns little
def test_hypertrain_on_files(tmp_path, capsys):
    write_mnist(tmp_path, 60)
    picture = tmp_path / "picture.png"
    arguments = ["--data", str(tmp_path), "--rows", "40", "--steps", "10", "--outer-steps", "3", "--out", str(picture)]
    result = example("hypertrain").main(arguments)
    printed = capsys.readouterr().out
    check(result, picture, printed)
    assert "40 training, 12 validation and 60 test images" in printed


def truncate(folder):
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "nowhere: expected a directory"),
        (["--data", "empty"], "expected a file train-images-idx3-ubyte"),
        (["--data", "truncated"], "truncated/train-images-idx3-ubyte: "),
        (["--steps", "0"], "--steps must be at least 1, got 0"),
    ],
)
def test_hypertrain_refuses_bad_input_in_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "truncated").mkdir()
    write_mnist(tmp_path / "truncated", 5)
    truncate(tmp_path / "truncated")
    with pytest.raises(SystemExit):
        example("hypertrain").main(arguments)
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in error


def test_sweep(tmp_path, capsys):
    picture = tmp_path / "sweep.png"
    sweeps = example("sweep").main(["--side", "2", "--seeds", "3", "--epochs", "2", "--out", str(picture)])
    assert sweeps.grid.valid_loss.shape == (2, 2)
    assert sweeps.seeds.valid_history.shape == (3, 2)
    printed = capsys.readouterr().out
    assert "4 trainings, one for each rate and penalty" in printed
    assert f"lowest validation loss is {jnp.min(sweeps.grid.valid_loss):.4f}" in printed
    assert jnp.max(sweeps.grid.valid_loss[0]) > 3 * jnp.min(sweeps.grid.valid_loss[1])  # a rate of 1 beats 0.001
    assert matplotlib.image.imread(picture).std() > 0.05


def test_chaos(tmp_path, capsys):
    picture = tmp_path / "picture.png"
    result = example("chaos").main(["--rates", "24", "--steps", "60", "--out", str(picture)])
    printed = capsys.readouterr().out
    assert f"crosses zero at a learning rate of {result.edge:.3g}" in printed
    below, size = result.below, abs(result.hypergradients)
    assert 0 < below.sum() < len(below)
    assert np.all(result.growth[below] <= 0)
    assert size[below].max() < 1  # and the loss is smooth there: neighbors differ as the derivative says
    slopes = np.diff(result.losses[below]) / np.diff(np.log(result.rates[below]))
    middles = (result.hypergradients[below][1:] + result.hypergradients[below][:-1]) / 2
    np.testing.assert_allclose(slopes, middles, atol=0.01)
    assert np.median(size[~below]) > 1e12
    assert result.losses[~below].max() < 1e3
    assert matplotlib.image.imread(picture).std() > 0.05


def test_aeneid(tmp_path, capsys):
    picture = tmp_path / "picture.png"
    learned = example("aeneid").main(["--epochs", "20", "--parts", "2", "--cells", "12", "--out", str(picture)])
    printed = capsys.readouterr().out
    vocabulary = len(learned.language)
    assert vocabulary == 111
    np.testing.assert_allclose(learned.losses[0], np.log(vocabulary), rtol=0.02)
    assert learned.parts[-1].loss < learned.parts[0].loss < learned.losses[0]
    assert len(learned.losses) == 20
    assert all(sample in printed and sample.startswith("Arms") for sample in learned.samples)
    assert f"After 20 epochs the cross entropy is {learned.parts[-1].loss:.3f}" in printed
    assert matplotlib.image.imread(picture).std() > 0.05


def test_digits(tmp_path, capsys):
    picture = tmp_path / "picture.png"
    arguments = ["--hidden", "16", "--steps", "60", "--epochs", "3", "--out", str(picture)]
    result = example("digits").main(arguments)
    printed = capsys.readouterr().out
    assert result.pair_error < 0.02
    assert result.network_error < 0.5
    counts = np.asarray(result.confusion)
    np.testing.assert_allclose(1 - np.trace(counts) / counts.sum(), result.network_error)
    assert f"test error {result.pair_error:.2%}" in printed
    assert f"test error {result.network_error:.2%}" in printed
    assert matplotlib.image.imread(picture).std() > 0.05


def test_lenet(tmp_path, capsys):
    write_mnist(tmp_path, 100)
    picture = tmp_path / "picture.png"
    trained = example("lenet").main(["--data", str(tmp_path), "--epochs", "10", "--out", str(picture)])
    printed = capsys.readouterr().out
    assert "85 images to learn from, 15 to choose by, 100 to test" in printed
    assert trained.error < 0.3  # a tenth of the labels are wrong
    assert f"test error {trained.error:.2%}" in printed
    assert matplotlib.image.imread(picture).std() > 0.05
