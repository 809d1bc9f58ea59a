"""Words become numbers, the same in training and service, and every text becomes some."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.tasks.text.word_tokenizer import (
    UNKNOWN,
    VocabularyParameters,
    WordTokenizer,
    fit_word_tokenizer,
    split_words,
    tokenize,
)

TEXTS = pl.Series(["The pump hums.", "the pump, the PUMP!", None, "", "Ölstand fällt"])


def test_words_are_lower_case_and_marks_stand_alone():
    assert split_words(TEXTS).to_list() == [
        ["the", "pump", "hums", "."],
        ["the", "pump", ",", "the", "pump", "!"],
        [],
        [],
        ["ölstand", "fällt"],
    ]


def test_the_most_frequent_words_come_first_and_rare_ones_are_unknown():
    tokenizer = fit_word_tokenizer(TEXTS, VocabularyParameters(min_count=2))
    assert tokenizer.words == ("pump", "the")
    values, lengths = tokenize(tokenizer, TEXTS)
    assert lengths.tolist() == [4, 6, 0, 0, 2]
    assert values.tolist() == [3, 2, UNKNOWN, UNKNOWN, 3, 2, UNKNOWN, 3, 2, UNKNOWN, UNKNOWN, UNKNOWN]


def test_vocabulary_and_texts_have_their_limits():
    tokenizer = fit_word_tokenizer(TEXTS, VocabularyParameters(max_words=3, min_count=1, max_length=2))
    assert (tokenizer.words, tokenizer.n_numbers) == (("pump", "the", "!"), 5)
    assert tokenize(tokenizer, TEXTS).lengths.tolist() == [2, 2, 0, 0, 2]


@pytest.mark.parametrize("texts", [pl.Series([], dtype=pl.String), pl.Series([""]), pl.Series([None], dtype=pl.String)])
def test_nothing_to_read_is_no_error(texts):
    tokenizer = fit_word_tokenizer(texts, VocabularyParameters())
    assert tokenizer.words == ()
    assert tokenize(tokenizer, texts).lengths.tolist() == [0] * len(texts)
    assert tokenize(tokenizer, pl.Series(["a word"])).values.tolist() == [UNKNOWN, UNKNOWN]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=8))
def test_every_text_becomes_numbers_of_the_vocabulary(texts):
    column = pl.Series(texts, dtype=pl.String)
    tokenizer = fit_word_tokenizer(column, VocabularyParameters(min_count=1))
    values, lengths = tokenize(tokenizer, column)
    assert len(values) == lengths.sum()
    assert all(UNKNOWN < value < tokenizer.n_numbers for value in values)
    assert WordTokenizer.model_validate_json(tokenizer.model_dump_json()) == tokenizer
