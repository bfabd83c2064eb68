"""Data sets of numbers that 32 bits do not hold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_optim import Dataset, load_csv, load_delimited, load_npz

LABELS = (2**32 + 1, 3_000_000_000, -(2**31) - 1)


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("kind", [np.array, list, lambda values: np.array(values)[:, None]])
def test_labels_are_kept_or_refused(label, kind, tmp_path):
    make = lambda: Dataset(np.zeros((2, 1)), kind([0, label]))
    assert make().y[1] == label
    np.savez(tmp_path / "data.npz", x=np.zeros((2, 1)), y=np.array([0, label]))
    with jax.enable_x64(False):
        with pytest.raises(ValueError, match=f"`y` must have numbers that int32 holds, got {label} at index"):
            make()
        with pytest.raises(ValueError, match=f"data.npz.*`y` must have numbers that int32 holds, got {label} at index"):
            load_npz(tmp_path / "data.npz")
        assert Dataset(np.zeros((2, 1)), np.array([2**31 - 1, 0])).y[0] == 2**31 - 1


def test_inputs_stay_finite_or_are_refused():
    x = np.array([[1.0], [1e39]])
    assert Dataset(x, [0, 1]).x[1, 0] == 1e39
    with jax.enable_x64(False):
        scaling = Dataset(x[:1], [0]).standardize()[1]
        for make in (lambda: Dataset(x, [0, 1]), lambda: scaling(x)):
            with pytest.raises(ValueError, match=r"`x` must have numbers that float32 holds, got 1e\+39"):
                make()


def test_a_column_stays_finite_in_the_dtype_of_its_matrix():
    data = Dataset(jnp.ones((2, 1), jnp.float16), jnp.ones((2, 1), jnp.float32))
    assert data.append_x(np.array([1.0, 2.0])).x.dtype == jnp.float16
    with pytest.raises(ValueError, match="`feature` must have numbers that float16 holds, got 70000 at index"):
        data.append_x(np.array([0, 70000]))
    with pytest.raises(ValueError, match=r"`target` must have numbers that float32 holds, got 1e\+300 at index"):
        data.append_y(np.array([0.0, 1e300]))


@pytest.mark.parametrize("cell", ["1e39", "-1e300"])
def test_a_cell_stays_finite_or_is_named(cell, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(f"1,2,0\n3,{cell},1\n")
    assert load_csv(path).x[1, 1] == load_delimited(path)[1, 1] == float(cell)
    with jax.enable_x64(False):
        for load in (load_csv, load_delimited):
            with pytest.raises(
                ValueError, match=f"line 2, column 2: expected .* found '{cell}', which float32 does not hold"
            ):
                load(path)
        path.write_text("1,2,0\n3,3.4e38,1\n")
        assert np.isfinite(load_delimited(path)).all()
