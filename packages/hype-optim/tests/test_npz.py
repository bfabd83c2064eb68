"""NumPy archives."""

import numpy as np
import pytest
from hype_optim import load_npz

pytestmark = pytest.mark.smoke

X, Y = np.random.default_rng(0).normal(size=(5, 2, 2)), np.arange(5)


def test_what_numpy_writes(tmp_path):
    np.savez(tmp_path / "data.npz", x=X, y=Y, other=np.zeros(3))
    data = load_npz(tmp_path / "data.npz")
    np.testing.assert_array_equal(data.x, X)
    np.testing.assert_array_equal(data.y, Y)
    np.savez_compressed(tmp_path / "data.npz", images=X, labels=Y)
    np.testing.assert_array_equal(load_npz(str(tmp_path / "data.npz"), x="images", y="labels").x, X)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, "expected an array named 'y', found 'x'"),
        ({}, "expected an array named 'x', found none"),
        ({"x": X, "y": Y[:-1]}, r"`x` has 5 rows .* and `y` has 4"),
        ({"x": X, "y": np.array([{}] * 5)}, "Python objects, which are not unpickled"),
        ({"x": X, "y": np.array(["a"] * 5)}, "`y` must be an array of"),
        ({"x": X, "y": np.array(1)}, "`y` must have a row for each example"),
    ],
)
def test_what_does_not_fit(tmp_path, arrays, message):
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=message) as error:
        load_npz(path)
    assert str(path) in str(error.value)


def test_damage(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x=X, y=Y)
    content = path.read_bytes()
    path.write_bytes(content[:-30])
    with pytest.raises(
        ValueError, match=r"cannot be read as a NumPy \.npz archive of a data set: File is not a zip file"
    ):
        load_npz(path)
    at = content.index(X.tobytes()) + 8
    path.write_bytes(content[:at] + b"damage" + content[at + 6 :])
    with pytest.raises(ValueError, match="the array 'x': Bad CRC-32"):
        load_npz(path)
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(ValueError, match="File is not a zip file"):
        load_npz(tmp_path / "x.npy")
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        load_npz(tmp_path / "absent.npz")
