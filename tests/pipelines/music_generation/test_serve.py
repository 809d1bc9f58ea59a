"""The service continues a beginning: the same seed, the same piece, whole or frame by frame."""

import base64
from itertools import islice

import numpy as np
import pytest
from pydantic import ValidationError

from pipelines.music_generation.evaluate import predict
from pipelines.music_generation.midi import read_midi
from pipelines.music_generation.rolls import roll_of
from pipelines.music_generation.serve import EXAMPLE, MusicRequest, answer, decode, encode, stream

SHORT = EXAMPLE.model_copy(update={"seed": 2, "n_frames": 8, "frames": ["60 64 67"]})


def answered(model, *requests):
    return encode(answer(model, decode(requests)))


def test_a_request_is_answered_alone_as_beside_others(trained):
    first, second = answered(trained.model, EXAMPLE, SHORT)
    (alone,) = answered(trained.model, EXAMPLE)
    assert first.frames == alone.frames
    assert first.nll_per_frame == pytest.approx(alone.nll_per_frame, rel=1e-4)
    assert (len(first.frames), len(second.frames), second.nll_per_frame) == (32, 8, None)


def test_the_surprise_of_a_beginning_is_the_loss_of_its_frames(trained):
    rows = decode([EXAMPLE, EXAMPLE.model_copy(update={"frames": [*EXAMPLE.frames[:2], ""]}), SHORT])
    predicted = predict(trained.model, rows)
    losses = (predicted["nll_nats"] / predicted["n_predicted_count"]).to_list()
    assert answer(trained.model, rows)["nll_per_frame"].to_list() == [*losses[:2], None]


def test_an_answer_has_no_column_that_monitoring_would_take_for_a_whole_pieces(trained):
    found = answer(trained.model, decode([SHORT]))
    assert not set(found.columns) & set(trained.predictions.columns)


def test_the_midi_file_plays_the_frames(trained):
    (response,) = answered(trained.model, EXAMPLE)
    composed = roll_of([list(map(int, frame.split())) for frame in response.frames])
    sounding = np.flatnonzero(composed.any(axis=1))
    played = read_midi(base64.b64decode(response.midi))
    assert np.array_equal(played, composed[sounding[0] : sounding[-1] + 1])


@pytest.mark.parametrize("change", [{}, {"temperature": 1.5, "top_p": 0.8}])
def test_what_is_streamed_is_what_is_answered(trained, change):
    request = EXAMPLE.model_copy(update=change)
    assert list(stream(trained.model, decode([request]))) == answered(trained.model, request)[0].frames


def test_a_stream_begins_before_the_piece_is_composed(trained, monkeypatch):
    n_composed = 0
    one_more = type(trained.model.network).encode_next

    def counted(*args):
        nonlocal n_composed
        n_composed += 1
        return one_more(*args)

    monkeypatch.setattr(type(trained.model.network), "encode_next", counted)
    begun = list(islice(stream(trained.model, decode([EXAMPLE.model_copy(update={"n_frames": 1_000})])), 3))
    assert (len(begun), n_composed) == (3, 3)


def test_the_seed_and_the_options_decide_the_piece(trained):
    requests = [EXAMPLE.model_copy(update=each) for each in ({}, {}, {"seed": 5}, {"temperature": 3}, {"top_p": 0.1})]
    first, again, *others = (response.frames for response in answered(trained.model, *requests))
    assert first == again
    assert all(other != first for other in others)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"frames": []}, "at least 1"),
        ({"frames": ["12"]}, "not a key of a piano"),
        ({"frames": ["60 C4"]}, "not a MIDI number"),
        ({"temperature": 0}, "greater than or equal"),
        ({"top_p": 0}, "greater than 0"),
        ({"n_frames": 10**6}, "less than or equal"),
        ({"key": "C"}, "not permitted"),
    ],
)
def test_requests_that_make_no_sense_are_refused(change, problem):
    with pytest.raises(ValidationError, match=problem):
        MusicRequest.model_validate(EXAMPLE.model_dump() | change)
