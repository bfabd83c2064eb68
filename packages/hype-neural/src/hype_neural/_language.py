"""A vocabulary: texts as sequences of numbers, and texts drawn from models of them."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.checks import check_key, instance, integer
from hype_optim import Dataset
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ._checks import non_negative, optional
from ._layer import AbstractLayer
from ._tokens import AbstractTokenizer, Words


class Language(eqx.Module):
    """A vocabulary: the distinct tokens of a text, in the order of their characters' code points.

    Examples:
        >>> from hype_neural import Language
        >>> language = Language("to be or not to be")
        >>> language.tokens, language.encode("not to be")
        (('be', 'not', 'or', 'to'), Array([1, 3, 0], dtype=int32))

    Args:
        text: a text, or its tokens.
        tokenizer: what a token is, `Words()` or `Characters()`.
        unknown: a token that stands for all that are not in the vocabulary, which it joins. Without it they raise.

    Raises:
        TypeError: if `tokenizer` is not a tokenizer, such as its class.
        ValueError: if `text` has no tokens.
    """

    tokens: tuple[str, ...] = eqx.field(static=True)
    tokenizer: AbstractTokenizer
    unknown: str | None = eqx.field(static=True)

    def __init__(
        self, text: str | Iterable[str], tokenizer: AbstractTokenizer | None = None, *, unknown: str | None = None
    ):
        self.tokenizer = optional("tokenizer", tokenizer, Words(), AbstractTokenizer)
        found = set(self.tokenizer.split(text) if isinstance(text, str) else text)
        if not found:
            raise ValueError("`text` must have at least one token, got none.")
        self.tokens = tuple(sorted(found if unknown is None else found | {unknown}))
        self.unknown = unknown

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str | Iterable[str]) -> Int[Array, " time"]:
        """The place of each token of a text in the vocabulary.

        Args:
            text: a text, or its tokens.

        Raises:
            ValueError: if a token is not in the vocabulary, and there is no token for unknown ones.
        """
        tokens = self.tokenizer.split(text) if isinstance(text, str) else list(text)
        place = {token: i for i, token in enumerate(self.tokens)}
        missing = [token for token in dict.fromkeys(tokens) if token not in place]
        if missing and self.unknown is None:
            some = ", ".join(map(repr, missing[:5])) + (", ..." if len(missing) > 5 else "")
            raise ValueError(
                f"`text` must consist of the vocabulary's {len(self)} tokens, got also {some}; "
                "give `unknown` to the Language to replace them."
            )
        replacement = -1 if self.unknown is None else place[self.unknown]
        return jnp.array([place.get(token, replacement) for token in tokens], jnp.int32)

    def encode_one_hot(self, text: str | Iterable[str]) -> Float[Array, "time tokens"]:
        """A row for each token of a text, with a 1 at its place in the vocabulary; otherwise as `encode`."""
        return jax.nn.one_hot(self.encode(text), len(self), dtype=jnp.result_type(float))

    def decode(self, places: ArrayLike | Sequence[int]) -> str:
        """The text of some tokens, given by their places in the vocabulary.

        Raises:
            ValueError: if `places` is not a vector of integers from 0 to the number of tokens.
        """
        known = np.asarray(places)
        if known.ndim != 1 or not (np.issubdtype(known.dtype, np.integer) or known.size == 0):
            raise ValueError(f"`places` must be a vector of integers, got {known.dtype} of shape {known.shape}.")
        if np.any((known < 0) | (known >= len(self))):
            raise ValueError(f"`places` must be from 0 to {len(self) - 1}, got {known.min()} to {known.max()}.")
        return self.tokenizer.join([self.tokens[i] for i in known.tolist()])

    def decode_one_hot(self, rows: Float[Array, "time tokens"]) -> str:
        """The text of the largest entry in each row, of equals the first.

        Raises:
            ValueError: if a row does not have an entry for each token, or has one that is NaN.
        """
        if rows.ndim != 2 or rows.shape[1] != len(self):
            raise ValueError(f"`rows` must have the shape (time, {len(self)}), got {rows.shape}.")
        known = np.asarray(rows)
        if np.any(np.isnan(known)):
            raise ValueError("`rows` must be numbers, got NaN.")
        return self.decode(np.argmax(known, axis=1))

    def examples(self, text: str | Iterable[str], length: int | None = None) -> Dataset:
        """Sequences to learn from: each token, one-hot, is to be followed by the next one.

        Args:
            text: a text, or its tokens.
            length: the number of times in an example; all of the text in one if not given. What is left at the end of
                the text is not used.

        Returns:
            A `Dataset` with `x` of shape `(examples, length, tokens)` and integer `y` of shape `(examples, length)`.

        Raises:
            TypeError: if `length` is not an integer.
            ValueError: if the text is shorter than one example and the token after it, or as `encode` raises.
        """
        places = self.encode(text)
        length = len(places) - 1 if length is None else integer("length", length, 1)
        count = (len(places) - 1) // max(length, 1)
        if count < 1:
            needed = max(length, 1) + 1
            raise ValueError(f"`text` must have at least {needed} tokens for one example, got {len(places)}.")
        shape = (count, length)
        x, y = places[: count * length].reshape(shape), places[1 : count * length + 1].reshape(shape)
        return Dataset(jax.nn.one_hot(x, len(self), dtype=jnp.result_type(float)), y)

    def sample(
        self,
        model: AbstractLayer,
        start: str | Iterable[str],
        *,
        key: PRNGKeyArray,
        max_length: int,
        stop: Iterable[str] = (),
        temperature: ArrayLike = 1.0,
    ) -> str:
        """Go on with a text by drawing token after token from what a model expects.

        Args:
            model: maps one-hot rows `(time, tokens)` to unnormalized log probabilities of the next token, of the same
                shape; its `run` carries the state from one token to the next.
            start: the beginning of the text, at least one token.
            key: decides what is drawn.
            max_length: how many tokens to draw at most.
            stop: tokens after any of which to end.
            temperature: divides the log probabilities; 0 takes the most probable token each time.

        Returns:
            The text, with its beginning.

        Raises:
            TypeError: if `model` is not a layer, `max_length` not an integer, or `key` not a key.
            ValueError: if `start` is empty, if `temperature` is below 0, if the model's output has another shape or
                is NaN, or as `encode` raises.
        """
        instance("model", model, AbstractLayer, "a layer; a FeedForward makes one of any function or module")
        first = self.encode(start)
        if len(first) == 0:
            raise ValueError("`start` must have at least one token, got none.")
        stops = np.zeros(len(self), bool)
        stops[np.asarray(self.encode(stop))] = True
        t = non_negative("temperature", temperature)
        steps = integer("max_length", max_length, 1)
        after = _draw(model, first, jnp.asarray(stops), check_key("key", key), t, steps)
        places = np.concatenate([first, after.drawn[: int(after.length)]])
        if np.any(places < 0):
            raise ValueError("`model` must give numbers, got NaN: has its training diverged?")
        return self.decode(places)


class _Draws(NamedTuple):
    """The carry of the sampling loop: tokens drawn, of which `length` count, and what the next one follows from."""

    length: Int[Array, ""]
    drawn: Int[Array, " steps"]
    logits: Float[Array, " tokens"]
    state: Any
    ended: Bool[Array, ""]


@eqx.filter_jit
def _draw(
    model: AbstractLayer,
    first: Int[Array, " start"],
    stops: Bool[Array, " tokens"],
    key: PRNGKeyArray,
    temperature: Any,
    steps: int,
) -> _Draws:
    def run(places: Int[Array, " time"], state: Any) -> tuple[Float[Array, " tokens"], Any]:
        rows = jax.nn.one_hot(places, len(stops), dtype=jnp.result_type(float))
        logits, state = model.run(rows, state)
        if logits.shape != rows.shape:
            raise ValueError(f"`model` must map rows of shape {rows.shape} to rows of that shape, got {logits.shape}.")
        return logits[-1], state

    def draw(key: PRNGKeyArray, logits: Float[Array, " tokens"]) -> Int[Array, ""]:
        t = temperature.astype(logits.dtype)
        hot = jax.random.categorical(key, logits / jnp.where(t > 0, t, 1))
        token = jnp.where(t > 0, hot, jnp.argmax(logits)).astype(jnp.int32)
        return jnp.where(jnp.any(jnp.isnan(logits)), -1, token)

    def step(before: _Draws) -> _Draws:
        token = draw(jax.random.fold_in(key, before.length), before.logits)
        logits, state = run(token[None], before.state)
        drawn = before.drawn.at[before.length].set(token)
        return _Draws(before.length + 1, drawn, logits, state, stops[token] | (token < 0))

    begin = _Draws(jnp.array(0), jnp.zeros(steps, jnp.int32), *run(first, None), jnp.array(False))
    return lax.while_loop(lambda draws: (draws.length < steps) & ~draws.ended, step, begin)
