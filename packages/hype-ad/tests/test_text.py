"""Pictures, and the notations of other systems."""

import hype_ad as ad
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DM, DV, D
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.smoke

inf, nan = np.inf, np.nan


@pytest.mark.parametrize(
    ("x", "settings", "picture"),
    [
        # Of nine levels, trunc(9 u) - 1 for u = 0, 0.2, 0.3, 0.5, 0.7, 1: 0, 0, 1, 3, 5, 8.
        (DV([0.0, 0.2, 0.3, 0.5, 0.7, 1.0]), {"contrast": 1.0}, "DV : 6\n  ·▴●█"),
        # Of eleven, trunc(11 u) - 1: 0, 1, 2, 4, 6, 10.
        (DV([0.0, 0.2, 0.3, 0.5, 0.7, 1.0]), {"contrast": 1.0, "palette": ad.ASCII}, "DV : 6\n .:TVM"),
        (DV([0.0, 2.0, 3.0, 5.0, 7.0, 10.0]), {"contrast": 1.0}, "DV : 6\n  ·▴●█"),
        # Contrast 1.2 takes 0.3 to 0.26 and 0.7 to 0.74, contrast 9 all but the middle to the ends.
        (DV([0.0, 0.2, 0.3, 0.5, 0.7, 1.0]), {}, "DV : 6\n  ·▴●█"),
        (DV([0.0, 0.2, 0.3, 0.5, 0.7, 1.0]), {"contrast": 9.0, "palette": "01"}, "DV : 6\n000011"),
        (DM([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]), {"palette": "01"}, "DM : 2 x 3\n010\n101"),
        (D(2.0), {"palette": "01"}, "D\n0"),
        (DV([3.0, 3.0]), {"palette": "01"}, "DV : 2\n00"),
        (DV([]), {}, "DV : 0\n"),
        (DV([0.0, nan, 1.0]), {"palette": "01"}, "DV : 3\n0?1"),
        (DV([-inf, 0.0, 1.0, inf]), {"palette": "01"}, "DV : 4\n0011"),
        (DV([-inf, 1.0, inf]), {"palette": "01"}, "DV : 3\n001"),
        (DV([nan]), {}, "DV : 1\n?"),
        (DV([-1e308, 1e308]), {"palette": "01"}, "DV : 2\n01"),
        ([1, 2], {"palette": "01"}, "DV : 2\n01"),
    ],
)
def test_pictures(x, settings, picture):
    assert ad.visualize(x, **settings) == picture


def test_picture_without_a_palette_raises():
    with pytest.raises(ValueError, match=r"^`palette` must have at least one character, got an empty string"):
        ad.visualize(DV([1.0]), palette="")


@pytest.mark.parametrize(
    ("count", "grid"), [(1, (1, 1)), (2, (1, 2)), (3, (1, 3)), (5, (2, 3)), (9, (3, 3)), (10, (3, 4))]
)
def test_grid_of_images(count, grid):
    rows = np.arange(float(count * 6)).reshape(count, 6) + 1
    picture = ad.image_grid(DM(rows), 2)
    assert isinstance(picture, DM)
    assert picture.shape == (grid[0] * 3 - 1, grid[1] * 4 - 1)
    canvas = np.asarray(picture).copy()
    for k in range(count):
        i, j = divmod(k, grid[1])
        image = canvas[3 * i : 3 * i + 2, 4 * j : 4 * j + 3]
        np.testing.assert_array_equal(image, rows[k].reshape(2, 3))
        image[:] = 1.0
    # What is left are the lines between and the empty places: the smallest value.
    np.testing.assert_array_equal(canvas, np.ones(picture.shape))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ad.image_grid(np.ones((2, 6)), 4), "^`image_rows` must divide the length 6 of the rows of `m`, got 4"),
        (
            lambda: ad.image_grid(np.ones(6), 2),
            r"^`m` must be a matrix with at least one row and column, got",
        ),
        (lambda: ad.image_grid(np.ones((0, 6)), 2), r"^`m` must be a matrix with at least one row and column"),
    ],
)
def test_what_is_no_image_raises(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("x", "mathematica", "matlab"),
    [
        (D(1.5), "1.5", "1.5"),
        (DV([1.0, -2.5]), "{1.0, -2.5}", "[1.0 -2.5]"),
        (DM([[1.0, 2.0], [3.0, 4.0]]), "{{1.0, 2.0}, {3.0, 4.0}}", "[1.0 2.0; 3.0 4.0]"),
        (DV([1e-7, 2e30]), "{1*^-7, 2*^30}", "[1e-07 2e+30]"),
        (DV([inf, -inf, nan]), "{Infinity, -Infinity, Indeterminate}", "[Inf -Inf NaN]"),
        (DV(jnp.asarray([0.1, 2e-7], jnp.float32)), "{0.1, 2*^-7}", "[0.1 2e-07]"),
        (DV([]), "{}", "[]"),
    ],
)
def test_notations(x, mathematica, matlab):
    assert ad.to_mathematica(x) == mathematica
    assert ad.to_matlab(x) == matlab


def test_notations_with_decimals():
    assert ad.to_mathematica(DV([1.0, 2.345]), decimals=2) == "{1.00, 2.35}"
    assert ad.to_matlab(DM([[1.0, 1e10]]), decimals=2) == "[1.00 10000000000.00]"


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False), min_size=1, max_size=4))
def test_every_digit_is_written(values):
    assert [float(word) for word in ad.to_matlab(DV(values))[1:-1].split()] == values
