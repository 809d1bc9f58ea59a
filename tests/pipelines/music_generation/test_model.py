"""The model learns what there is to learn, keeps its bits, sees no future, composes by the laws, and serves MIDI."""

import base64

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import ValidationError

from modelyard.errors import DataContractError, StorageError
from pipelines.music_generation.composing import _chord, compose, compose_sample
from pipelines.music_generation.evaluate import ScoreParameters, figures, floor, known_ceiling, predict, score
from pipelines.music_generation.laws import describe
from pipelines.music_generation.midi import read_midi
from pipelines.music_generation.model import load, log_odds_of, losses, save
from pipelines.music_generation.network import transposed
from pipelines.music_generation.rolls import N_KEYS, column_of, pitches_of, roll_of, rolls_of
from pipelines.music_generation.serve import EXAMPLE, MusicRequest, decode, encode


def metrics_of(rows, predictions):
    return score(rows.drop("roll").hstack(predictions), ScoreParameters())


def drawn(model, temperature, n_frames=32, seed=0):
    nothing, unknown = np.zeros((12, 0, N_KEYS), bool), np.full((12, 2), np.nan, np.float32)
    return compose(model.network, nothing, unknown, n_frames, temperature, seed)


def test_the_model_lies_between_the_floor_and_the_known_ceiling(trained, small):
    test = trained.rows("test")
    trivial = metrics_of(test, floor(trained.rows("train"), test))["nll_per_frame"]
    ours = metrics_of(test, predict(trained.model, test))["nll_per_frame"]
    assert known_ceiling(small)["nll_per_frame"] < ours < 0.9 * trivial


def test_every_epoch_is_reported_and_validation_decides(trained):
    steps, values = zip(*trained.reports, strict=True)
    assert list(steps) == [1, 2, 3, 4, 5]
    assert values[-1] < values[0]
    assert trained.model.params.best_epoch == 1 + int(np.argmin(values))


def test_the_same_seed_gives_the_same_bits_with_and_without_validation_pieces(trained, refit, tmp_path):
    test = trained.rows("test")
    rest = trained.examples.filter(pl.col("split") != "valid")
    again, reports = refit(rest, tmp_path / "again", trained.model.params)
    assert reports == []
    assert again.params == trained.model.params
    assert predict(again, test).equals(predict(trained.model, test))


def test_without_training_pieces_there_is_no_model(trained, refit, tmp_path):
    with pytest.raises(DataContractError, match="no training pieces"):
        refit(trained.rows("valid"), tmp_path)


def test_a_loaded_model_predicts_and_remembers_the_same(trained, tmp_path):
    save(trained.model, tmp_path)
    loaded, test = load(tmp_path), trained.rows("test")
    assert loaded.params == trained.model.params
    assert predict(loaded, test).equals(predict(trained.model, test))
    learnt = rolls_of(trained.rows("train"))[3]
    assert loaded.memory.longest_common_run(learnt) == len(learnt)


def test_a_damaged_model_is_said(tmp_path):
    (tmp_path / "params.json").write_text("{")
    with pytest.raises(StorageError, match="cannot be read"):
        load(tmp_path)


def test_the_score_follows_the_published_protocol():
    losses_of = {"nll_nats": [10.0, 6.0], "joint_nll_nats": [8.0, 1.0]}
    rows = pl.DataFrame({**losses_of, "n_predicted_count": [2, 1]}).with_columns(
        n_hits_count=pl.lit(3), n_misses_count=pl.lit(1), n_alarms_count=pl.lit(0)
    )
    found = score(rows, ScoreParameters())
    assert found["nll_per_frame"] == pytest.approx(16 / 3)
    assert found["joint_nll_per_frame"] == pytest.approx(3)
    assert found["nll_per_frame_of_pieces"] == pytest.approx(5.5)
    assert (found["frame_accuracy"], found["precision"], found["recall"]) == (0.75, 1, 0.75)
    assert np.isnan(score(rows.clear(), ScoreParameters())["nll_per_frame"])


def test_the_loss_is_the_sum_of_binary_cross_entropies():
    roll, logits = roll_of([[60], []]), np.random.default_rng(0).normal(size=(2, N_KEYS)).astype(np.float32)
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.from_numpy(logits), torch.from_numpy(roll.astype(np.float32)), reduction="none"
    ).sum(dim=1)
    assert losses(roll, logits) == pytest.approx(wanted.numpy(), rel=1e-5)


def test_a_later_frame_changes_no_earlier_prediction(trained):
    row = trained.rows("test").head(1)
    roll = rolls_of(row)[0]
    planted = roll.copy()
    planted[10:] = ~planted[10:]
    (_, _, before), (_, _, after) = (
        next(log_odds_of(trained.model.network, row.with_columns(column_of([each])))) for each in (roll, planted)
    )
    assert np.array_equal(before.alone[:11], after.alone[:11])  # frame 10 itself is predicted from those before it
    assert not np.array_equal(before.alone[11:], after.alone[11:])
    assert np.array_equal(before.together[:10], after.together[:10])


def test_a_higher_key_changes_no_lower_key_of_its_frame(trained):
    row = trained.rows("test").head(1)
    roll = rolls_of(row)[0]
    planted = roll.copy()
    planted[-1, 40:] = ~planted[-1, 40:]
    (_, _, before), (_, _, after) = (
        next(log_odds_of(trained.model.network, row.with_columns(column_of([each])))) for each in (roll, planted)
    )
    assert np.array_equal(before.together[-1, :41], after.together[-1, :41])
    assert not np.array_equal(before.together[-1, 41:], after.together[-1, 41:])
    assert np.array_equal(before.alone, after.alone)


def test_chords_are_less_surprising_than_their_keys_one_by_one(trained):
    test = trained.rows("test")
    found = metrics_of(test, predict(trained.model, test))
    assert found["joint_nll_per_frame"] < found["nll_per_frame"]


def test_a_chord_is_drawn_as_if_key_by_key(trained):
    network, temperature = trained.model.network, 1.5
    before = torch.from_numpy(np.stack([roll_of([[48, 60, 64, 67]]), roll_of([[]])])).float()
    chance = torch.rand((2, N_KEYS), generator=torch.Generator().manual_seed(3))
    style = torch.full((2, 2), float("nan"))
    with torch.inference_mode():
        hidden, _ = network.hear(before, style)
        chord = _chord(network, hidden[:, -1], before[:, -1], chance, temperature)
        _, together = network(before, style, chord[:, None])
    assert chord.sum() > 1
    assert torch.equal(torch.sigmoid(together[:, 0] / temperature) > chance, chord > 0)


def test_pieces_are_transposed_and_what_leaves_the_piano_is_silent():
    frames = torch.from_numpy(np.stack([roll_of([[60]]), roll_of([[108]]), roll_of([[21]])])).float()
    higher = transposed(frames, torch.tensor([2, 2, -1])).numpy().astype(bool)
    assert [pitches_of(each) for each in higher] == [[[62]], [[]], [[]]]


def test_law_a_real_piece_is_less_surprising_than_the_same_frames_shuffled(trained):
    test = trained.rows("test")
    rng = np.random.default_rng(0)
    shuffled = test.with_columns(column_of([rng.permutation(roll) for roll in rolls_of(test)]))
    real, mixed = (metrics_of(rows, predict(trained.model, rows))["nll_per_frame"] for rows in (test, shuffled))
    assert real < mixed


def test_law_a_cool_piece_is_in_key_and_a_hot_one_is_noise(trained):
    cool, hot = (describe(list(drawn(trained.model, warmth))) for warmth in (0.5, 3.0))
    assert cool["in_key_share"].mean() > hot["in_key_share"].mean()
    assert hot["notes_per_frame_ratio"].mean() > 2 * max(1.0, cool["notes_per_frame_ratio"].mean())


def test_law_another_seed_composes_another_piece_and_none_is_a_copy(trained):
    first, again, other = (drawn(trained.model, 1.0, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert max(trained.model.memory.longest_common_run(roll) for roll in first) < 16


def test_serving_answers_what_the_batch_predicts(trained):
    other = EXAMPLE.model_copy(update={"seed": 2, "n_frames": 8, "frames": ["60 64 67"]})
    both = encode(predict(trained.model, decode([EXAMPLE, other])))
    alone = encode(predict(trained.model, decode([EXAMPLE])))[0]
    assert both[0].frames == alone.frames
    assert both[0].nll_per_frame == pytest.approx(alone.nll_per_frame, rel=1e-4)
    assert (len(both[0].frames), len(both[1].frames), both[1].nll_per_frame) == (32, 8, None)
    composed = roll_of([list(map(int, frame.split())) for frame in alone.frames])
    sounding = np.flatnonzero(composed.any(axis=1))
    played = read_midi(base64.b64decode(alone.midi))
    assert np.array_equal(played, composed[sounding[0] : sounding[-1] + 1])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"frames": []}, "at least 1"),
        ({"frames": ["12"]}, "no key of a piano"),
        ({"frames": ["60 C4"]}, "no MIDI number"),
        ({"temperature": 0}, "greater than or equal"),
        ({"n_frames": 10**6}, "less than or equal"),
        ({"key": "C"}, "not permitted"),
    ],
)
def test_requests_that_make_no_sense_are_refused(change, problem):
    with pytest.raises(ValidationError, match=problem):
        MusicRequest.model_validate(EXAMPLE.model_dump() | change)


def test_figures_and_a_sample_are_drawn(trained, tmp_path):
    test = trained.rows("test").head(4)
    found = figures(test.hstack(predict(trained.model, test)), trained.model)
    assert set(found) == {"piano_rolls", "surprise", "musical_laws", "copying", "temperature"}
    assert all(figure.axes for figure in found.values())
    composed = compose_sample(trained.model, tmp_path / "sample", n_frames=8)
    assert composed.shape == (8, N_KEYS)
    assert {file.name: file.read_bytes()[:4] for file in (tmp_path / "sample").iterdir()} == {
        "piece.mid": b"MThd",
        "piece.wav": b"RIFF",
        "piece.png": b"\x89PNG",
    }
