"""Texts to numbers, word by word: the vocabulary is fitted on training texts and is a part of the model.

Number 0 is no word (padding), 1 is every word that the vocabulary does not have, 2 is its first word.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.parameters import Parameters

UNKNOWN = 1
"""Number of a word that is not in the vocabulary."""

_FIRST = 2

_WORD = r"\w+|[^\w\s]"
"""A run of letters, digits and underscores of any script, or one other character that is no space."""


class VocabularyParameters(Parameters):
    """Which words get a number of their own, and how much of a text is read."""

    max_words: int = Field(20_000, ge=1, le=1_000_000, description="Words with a number of their own at most.")
    min_count: int = Field(2, ge=1, description="Times that a word has to occur in the training texts.")
    max_length: int = Field(256, ge=1, le=100_000, description="Words of a text that are read; the rest is cut off.")


class WordTokenizer(Parameters):
    """A fitted vocabulary; :func:`modelyard.model_files.save_model` writes it as JSON."""

    words: tuple[str, ...] = Field(description="The words from number 2 on, the most frequent first.")
    max_length: int = Field(ge=1, description="Words of a text that are read.")

    @property
    def n_numbers(self) -> int:
        """How many numbers there are, 0 and 1 included: the rows of an embedding."""
        return _FIRST + len(self.words)


class Tokens(NamedTuple):
    """Texts as numbers, one after the other.

    Args:
        values: Shape (T,), the numbers of all texts.
        lengths: Shape (N,), how many are each text's; 0 of a text without words.
    """

    values: NDArray[np.int64]
    lengths: NDArray[np.int64]


def split_words(texts: pl.Series) -> pl.Series:
    """Returns the words and marks of each text in lower case, a list of strings; a missing text has none."""
    return texts.fill_null("").str.to_lowercase().str.extract_all(_WORD)


def fit_word_tokenizer(texts: pl.Series, params: VocabularyParameters) -> WordTokenizer:
    """Returns the vocabulary of the most frequent words, equally frequent ones in the order of the alphabet.

    Args:
        texts: Strings of the training rows.
        params: See :class:`VocabularyParameters`.
    """
    words = split_words(texts).explode(empty_as_null=False).alias("word")
    counts = words.value_counts().filter(pl.col("count") >= params.min_count)
    kept = counts.sort(pl.col("count"), pl.col("word"), descending=[True, False]).head(params.max_words)
    return WordTokenizer(words=tuple(kept["word"]), max_length=params.max_length)


def tokenize(tokenizer: WordTokenizer, texts: pl.Series) -> Tokens:
    """Returns the numbers of N texts; :meth:`modelyard.training.ragged.Ragged.of_lengths` makes batches of them."""
    words = split_words(texts).list.head(tokenizer.max_length)
    numbers = words.explode(empty_as_null=False).replace_strict(
        pl.Series(tokenizer.words, dtype=pl.String),
        pl.int_range(_FIRST, tokenizer.n_numbers, eager=True),
        default=UNKNOWN,
        return_dtype=pl.Int64,
    )
    return Tokens(numbers.to_numpy(), words.list.len().cast(pl.Int64).to_numpy())
