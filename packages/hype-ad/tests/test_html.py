"""Results as HTML: what is drawn, what is left out, and that it is well formed."""

import xml.etree.ElementTree as ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.internal import html

SVG = "{http://www.w3.org/2000/svg}"


def drawn(by_name):
    """The picture, and the points of each line in it."""
    picture = ElementTree.fromstring(html.curves("step", "loss", by_name))
    lines = [line.get("points").split() for line in picture.iter(f"{SVG}polyline")]
    return picture, [np.array([point.split(",") for point in line], float) for line in lines]


def test_a_curve_has_the_shape_of_its_values():
    _, (line,) = drawn({"training": (np.arange(3), np.array([0.0, 1.0, 0.5]))})
    x, y = line.T
    np.testing.assert_allclose(np.diff(x), x[1] - x[0])
    assert y[0] - y[1] == pytest.approx(2 * (y[2] - y[1]))  # up is down in a picture


@pytest.mark.parametrize("values", [[1.0, np.nan, 3.0], [1.0, np.inf, 3.0]], ids=str)
def test_what_is_not_finite_is_left_out(values):
    _, (line,) = drawn({"training": (np.arange(3), np.array(values))})
    assert len(line) == 2


def test_without_finite_values_there_is_no_picture():
    assert html.curves("step", "loss", {"a": (np.arange(2), np.full(2, np.nan))}) == "<p>No loss is finite.</p>"


@pytest.mark.parametrize("values", [[2.0], [2.0, 2.0], [-1e308, 1e308], [1e-320, 1e300]], ids=str)
def test_any_values_have_a_place_in_the_frame(values):
    picture, lines = drawn({"training": (np.arange(len(values)), np.array(values))})
    width, height = float(picture.get("width")), float(picture.get("height"))
    points = lines or [np.array([[dot.get("cx"), dot.get("cy")]], float) for dot in picture.iter(f"{SVG}circle")]
    assert len(points) == 1
    assert np.all((points[0] > 0) & (points[0] < [width, height]))


def test_many_points_are_thinned_and_their_extremes_stay():
    values = np.zeros(100_000)
    values[12_345], values[54_321] = 5.0, -1.0
    picture, (line,) = drawn({"training": (np.arange(values.size), values)})
    assert len(line) < 1000
    frame = picture.find(f"{SVG}rect")
    top, height = float(frame.get("y")), float(frame.get("height"))
    assert (line[:, 1].min(), line[:, 1].max()) == (top, top + height)
    assert {line[0, 0], line[-1, 0]} == {float(frame.get("x")), float(frame.get("x")) + float(frame.get("width"))}


def test_of_many_lines_some_are_drawn():
    _, lines = drawn({"training": (np.arange(2), np.ones((1000, 2)))})
    assert 10 <= len(lines) <= 100


def test_several_names_have_colors_and_a_legend():
    line = np.arange(3), np.arange(3.0)
    picture, _ = drawn({"training": line, "validation": line})
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert {"training", "validation"} < set(texts)
    assert len({line.get("stroke") for line in picture.iter(f"{SVG}polyline")}) == 2


def test_text_is_escaped():
    text = "<script>&"
    page = html.page(text, html.table((text,), [(text,)]), html.folded(text, text), html.paragraph(text))
    page += html.curves(text, text, {text: (np.arange(2), np.arange(2.0)), "other": (np.arange(2), np.arange(2.0))})
    assert "<script" not in page
    ElementTree.fromstring(f"<div>{page}</div>")  # and what is left is well formed


def test_long_names_leave_room_for_the_numbers():
    name = "a_long_name_" * 30
    (first, second) = ElementTree.fromstring(html.table((), [(name, "1.5")])).iter("td")
    assert "overflow-wrap: anywhere" in first.get("style")
    assert "overflow-wrap" not in second.get("style")
    picture = ElementTree.fromstring(html.curves("step", name, {"": (np.arange(2), np.arange(2.0))}))
    assert max(len(text.text) for text in picture.iter(f"{SVG}text")) < 80


def test_tables_have_a_head_if_there_is_one():
    assert "<th" in html.table(("a", "b"), [("c", "1")])
    assert "<th" not in html.table((), [("c", "1")])


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (jnp.array(3), "3"),
        (jnp.array(0.25), "0.25"),
        (jnp.array(jnp.nan), "nan"),
        (np.array([3, 5]), "3 to 5"),
        (np.array([0.1, 0.1 + 1e-9]), "0.1"),
        (np.array([0.5, np.nan, 2.0]), "0.5 to 2"),
        (np.array([0.5, np.inf]), "0.5, or infinite"),
        (np.array([np.nan]), "not finite"),
    ],
)
def test_numbers_and_how_far_they_reach(values, text):
    assert html.number(values) == text


def test_what_can_be_read():
    assert html.has_values(1.0, jnp.ones(2), np.ones(2))
    assert not html.has_values(jax.ShapeDtypeStruct((2,), float))
    seen = []
    jax.jit(lambda x: seen.append(html.has_values(x)))(1.0)
    assert seen == [False]
    gone = jnp.ones(3)
    gone.delete()
    assert not html.has_values(gone)
