"""Classes from outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_neural import FeedForward, Linear, LogisticClassifier, SoftmaxClassifier
from hype_optim import CrossEntropyOnLinear, Dataset, Params

SCORES = jax.device_put(np.array([[0.1, 0.7, 0.2], [0.4, 0.4, 0.2], [0.0, 0.1, 0.9], [0.8, 0.1, 0.1]]))
LABELS = np.array([1, 1, 2, 2])
DATA = Dataset(SCORES, LABELS)


def identity(x):
    return x


def test_softmax_classifier():
    classifier = SoftmaxClassifier(identity)
    assert [int(classifier.classify(x)) for x in SCORES] == [1, 0, 2, 0]
    np.testing.assert_array_equal(classifier.classify_all(SCORES), [1, 0, 2, 0])
    np.testing.assert_array_equal(jax.vmap(classifier.classify)(SCORES), [1, 0, 2, 0])
    np.testing.assert_array_equal(classifier.probabilities(SCORES[0]), SCORES[0])
    np.testing.assert_array_equal(classifier(SCORES[0]), SCORES[0])
    assert classifier.error(DATA) == 0.5
    assert classifier.error(DATA.one_hot()) == 0.5


def test_softmax_classifier_of_logits():
    classifier = SoftmaxClassifier(lambda x: 3 * x, logits=True)
    np.testing.assert_allclose(classifier.probabilities(SCORES[0]), jax.nn.softmax(3 * SCORES[0]))
    np.testing.assert_array_equal(classifier.classify_all(SCORES), [1, 0, 2, 0])


def test_logistic_classifier():
    xs = jax.device_put(np.array([[0.2, 9.0], [0.5, 9.0], [0.50001, -9.0], [1.0, 0.0]]))
    classifier = LogisticClassifier(identity)
    assert [int(classifier.classify(x)) for x in xs] == [0, 0, 1, 1]
    np.testing.assert_array_equal(classifier.classify_all(xs), [0, 0, 1, 1])
    np.testing.assert_allclose(classifier.probabilities(xs[0]), [0.8, 0.2])
    assert classifier.error(Dataset(xs, [0, 1, 1, 0])) == 0.5
    np.testing.assert_allclose(LogisticClassifier(lambda x: x[0]).probabilities(xs[0]), [0.8, 0.2])
    logits = LogisticClassifier(lambda x: x - 0.5, logits=True)
    np.testing.assert_array_equal(logits.classify_all(xs), [0, 0, 1, 1])
    np.testing.assert_allclose(logits.probabilities(xs[3])[1], 1 / (1 + np.exp(-0.5)))


def test_confusion_matrix():
    classifier = SoftmaxClassifier(identity)
    expected = [[0, 0, 0], [1, 1, 0], [1, 0, 1]]
    np.testing.assert_array_equal(classifier.confusion_matrix(DATA), expected)
    wider = classifier.confusion_matrix(DATA, 4)
    assert wider.shape == (4, 4)
    assert int(wider.sum()) == 4
    compiled = jax.jit(lambda data: classifier.confusion_matrix(data, 3))(DATA)
    np.testing.assert_array_equal(compiled, expected)
    with pytest.raises(ValueError, match="Classes must be from 0 to 1 for 2 of them, got 0 to 2"):
        classifier.confusion_matrix(DATA, 2)
    with pytest.raises(ValueError, match="got -1 to 2"):
        classifier.confusion_matrix(Dataset(SCORES, [-1, 1, 2, 2]), 3)
    with pytest.raises(TypeError, match="`num_classes` must be given under `jit`"):
        jax.jit(classifier.confusion_matrix)(DATA)


def test_short_labels():
    data = Dataset(SCORES, LABELS.astype(np.int32))  # as in files of images, where class numbers here have 64 bits
    classifier = SoftmaxClassifier(identity)
    assert classifier.error(data) == 0.5
    assert classifier.confusion_matrix(data).shape == (3, 3)


def test_sequences_have_a_class_a_time():
    classifier = SoftmaxClassifier(identity)
    xs = SCORES.reshape(2, 2, 3)
    np.testing.assert_array_equal(classifier.classify_all(xs), [[1, 0], [2, 0]])
    assert classifier.error(Dataset(xs, LABELS.reshape(2, 2))) == 0.5


def test_more_rows_than_are_computed_at_a_time():
    xs = jax.device_put(np.random.default_rng(0).normal(size=(2500, 3)))
    classifier = SoftmaxClassifier(identity, logits=True)
    np.testing.assert_array_equal(classifier.classify_all(xs), np.argmax(xs, axis=1))


def test_trained_classifier(key):
    """Points on either side of a line are told apart."""
    xs = np.random.default_rng(1).normal(size=(60, 2))
    data = Dataset(xs, (xs[:, 0] + xs[:, 1] > 0).astype(int))
    params = Params(epochs=100, learning_rate=1.0, loss=CrossEntropyOnLinear(), silent=True)
    model = FeedForward([Linear(2, 2, key=key)])
    trained = model.train(data, params).w
    assert SoftmaxClassifier(trained, logits=True).error(data) < 0.05


@pytest.mark.parametrize("kind", [SoftmaxClassifier, LogisticClassifier])
def test_nan_is_no_class(kind):
    data = Dataset(SCORES, [0, 0, 0, 1])
    classifier = kind(lambda x: x * jnp.where(x[0] > 0.2, jnp.nan, -1.0), logits=True)
    assert classifier.classify_all(SCORES)[1::2].tolist() == [-1, -1]
    assert classifier.error(data) >= 0.5
    with pytest.raises(ValueError, match="Classes must be from 0 to 1 for 2 of them, got -1"):
        classifier.confusion_matrix(data, 2)


def test_what_is_refused():
    with pytest.raises(TypeError, match="`model` must be a function of one example"):
        SoftmaxClassifier(dict)
    with pytest.raises(TypeError, match="`logits` must be True or False, got 'no'"):
        SoftmaxClassifier(identity, logits="no")
    for kind in (SoftmaxClassifier, LogisticClassifier):
        with pytest.raises(ValueError, match=r"must be probabilities, got .*; pass logits=True"):
            kind(lambda x: x + 3.0).probabilities(SCORES[0])
        with pytest.raises(ValueError, match="`data` must hold at least one example"):
            kind(identity).error(DATA[:0])
    with pytest.raises(ValueError, match=r"classes of shape \(2, 2\) and the data have labels of shape \(2,\)"):
        SoftmaxClassifier(identity).error(Dataset(SCORES.reshape(2, 2, 3), [0, 1]))


def test_weights_and_ignored_labels_count_in_the_error():
    classifier = SoftmaxClassifier(lambda x: jnp.stack([x[0], -x[0]]), logits=True)
    x, y = np.array([[1.0], [1.0], [-1.0], [-1.0]]), np.array([0, 1, 1, -1])
    np.testing.assert_allclose(classifier.error(Dataset(x, y)), 0.5)
    np.testing.assert_allclose(classifier.error(Dataset(x, y), ignored=-1), 1 / 3)
    np.testing.assert_allclose(classifier.error(Dataset(x, y, np.array([1, 3, 1, 0]))), 0.6)
    np.testing.assert_allclose(classifier.error(Dataset(x, y, np.array([1, 0, 1, 4])), ignored=-1), 0.0)
