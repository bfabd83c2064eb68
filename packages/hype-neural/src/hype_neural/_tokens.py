"""Tokenizers: from a text to tokens and back."""

import abc
import re
from collections.abc import Sequence

import equinox as eqx

PUNCTUATION = ".,:;()!?"


class AbstractTokenizer(eqx.Module):
    """What the tokens of a text are."""

    @abc.abstractmethod
    def split(self, text: str) -> list[str]:
        """The tokens of a text, in order."""

    @abc.abstractmethod
    def join(self, tokens: Sequence[str]) -> str:
        """The text that some tokens make."""


class Words(AbstractTokenizer):
    """Words and punctuation marks; all white space is alike, and none of it a token.

    Args:
        punctuation: characters that are tokens by themselves.
    """

    punctuation: str = eqx.field(static=True, default=PUNCTUATION)

    def split(self, text: str) -> list[str]:
        """The words and marks of a text, in order."""
        if not self.punctuation:
            return text.split()
        marks = re.escape(self.punctuation)
        return re.findall(rf"[{marks}]|[^\s{marks}]+", text)

    def join(self, tokens: Sequence[str]) -> str:
        """Tokens with a space between, but none before a mark, and for an opening parenthesis none after it."""
        text = ""
        for token in tokens:
            closing = token in self.punctuation and token not in "([{"
            text += token if closing or not text or text[-1] in "([{" else f" {token}"
        return text


class Characters(AbstractTokenizer):
    """Each character is a token, white space too."""

    def split(self, text: str) -> list[str]:
        """The characters of a text."""
        return list(text)

    def join(self, tokens: Sequence[str]) -> str:
        """One character after the other."""
        return "".join(tokens)
