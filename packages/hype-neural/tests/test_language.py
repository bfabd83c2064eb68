"""Texts as numbers and back, and what a model makes of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_neural import LSTM, Activation, Characters, FeedForward, Language, Linear, Words
from hype_optim import CrossEntropyOnLinear, Params, RMSProp

TEXT = "I sing of arms (and\n\tthe man), who first: from Troy!"
TOKENS = ["I", "sing", "of", "arms", "(", "and", "the", "man", ")", ",", "who", "first", ":", "from", "Troy", "!"]


def test_words_and_marks():
    assert Words().split(TEXT) == TOKENS
    assert Words().join(TOKENS) == "I sing of arms (and the man), who first: from Troy!"
    assert Words("-").split("a-b c.d") == ["a", "-", "b", "c.d"]
    assert Words("").split(" a, b ") == ["a,", "b"]
    assert Words().split(" \n ") == []


def test_characters():
    assert Characters().split("a b\n") == ["a", " ", "b", "\n"]
    assert Characters().join(["a", " ", "b"]) == "a b"


def test_vocabulary_is_in_the_order_of_code_points():
    language = Language("b a B , a é")
    assert language.tokens == (",", "B", "a", "b", "é")
    assert len(language) == 5
    assert Language(["x y", "a"]).tokens == ("a", "x y")
    assert Language("ba a", Characters()).tokens == (" ", "a", "b")


def test_encodings():
    language = Language("to be or not to be")
    assert language.tokens == ("be", "not", "or", "to")
    places = language.encode("or to be")
    np.testing.assert_array_equal(places, [2, 3, 0])
    assert places.dtype == jnp.int32
    np.testing.assert_array_equal(language.encode_one_hot("or to be"), np.eye(4)[[2, 3, 0]])
    np.testing.assert_array_equal(language.encode(["be"]), [0])
    assert language.decode(places) == "or to be"
    assert language.decode([3, 0]) == "to be"
    assert language.decode([]) == ""
    rows = jnp.array([[0.1, 0.2, 0.3, 0.3], [1.0, 0.0, 0.0, 0.0]])
    assert language.decode_one_hot(rows) == "or be"


def test_unknown_tokens():
    with pytest.raises(ValueError, match="vocabulary's 2 tokens, got also 'c', 'd'; give `unknown`"):
        Language("a b").encode("a c d c")
    language = Language("a b", unknown="?")
    assert language.tokens == ("?", "a", "b")
    assert language.decode(language.encode("a c b")) == "a? b"


def test_what_is_no_encoding():
    language = Language("a b")
    with pytest.raises(ValueError, match="`text` must have at least one token"):
        Language(" ")
    with pytest.raises(TypeError, match=r"`tokenizer` must be an instance of AbstractTokenizer|'tokenizer'"):
        Language("a b", Words)
    with pytest.raises(ValueError, match="`places` must be from 0 to 1, got -1 to 0"):
        language.decode([0, -1])
    with pytest.raises(ValueError, match=r"`places` must be a vector of integers, got float64 of shape \(1,\)"):
        language.decode(np.array([0.0]))
    with pytest.raises(ValueError, match=r"`rows` must have the shape \(time, 2\), got \(1, 3\)"):
        language.decode_one_hot(jnp.zeros((1, 3)))
    with pytest.raises(ValueError, match="`rows` must be numbers, got NaN"):
        language.decode_one_hot(jnp.full((1, 2), jnp.nan))


def test_examples():
    language = Language("a b c d e")
    whole = language.examples("a b c d e")
    np.testing.assert_array_equal(whole.x, np.eye(5)[None, :4])
    np.testing.assert_array_equal(whole.y, [[1, 2, 3, 4]])
    pieces = language.examples("a b c d e a", 2)
    np.testing.assert_array_equal(np.argmax(pieces.x, -1), [[0, 1], [2, 3]])
    np.testing.assert_array_equal(pieces.y, [[1, 2], [3, 4]])
    for text, length, needed in (("a", None, 2), ("a b", 2, 3)):
        with pytest.raises(ValueError, match=f"`text` must have at least {needed} tokens for one example"):
            language.examples(text, length)


CYCLE = Language("a b c d")
FOLLOW = Activation(lambda rows: 20.0 * jnp.roll(rows, 1, axis=-1))  # after each token comes the next one


def test_sample_follows_the_model(key):
    sample = lambda **settings: CYCLE.sample(FOLLOW, "c a", key=key, **settings)
    assert sample(max_length=5) == "c a b c d a b"
    assert sample(max_length=5, stop=["d"]) == "c a b c d"
    assert sample(max_length=3, temperature=0.0) == "c a b c d"


def test_sample_has_the_models_frequencies():
    """Without regard to what came before, tokens come as their probabilities say."""
    logits = np.array([0.0, 1.0, -1.0, 0.5])
    model = Activation(lambda rows: rows * 0 + jnp.broadcast_to(logits, rows.shape))
    n = 4000
    for temperature in (1.0, 2.0):
        text = CYCLE.sample(model, "a", key=jax.random.key(1), max_length=n, temperature=temperature)
        counts = np.bincount(np.asarray(CYCLE.encode(text))[1:], minlength=4)
        expected = np.exp(logits / temperature) / np.sum(np.exp(logits / temperature))
        np.testing.assert_allclose(counts / n, expected, atol=4 * 0.5 / np.sqrt(n))


def test_what_is_not_sampled(key):
    sample = lambda start="a", model=FOLLOW, **settings: CYCLE.sample(model, start, key=key, **settings)
    with pytest.raises(ValueError, match="`start` must have at least one token"):
        sample("", max_length=3)
    with pytest.raises(ValueError, match="`max_length` must be at least 1"):
        sample(max_length=0)
    with pytest.raises(TypeError, match=r"`model` must be a layer; a FeedForward makes one|parameter 'model'"):
        sample(model=jnp.sin, max_length=1)
    with pytest.raises(TypeError, match="`max_length` must be an integer"):
        sample(max_length=True)
    with pytest.raises(TypeError, match=r"`key` must be a key such as jax\.random\.key\(0\), got 0|parameter 'key'"):
        CYCLE.sample(FOLLOW, "a", key=0, max_length=1)
    with pytest.raises(ValueError, match="`temperature` must be a number of at least 0"):
        sample(max_length=1, temperature=-1.0)
    with pytest.raises(ValueError, match="`model` must give numbers, got NaN"):
        sample(model=Activation(lambda rows: rows * jnp.nan), max_length=2)
    with pytest.raises(ValueError, match=r"`model` must map rows of shape \(1, 4\) to .*, got \(1, 2\)"):
        sample(model=Activation(lambda rows: rows[:, :2]), max_length=1)


@pytest.mark.slow
def test_a_recurrent_model_learns_a_text_and_says_it():
    """The sentence has repeated words, so that only a memory can tell what follows them."""
    text = "to be, or not to be, that is to say."
    language = Language(text)
    first, second = jax.random.split(jax.random.key(0))
    model = FeedForward([LSTM(len(language), 12, key=first), Linear(12, len(language), key=second)])
    params = Params(epochs=150, learning_rate=RMSProp(0.05, 0.9), loss=CrossEntropyOnLinear(), silent=True)
    result = model.train(language.examples(text), params)
    assert result.loss < 0.2
    said = language.sample(result.w, "to", key=jax.random.key(1), max_length=20, stop=".", temperature=0.0)
    assert said == text
