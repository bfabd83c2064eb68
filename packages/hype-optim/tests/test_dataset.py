"""A data set against NumPy, and as a pytree."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DV
from hype_optim import Dataset

ROWS = 12
X = np.random.default_rng(0).normal(size=(ROWS, 3))
LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1, 0, 0, 0, 0])  # 7, 3, 2


@pytest.fixture
def data():
    return Dataset(X, LABELS)


def rows_of(*parts):
    """Which rows of X the parts have, in order."""
    return [next(i for i in range(ROWS) if np.array_equal(X[i], x)) for part in parts for x in np.asarray(part.x)]


def assert_same_pairs(part):
    """Rows of x and y still belong together."""
    np.testing.assert_array_equal(np.asarray(part.y), LABELS[rows_of(part)])


def test_arrays_are_kept(data):
    assert isinstance(data.x, jax.Array)
    assert data.x.dtype == jnp.float64
    np.testing.assert_array_equal(data.x, X)
    np.testing.assert_array_equal(data.y, LABELS)
    assert Dataset(np.zeros((2, 3), np.float32), [0.5, 1.0]).x.dtype == jnp.float32
    assert Dataset(np.zeros((2, 4, 4), np.uint8), np.zeros((2, 5))).x.dtype == jnp.uint8
    assert len(data) == ROWS


def test_the_byte_order_of_another_machine():
    x, y = np.arange(6.0, dtype=np.float32).reshape(3, 2), np.arange(3, dtype=np.int16)
    read = Dataset(x.astype(">f4"), y.astype(">i2"))
    assert (read.x.dtype, read.y.dtype) == (x.dtype, y.dtype)
    np.testing.assert_array_equal(read.x, x)
    np.testing.assert_array_equal(read.y, y)


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (X, LABELS[:-1], ValueError, r"`x` has 12 rows \(shape \(12, 3\)\) and `y` has 11"),
        (1.0, [1.0], ValueError, "`x` must have a row for each example"),
        ([1.0], 1.0, ValueError, "`y` must have a row for each example"),
        (["text"], [1.0], TypeError, "`x` must be an array of"),
        ([1.0], [1j], TypeError, "`y` must be an array of real numbers, got dtype complex"),
        ([[1.0], [1.0, 2.0]], [0, 1], TypeError, "`x` must be an array of numbers, got list"),
    ],
)
def test_what_is_no_data_set(x, y, error, message):
    with pytest.raises(error, match=message):
        Dataset(x, y)


def test_gradient_is_a_data_set_without_its_integers(data):
    loss = lambda d: jnp.sum(d.x[:, 0] ** 2 * d.y.astype(float))
    gradient = eqx.filter_jit(eqx.filter_grad(loss))(data)
    assert gradient.y is None
    np.testing.assert_allclose(np.asarray(gradient.x)[:, 0], 2 * X[:, 0] * LABELS)
    integer_gradient = jax.jit(jax.grad(loss, allow_int=True))(data)
    np.testing.assert_array_equal(integer_gradient.x, gradient.x)


def test_pytree_of_anything(data):
    shapes = jax.eval_shape(lambda d: d, data)
    assert shapes.x.shape == (ROWS, 3)
    axes = jax.tree.map(lambda _: 0, data)
    sums = jax.vmap(lambda d: d.x.sum(), in_axes=(axes,))(data)
    np.testing.assert_allclose(sums, X.sum(1))
    assert jax.tree.structure(jax.tree.map(lambda _: None, data)) is not None
    stacked = jax.tree.map(lambda a: np.stack([a, a]), data)
    sums = jax.jit(jax.vmap(lambda d: d.standardize()[0].x.sum()))(stacked)
    np.testing.assert_allclose(sums, 0, atol=1e-12)


def test_one_example(data):
    x, y = data[3]
    np.testing.assert_array_equal(x, X[3])
    assert int(y) == LABELS[3]
    np.testing.assert_array_equal(data[-1][0], X[-1])
    np.testing.assert_array_equal(data[jax.device_put(np.array(2))][0], X[2])
    np.testing.assert_array_equal(jax.jit(lambda d, i: d[i][0])(data, 4), X[4])


def test_some_examples(data):
    for index in (slice(2, 5), slice(None, None, -2), [1, 4, -1], np.array([3]), LABELS == 1, slice(5, 100), []):
        part = data[index]
        np.testing.assert_array_equal(part.x, X[index])
        np.testing.assert_array_equal(part.y, LABELS[index])
    np.testing.assert_array_equal(data[jax.device_put(LABELS == 2)].x, X[LABELS == 2])
    np.testing.assert_array_equal(jax.jit(lambda d, i: d[i])(data, np.array([2, 0])).x, X[[2, 0]])


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (ROWS, IndexError, "index 12 is out of bounds for axis 0 with size 12"),
        ([0, -13], IndexError, "index -13 is out of bounds"),
        (np.array([True]), IndexError, "boolean index did not match .* 12 but .* 1"),
        (True, IndexError, "a mask a vector, got shape"),
        ([[0]], IndexError, "got shape"),
        (1.0, TypeError, "An index must be an integer"),
        ((0, 1), TypeError, "An index must be an integer"),
        ([0.5], TypeError, "Row numbers must be integers"),
    ],
)
def test_no_such_rows(data, index, error, message):
    with pytest.raises(error, match=message):
        data[index]


def test_a_traced_mask_has_no_length(data):
    with pytest.raises(TypeError, match="mask of rows must be known"):
        jax.jit(lambda d: d[d.y == 0])(data)


def test_iteration(data):
    examples = list(data)
    assert len(examples) == ROWS
    np.testing.assert_array_equal(np.stack([x for x, _ in examples]), X)
    np.testing.assert_array_equal(np.stack([y for _, y in examples]), LABELS)


def test_shuffle_is_a_permutation_that_the_key_decides(data, key):
    shuffled = data.shuffle(key)
    assert sorted(rows_of(shuffled)) == list(range(ROWS))
    assert rows_of(shuffled) != list(range(ROWS))
    assert_same_pairs(shuffled)
    assert rows_of(jax.jit(lambda d, k: d.shuffle(k))(data, key)) == rows_of(shuffled)
    assert rows_of(data.shuffle(jax.random.key(1))) != rows_of(shuffled)


def test_random_subset(data, key):
    part = data.random_subset(5, key)
    assert len(set(rows_of(part))) == 5
    assert_same_pairs(part)
    with pytest.raises(ValueError, match="`n` must be at most the number of examples, 12, got 13"):
        data.random_subset(13, key)
    with pytest.raises(ValueError, match="`n` must be at least 1"):
        data.random_subset(0, key)


@pytest.mark.parametrize(
    ("sizes", "lengths"),
    [
        (0.75, [9, 3]),
        (5, [5, 7]),
        ([0.5, 0.25, 0.25], [6, 3, 3]),
        (np.array([9, 3]), [9, 3]),
    ],
)
@pytest.mark.parametrize(
    ("stratify", "with_key"),
    [(False, False), (True, True), *(pytest.param(a, not a, marks=pytest.mark.slow) for a in (False, True))],
)
def test_split_has_each_row_once(data, key, sizes, lengths, stratify, with_key):
    parts = data.split(sizes, key if with_key else None, stratify=stratify)
    assert list(map(len, parts)) == lengths
    assert sorted(rows_of(*parts)) == list(range(ROWS))
    for part in parts:
        assert_same_pairs(part)
    if with_key:
        assert rows_of(*parts) != list(range(ROWS))
    else:
        assert all(rows_of(part) == sorted(rows_of(part)) for part in parts)
        assert stratify or rows_of(*parts) == list(range(ROWS))


def test_what_is_no_key(data):
    for draw in (data.shuffle, lambda k: data.random_subset(2, k), lambda k: data.split(3, k)):
        with pytest.raises(
            TypeError, match=r"`key` must be a key such as jax\.random\.key\(0\), got 0|parameter 'key'"
        ):
            draw(0)


def test_split_follows_the_key(data, key):
    assert rows_of(*data.split(9, key)) != rows_of(*data.split(9, jax.random.key(1)))


@pytest.mark.parametrize("rows", [40, 99])
def test_stratified_parts_have_each_class_in_proportion(rows):
    labels = np.sort(np.random.default_rng(rows).choice(5, rows, p=[0.6, 0.2, 0.1, 0.06, 0.04]))
    whole = np.bincount(labels, minlength=5) / rows
    for part in Dataset(np.arange(rows), labels).split([0.5, 0.3, 0.2], stratify=True):
        counts = np.bincount(np.asarray(part.y), minlength=5)
        # One for the rounding of this part, one for what the parts before it have left over.
        assert np.all(np.abs(counts - len(part) * whole) < 2)


def test_stratified_split_with_a_traced_key(data, key):
    known = data.split(0.5, key, stratify=True)
    traced = jax.jit(lambda k: data.split(0.5, k, stratify=True))
    with pytest.raises(TypeError, match="known before compiling"):
        jax.jit(lambda d: d.split(0.5, stratify=True))(data)
    assert [rows_of(part) for part in traced(key)] == [rows_of(part) for part in known]


@pytest.mark.parametrize(
    ("sizes", "error", "message"),
    [
        (13, ValueError, r"`sizes` = 13 would give parts of \[13, -1\] rows"),
        (12, ValueError, "each part must have a row"),
        (0, ValueError, "`sizes` must be at least 1"),
        (0.01, ValueError, r"parts of \[0, 12\]"),
        (1.5, ValueError, "each part must have a row"),
        ([3, 4], ValueError, r"parts of \[3, 4\] rows; .* must be the data's 12"),
        ([0.5, 0.4], ValueError, "fractions that add up to 1"),
        ([float("nan"), 0.5], ValueError, "fractions that add up to 1"),
        ([], ValueError, r"parts of \[\]"),
        ([0.5, 6], TypeError, "`sizes` must be an integer, got 0.5"),
    ],
)
def test_no_such_split(data, sizes, error, message):
    with pytest.raises(error, match=message):
        data.split(sizes)


def test_labels_may_be_any_integers():
    labels = np.array([3, 0, 1], np.uint8)
    np.testing.assert_array_equal(Dataset(np.zeros((3, 2)), labels).labels, labels)


def test_targets_are_not_stratified():
    with pytest.raises(TypeError, match="`labels` takes integers or rows of class scores"):
        Dataset(X, X[:, 0]).split(0.5, stratify=True)
    with pytest.raises(TypeError, match="one class label an example"):
        Dataset(X, np.zeros((ROWS, 2), int)).split(0.5, stratify=True)


def test_filter(data):
    part = data.filter(lambda x, y: y in (0, 2) and x[0] > 0)
    expected = np.flatnonzero((LABELS != 1) & (X[:, 0] > 0))
    assert rows_of(part) == expected.tolist()
    assert_same_pairs(part)
    assert len(data.filter(lambda x, y: y == 7)) == 0
    assert len(data.filter(lambda x, y: jnp.asarray(y) == 1)) == 3


def test_filter_by_what_is_known(data):
    def loss(x):
        return jnp.sum(Dataset(x, LABELS).filter(lambda x, y: y == 1).x ** 2)

    expected = np.where((LABELS == 1)[:, None], 2 * X, 0)
    np.testing.assert_allclose(jax.grad(loss)(data.x), expected)
    with pytest.raises(TypeError, match="`predicate` must be decided by known values"):
        jax.jit(lambda d: d.filter(lambda x, y: x[0] > 0))(data)
    with pytest.raises(ValueError, match=r"one truth value an example, got shape \(3,\)"):
        data.filter(lambda x, y: x > 0)


def test_bias_and_other_columns(data):
    with_bias = data.append_bias()
    np.testing.assert_array_equal(with_bias.x, np.c_[X, np.ones(ROWS)])
    single = Dataset(X.astype(np.float32), LABELS).append_bias()
    assert single.x.dtype == jnp.float32
    np.testing.assert_array_equal(data.append_x(X[:, 0] ** 2).x, np.c_[X, X[:, 0] ** 2])
    np.testing.assert_array_equal(Dataset(X, X).append_y(LABELS).y, np.c_[X, LABELS])


def test_columns_that_do_not_fit(data):
    with pytest.raises(ValueError, match=r"`feature` must have one value a row, 12, got shape \(11,\)"):
        data.append_x(np.ones(11))
    with pytest.raises(ValueError, match=r"`y` must be a matrix to get another column, got shape \(12,\)"):
        data.append_y(np.ones(12))
    with pytest.raises(ValueError, match="`x` must be a matrix"):
        Dataset(np.zeros((2, 3, 3)), [0, 1]).append_bias()
    with pytest.raises(TypeError, match="`target` holds floats and `y` int64"):
        Dataset(X, np.zeros((ROWS, 1), int)).append_y(X[:, 0])
    with pytest.raises(TypeError, match="`feature` must be an array of real numbers, got dtype complex"):
        data.append_x(1j * X[:, 0])


@pytest.mark.parametrize(("dtype", "fits"), [(np.uint8, 255), (np.int32, -7), (bool, 1)])
def test_integers_are_kept_or_refused(dtype, fits):
    images = Dataset(np.zeros((2, 3), dtype), [0, 1])
    np.testing.assert_array_equal(np.asarray(images.append_x(np.array([0, fits])).x)[:, 3], [0, fits])
    with pytest.raises(ValueError, match=f"`feature` has values that {np.dtype(dtype)}, the dtype of `x`, cannot hold"):
        images.append_x(np.array([0, 2**40]))


def test_flatten():
    images = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(Dataset(images, [0, 1]).flatten().x, images.reshape(2, 12))
    assert Dataset(images, [0, 1])[:0].flatten().x.shape == (0, 12)
    assert Dataset([1.0, 2.0], [0, 1]).flatten().x.shape == (2, 1)


def test_one_hot(data):
    np.testing.assert_array_equal(data.one_hot().y, np.eye(3)[LABELS])
    np.testing.assert_array_equal(data.one_hot(5).y, np.eye(5)[LABELS])
    np.testing.assert_array_equal(jax.jit(lambda d: d.one_hot(3))(data).y, np.eye(3)[LABELS])
    np.testing.assert_array_equal(data.one_hot().labels, LABELS)
    assert Dataset(X.astype(np.float32), LABELS).one_hot().y.dtype == jnp.float32
    assert Dataset(np.zeros(ROWS, np.uint8), LABELS.astype(np.uint8)).one_hot().y.dtype == jnp.float64
    tokens = np.array([[0, 1], [2, 2]])
    np.testing.assert_array_equal(Dataset(tokens, tokens).one_hot().y, np.eye(3)[tokens])


def test_labels_of_equal_scores_are_the_first():
    data = Dataset(X[:2], [[0.5, 0.5, 0.0], [0.1, 0.2, 0.2]])
    np.testing.assert_array_equal(data.labels, [0, 1])
    with pytest.raises(TypeError, match=r"got float64 of shape \(12, 1\)"):
        _ = Dataset(X, X[:, :1]).labels


def test_what_has_no_one_hot_form(data):
    with pytest.raises(TypeError, match="`one_hot` takes integer class labels in `y`, got float64"):
        Dataset(X, X).one_hot()
    with pytest.raises(TypeError, match="`num_classes` must be given"):
        jax.jit(lambda d: d.one_hot())(data)
    with pytest.raises(ValueError, match="Labels in `y` must be from 0 to 1, got 0 to 2"):
        data.one_hot(2)
    with pytest.raises(ValueError, match="got -1 to 0"):
        Dataset([1.0, 2.0], [-1, 0]).one_hot()


def test_single_precision_stays_single():
    data = Dataset(X.astype(np.float32), X.astype(np.float32))
    results = data.standardize(), data.normalize(), data.standardize_y(), data.append_bias()
    assert {leaf.dtype for leaf in jax.tree.leaves(results)} == {jnp.dtype(jnp.float32)}


def test_pictures():
    images = Dataset(np.arange(5 * 2 * 3.0).reshape(5, 2, 3), np.arange(5))
    grid = images.image_grid()
    assert grid.shape == (2 * 3 - 1, 3 * 4 - 1)  # two by three images of two by three pixels, with lines between
    np.testing.assert_array_equal(np.asarray(grid)[3:5, 4:7], np.asarray(images.x)[4])
    np.testing.assert_array_equal(images.flatten().image_grid(2), grid)
    lines = images.visualize().split("\n")
    assert lines[:3] == ["Dataset : 5 examples, x of shape (5, 2, 3), y of shape (5,)", "x", "DM : 5 x 11"]
    assert [len(line) for line in lines[3:8]] == [11] * 5
    assert lines[8:10] == ["y", "DM : 5 x 1"]
    assert len(lines) == 15
    assert images.flatten().visualize().split("\n")[2] == "DM : 5 x 6"


@pytest.mark.parametrize(
    ("x", "image_rows", "message"),
    [
        (np.ones((4, 6)), None, "An image grid takes matrices in `x`, or vectors and `image_rows`"),
        (np.ones((4, 6)), 4, "`image_rows` must divide the length 6 of the rows"),
        (np.ones(4), 1, "An image grid takes matrices"),
        (np.ones((0, 6)), 2, "at least one row"),
    ],
)
def test_what_is_no_picture(x, image_rows, message):
    data = Dataset(x, np.ones(len(x)))
    with pytest.raises(ValueError, match=message):
        data.image_grid(image_rows)
    if len(x) == 0:
        with pytest.raises(ValueError, match="without examples has no picture"):
            data.visualize()


def test_pairs_of_vectors_are_rows():
    pairs = [(DV([1.0, 2.0]), DV([0.0])), (DV([3.0, 4.0]), DV([1.0]))]
    data = Dataset(*zip(*pairs, strict=True))
    np.testing.assert_array_equal(data.x, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(data.y, [[0], [1]])
