"""Tables in text files: what is read, and what is refused with which message."""

import jax.numpy as jnp
import numpy as np
import pytest
from hype_optim import load_csv, load_delimited

NUMBERS = np.random.default_rng(0).normal(size=(7, 4))


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "table.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize("delimiter", [",", " ", "\t", ";"])
def test_what_numpy_writes(tmp_path, delimiter):
    np.savetxt(tmp_path / "table.txt", NUMBERS, fmt="%.17g", delimiter=delimiter)
    numbers = load_delimited(tmp_path / "table.txt", delimiter=delimiter)
    np.testing.assert_array_equal(numbers, NUMBERS)
    assert numbers.dtype == jnp.float64
    if delimiter != ";":
        np.testing.assert_array_equal(load_delimited(str(tmp_path / "table.txt")), NUMBERS)


@pytest.mark.parametrize(
    "text",
    [
        "1 2 3\n4 5 6\n",
        "1,2,3\n4,5,6",
        "  1   2\t3  \n 4 , 5,6\n",
        "1, 2, 3\r\n4, 5, 6\r\n",
        "\ufeff1 2 3\n4 5 6\n\n\n",
        "1e0 +2 3.\n.4e1 5 6\n",
    ],
)
def test_spaces_commas_tabs_and_line_ends(write, text):
    np.testing.assert_array_equal(load_delimited(write(text)), [[1, 2, 3], [4, 5, 6]])


def test_header_is_left_out_when_asked(write):
    np.testing.assert_array_equal(load_delimited(write("1 2\n3 4\n"), header=True), [[3, 4]])
    np.testing.assert_array_equal(load_delimited(write('"a","b, c"\n3,"4"\n'), header=True, delimiter=","), [[3, 4]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected rows of numbers, found an empty file"),
        ("\n\n", "found an empty file"),
        ("1 2\n3\n", "line 2: expected 2 columns as in the first line, found 1"),
        ("1 2\n3 4\n5 6 7\n", "line 3: expected 2 columns as in the first line, found 3"),
        ("1 2\n\n3 4\n", "line 2: the line is empty, but more follow"),
        ("1,2\n3,\n", "line 2, column 2: expected a finite number, found ''"),
        ("1,,2\n", "line 1, column 2: expected a finite number, found ''"),
        ("a b\n1 2\n", r"line 1, column 1: expected a finite number, found 'a' \(header=True takes"),
        ("1 2\n3 x4\n", r"line 2, column 2: expected a finite number, found 'x4'$"),
        ("1 nan\n", "line 1, column 2: expected a finite number, found 'nan'"),
        ("1 -inf\n", "found '-inf'"),
        ("1 1e999\n", "found '1e999'"),
        ("1 1_000\n", "found '1_000'"),
        (b"1 2\n\xff\xfe\n", "'utf-8' codec can't decode byte 0xff in position 4"),
    ],
)
def test_what_is_no_table(write, content, message):
    path = write(content)
    with pytest.raises(ValueError, match=message) as error:
        load_delimited(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_only_a_header(write):
    with pytest.raises(ValueError, match="found only a header"):
        load_delimited(write("a b\n"), header=True)


def test_no_file(tmp_path):
    for load in (load_csv, load_delimited):
        with pytest.raises(FileNotFoundError, match=r"absent\.csv: there is no such file"):
            load(tmp_path / "absent.csv")
        with pytest.raises(ValueError, match="expected a file, found a directory"):
            load(tmp_path)


CSV = "height,width,kind,price\n1,2,0,2.5\n3,4,1,3.5\n5,6,1,4.5\n"


@pytest.mark.parametrize("label", [2, -2, "kind"])
def test_label_column(write, label):
    data = load_csv(write(CSV), label=label, header=True)
    np.testing.assert_array_equal(data.x, [[1, 2, 2.5], [3, 4, 3.5], [5, 6, 4.5]])
    np.testing.assert_array_equal(data.y, [0, 1, 1])
    assert data.y.dtype == jnp.int32
    assert data.x.dtype == jnp.float64


def test_last_column_is_the_label(write):
    data = load_csv(write("0.5,1.5,2\n2.5,3.5,0\n"))
    np.testing.assert_array_equal(data.x, [[0.5, 1.5], [2.5, 3.5]])
    np.testing.assert_array_equal(data.y, [2, 0])


def test_target_columns(write):
    path = write(CSV)
    data = load_csv(path, target="price", header=True)
    np.testing.assert_array_equal(data.x, [[1, 2, 0], [3, 4, 1], [5, 6, 1]])
    np.testing.assert_array_equal(data.y, [2.5, 3.5, 4.5])
    data = load_csv(path, target=["price", 0], header=True)
    np.testing.assert_array_equal(data.x, [[2, 0], [4, 1], [6, 1]])
    np.testing.assert_array_equal(data.y, [[2.5, 1], [3.5, 3], [4.5, 5]])
    assert load_csv(path, target=["price"], header=True).y.shape == (3, 1)


def test_other_delimiter(write):
    np.testing.assert_array_equal(load_csv(write("1;2;0\n"), delimiter=";").x, [[1, 2]])


@pytest.mark.parametrize(
    ("content", "settings", "error", "message"),
    [
        (CSV, {}, ValueError, r"line 1, column 1: expected a finite number, found 'height' \(header=True"),
        (CSV, {"header": True}, ValueError, r"line 2, column 4: expected a class number 0, 1, 2, \.\.\., found 2\.5"),
        ("1,0\n1,-1\n", {}, ValueError, "line 2, column 2: expected a class number"),
        ("1,3e9\n", {}, ValueError, "line 1, column 2: expected a class number"),
        (CSV, {"header": True, "label": "colour"}, ValueError, "got 'colour'; there are 'height', 'width'"),
        (
            CSV,
            {"header": True, "target": ["price", "x"]},
            ValueError,
            "`target` must be the name of one column, got 'x'",
        ),
        ("1,2\n", {"label": "kind"}, ValueError, "there are no names, as header=False"),
        ("a,a\n1,2\n", {"label": "a", "header": True}, ValueError, "must be the name of one column, got 'a'"),
        ("1,2\n", {"label": 2}, ValueError, r"`label` must be one of 2 columns \(0 is the first\), got 2"),
        ("1,2\n", {"label": 0, "target": 1}, TypeError, "Give `label` or `target`, not both"),
        ("1,2\n", {"label": 1.0}, TypeError, "^`label` must be an integer, got 1.0|parameter 'label'"),
        ("1,2\n", {"target": True}, TypeError, "^`target` must be an integer known before compiling, got True"),
        ("1\n", {}, ValueError, "expected columns for both `x` and `y`"),
        ("1,2\n", {"target": []}, ValueError, "expected columns for both `x` and `y`"),
        ("1,2\n", {"target": [0, 1]}, ValueError, "expected columns for both `x` and `y`"),
        ("1,2\n", {"delimiter": ",,"}, ValueError, "`delimiter` must be one character"),
        ('1,"2\n', {}, ValueError, "cannot be read as a table of numbers: unexpected end of data"),
        ("1,2\n3\n", {}, ValueError, "line 2: expected 2 columns"),
    ],
)
def test_what_is_refused(write, content, settings, error, message):
    with pytest.raises(error, match=message):
        load_csv(write(content), **settings)
