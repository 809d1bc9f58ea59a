"""The model learns what there is to learn, sees no future, and composes chords that follow the style."""

import numpy as np
import pytest
import torch

from modelyard.errors import DataContractError
from pipelines.music_generation.composing import END, compose, next_note_logits
from pipelines.music_generation.descriptors import describe
from pipelines.music_generation.evaluate import ScoreParameters, floor, predict, score
from pipelines.music_generation.figures import figures, write_sample
from pipelines.music_generation.model import FitParameters, build_network, load, logits_of, nll_of_frames, save
from pipelines.music_generation.network import transpose
from pipelines.music_generation.rolls import N_KEYS, column_of, pitches_of, roll_of, rolls_of
from pipelines.music_generation.train import mean_loss, sequences


def metrics_of(model, rows):
    return score(predict(model, rows), ScoreParameters())


def composed(model, temperature, seed=0):
    silence = np.zeros((12, 0, N_KEYS), bool)
    return compose(model.network, silence, 32, temperature=temperature, seed=seed)


def test_without_training_pieces_there_is_no_model(trained, refit, tmp_path):
    with pytest.raises(DataContractError, match="no training pieces"):
        refit(trained.rows("valid"), tmp_path)


def test_a_loaded_model_knows_its_corpus(trained, tmp_path):
    save(trained.model, tmp_path)
    learnt = rolls_of(trained.rows("train"))[3]
    assert load(tmp_path).corpus.longest_common_run(learnt) == len(learnt)


def test_the_score_follows_the_published_protocol(trained):
    rows = predict(trained.model, trained.rows("test"))[:2].with_columns(
        nll_nats=np.array([10.0, 6.0]),
        joint_nll_nats=np.array([8.0, 1.0]),
        n_predicted_count=np.array([2, 1]),
        n_true_positives_count=np.array([3, 3]),
        n_false_negatives_count=np.array([1, 1]),
        n_false_positives_count=np.array([0, 0]),
    )
    assert score(rows, ScoreParameters()) == pytest.approx(
        {
            "nll_per_frame": 16 / 3,
            "joint_nll_per_frame": 3,
            "nll_per_frame_of_pieces": 5.5,
            "frame_accuracy": 0.75,
            "precision": 1,
            "recall": 0.75,
        }
    )
    assert np.isnan(score(rows.clear(), ScoreParameters())["nll_per_frame"])


def test_the_floor_knows_how_often_each_key_sounds(trained):
    always, never = roll_of([[60]] * 100), roll_of([[]] * 100)
    rows = trained.rows("test")[:1]
    found = floor(rows.with_columns(column_of([always])), rows.with_columns(column_of([always])))
    surprised = floor(rows.with_columns(column_of([never])), rows.with_columns(column_of([always])))
    assert found["n_true_positives_count"].item() == found["n_predicted_count"].item() == 99
    assert surprised["nll_nats"].item() > 100 * found["nll_nats"].item() / 99


def test_the_loss_is_the_sum_of_binary_cross_entropies():
    roll, logits = roll_of([[60], []]), np.random.default_rng(0).normal(size=(2, N_KEYS)).astype(np.float32)
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.from_numpy(logits), torch.from_numpy(roll.astype(np.float32)), reduction="none"
    ).sum(dim=1)
    assert nll_of_frames(roll, logits) == pytest.approx(wanted.numpy(), rel=1e-5)


def test_a_later_frame_changes_no_earlier_prediction(trained):
    roll = rolls_of(trained.rows("test"))[0]
    planted = roll.copy()
    planted[10:] = ~planted[10:]
    (_, before), (_, after) = (next(logits_of(trained.model.network, [each])) for each in (roll, planted))
    assert np.array_equal(before.independent[:11], after.independent[:11])  # frame 10 follows from those before it
    assert not np.array_equal(before.independent[11:], after.independent[11:])
    assert np.array_equal(before.joint[:10], after.joint[:10])


def test_a_higher_key_changes_no_lower_key_of_its_frame(trained):
    roll = rolls_of(trained.rows("test"))[0]
    planted = roll.copy()
    planted[-1, 40:] = ~planted[-1, 40:]
    (_, before), (_, after) = (next(logits_of(trained.model.network, [each])) for each in (roll, planted))
    assert np.array_equal(before.joint[-1, :41], after.joint[-1, :41])
    assert not np.array_equal(before.joint[-1, 41:], after.joint[-1, 41:])
    assert np.array_equal(before.independent, after.independent)


def test_a_piece_is_predicted_the_same_beside_longer_ones(trained):
    rolls = [roll[: 5 + number] for number, roll in enumerate(rolls_of(trained.rows("test")))]
    together = dict(logits_of(trained.model.network, rolls))
    assert sorted(together) == list(range(len(rolls)))
    for number in (0, len(rolls) - 1):
        ((_, alone),) = logits_of(trained.model.network, [rolls[number]])
        assert together[number].joint == pytest.approx(alone.joint, abs=1e-4)


def test_one_more_frame_is_encoded_as_in_a_whole_piece():
    torch.manual_seed(0)
    network = build_network(FitParameters(hidden_size=16, n_layers=2)).eval()
    frames = torch.rand(3, 7, N_KEYS).round()
    with torch.no_grad():
        whole, _ = network.encode(frames)
        _, state = network.encode(frames[:, :-1])
        last, _ = network.encode_next(frames[:, -1], state)
    assert last == pytest.approx(whole[:, -1], abs=1e-5)


def test_chords_are_less_surprising_than_independent_keys(trained):
    found = metrics_of(trained.model, trained.rows("test"))
    assert found["joint_nll_per_frame"] < found["nll_per_frame"]


def test_a_chord_drawn_note_by_note_has_the_probability_that_the_network_gives_it(trained):
    network = trained.model.network
    before = torch.from_numpy(roll_of([[48, 60, 64, 67]])[None]).float()
    for notes in ([], [48, 55, 64, 72], [21, 108]):
        chord = roll_of([notes])
        with torch.no_grad():
            hidden, _ = network.encode(before)
            logits, context = network.key_logits(hidden, before)[0], network.nade_bias(hidden)[0]
            log_probability, last = 0.0, torch.tensor([-1])
            for key in [*np.flatnonzero(chord[0]), END]:
                following = next_note_logits(logits + network.chord_bias(context), last)
                assert float(following.logsumexp(dim=1)) == pytest.approx(0, abs=1e-4)
                log_probability += float(following[0, key])
                last = torch.tensor([key])
                context = context + network.nade_in[last] if key < END else context
            _, joint = network(before, torch.from_numpy(chord[None]).float())
        assert -log_probability == pytest.approx(float(nll_of_frames(chord, joint[0].numpy())[0]), rel=1e-4)


def test_chords_are_drawn_as_often_as_the_network_says(trained):
    before = np.repeat(roll_of([[48, 60, 64, 67]])[None], 2_000, axis=0)
    (share,) = compose(trained.model.network, before, 1, seed=3).mean(axis=0)
    with torch.no_grad():
        frames = torch.from_numpy(np.concatenate([np.zeros_like(before[:1]), before[:1]], axis=1)).float()
        hidden, _ = trained.model.network.encode(frames)
        bass = trained.model.network.key_logits(hidden, frames)[0, -1]
        bass = torch.sigmoid(bass + trained.model.network.chord_bias(trained.model.network.nade_bias(hidden))[0, -1])
    lowest = int(bass.cumsum(0).gt(0.2).nonzero()[0])  # below it hardly anything sounds, so nothing else matters
    assert share[: lowest + 1] == pytest.approx(bass[: lowest + 1].numpy(), abs=0.06)


def test_transposed_pieces_are_silent_where_they_leave_the_piano():
    frames = torch.from_numpy(np.stack([roll_of([[60]]), roll_of([[108]]), roll_of([[21]])])).float()
    higher = transpose(frames, torch.tensor([2, 2, -1])).numpy().astype(bool)
    assert [pitches_of(each) for each in higher] == [[[62]], [[]], [[]]]


def test_law_a_real_piece_is_less_surprising_than_the_same_frames_shuffled(trained):
    test = trained.rows("test")
    rng = np.random.default_rng(0)
    shuffled = test.with_columns(column_of([rng.permutation(roll) for roll in rolls_of(test)]))
    real, mixed = (metrics_of(trained.model, rows)["nll_per_frame"] for rows in (test, shuffled))
    assert real < mixed


def test_law_a_cool_piece_keeps_key_and_line_a_hot_one_neither_and_both_their_four_voices(trained):
    cool, hot = (describe(list(composed(trained.model, temperature))).mean() for temperature in (0.5, 3.0))
    for law in ("in_key_share", "step_share"):
        assert cool[law].item() > hot[law].item() + 0.1
    assert 3 < hot["notes_per_frame_ratio"].item() < 5
    assert 3 < cool["notes_per_frame_ratio"].item() < 5


def test_law_another_seed_composes_another_piece_and_none_is_a_copy(trained):
    first, again, other = (composed(trained.model, 1.0, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert max(trained.model.corpus.longest_common_run(roll) for roll in first) < 16


def test_figures_and_a_sample_are_drawn(trained, tmp_path):
    found = figures(trained.rows("test").head(4), trained.model)
    assert set(found) == {"piano_rolls", "surprise", "descriptors", "copying", "temperature"}
    assert all(figure.axes for figure in found.values())
    write_sample(composed(trained.model, 1.0)[0], tmp_path / "sample")
    assert {file.name: file.read_bytes()[:4] for file in (tmp_path / "sample").iterdir()} == {
        "piece.mid": b"MThd",
        "piece.wav": b"RIFF",
        "piece.png": b"\x89PNG",
    }


def test_sequences_are_all_frames_once_each_behind_the_frame_before():
    roll = np.random.default_rng(0).random((11, N_KEYS)) < 0.1
    found = sequences([roll, roll[:1]], 4)
    assert [len(each) for each in found] == [5, 5, 4, 2]
    assert np.array_equal(np.concatenate([each[1:] for each in found[:3]]), roll)
    assert not found[0][0].any()
    assert np.array_equal(found[1][0], roll[3])


def test_padding_and_neighbours_do_not_change_the_loss(trained):
    long, short = (torch.from_numpy(each) for each in sequences(rolls_of(trained.rows("test"))[:1], 15))
    padded = torch.nn.utils.rnn.pad_sequence([long, short], batch_first=True)
    batch = {"frames": padded, "frames_length": torch.tensor([len(long), len(short)])}
    with torch.no_grad():
        both = float(mean_loss(trained.model.network, batch, 0))
        alone = [
            float(
                mean_loss(trained.model.network, {"frames": each[None], "frames_length": torch.tensor([len(each)])}, 0)
            )
            for each in (long, short)
        ]
    assert both == pytest.approx((15 * alone[0] + 9 * alone[1]) / 24, rel=1e-5)
