"""Pieces from their sources: a known ceiling, the official counts, and own MIDI files that may be anything."""

import io
import os

import mido
import numpy as np
import polars as pl
import pytest

from modelyard.errors import ConfigurationError, DataContractError
from modelyard.stages.media import split_media
from modelyard.stages.validate import ValidateParameters, validate
from pipelines.music_generation import simulator
from pipelines.music_generation.data import CONTRACT, IngestParameters, expectations, ingest
from pipelines.music_generation.descriptors import descriptors_of, key_of
from pipelines.music_generation.memorization import TrainingCorpus
from pipelines.music_generation.midi import read_midi, to_midi
from pipelines.music_generation.rolls import N_KEYS, column_of, note_spans, pitches_of, roll_of, rolls_of
from pipelines.music_generation.simulator import SimulationParameters, simulate
from pipelines.music_generation.sound import to_wav
from tests.mutations import assert_every_mutation_is_answered

FEW = SimulationParameters(n_pieces=30, n_phrases=2)
SCALE = [[pitch] for pitch in (60, 62, 64, 65, 67, 69, 71, 72)]
ABOUT = {"project": "music_generation", "source": "test"}


@pytest.fixture(scope="module")
def pieces() -> pl.DataFrame:
    return ingest(IngestParameters(simulation=SimulationParameters(n_pieces=160, n_phrases=3)))


def midi_of(notes, channel=0, ticks_per_beat=480, file_type=0) -> bytes:
    """Notes as (MIDI number, ticks)."""
    file = mido.MidiFile(type=file_type, ticks_per_beat=ticks_per_beat)
    track = mido.MidiTrack()
    for pitch, ticks in notes:
        track.append(mido.Message("note_on", note=pitch, channel=channel, time=0))
        track.append(mido.Message("note_off", note=pitch, channel=channel, time=ticks))
    file.tracks.append(track)
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def test_the_same_seed_gives_the_same_notes_and_another_seed_others():
    rows, rolls = simulate(FEW)
    again, same = simulate(FEW)
    _, other = simulate(FEW.model_copy(update={"seed": 1}))
    assert rows.equals(again)
    assert all(np.array_equal(*pair) for pair in zip(rolls, same, strict=True))
    assert not all(np.array_equal(*pair) for pair in zip(rolls, other, strict=True))


def test_the_ceiling_is_the_loss_of_who_knows_the_chain():
    rng = np.random.default_rng(0)
    voicing, degree, rate = (48, 55, 64, 72), 0, 0.6
    chance = simulator.key_probabilities(voicing, degree, False, None, rate)
    drawn = np.zeros(N_KEYS)
    n = 4_000
    for _ in range(n):
        moved = rng.random() < rate
        following = int(rng.choice(7, p=simulator._CHAIN[degree])) if moved else degree
        sounding = simulator.voice_chord(voicing, following, False) if moved else voicing
        drawn[np.array(sounding) - 21] += 1
    assert np.abs(drawn / n - chance).max() < 0.04  # five standard errors of a share
    assert simulator.entropy(chance) == pytest.approx(
        -sum(p * np.log(p) + (1 - p) * np.log(1 - p) for p in chance if 0 < p < 1)
    )
    assert simulator.entropy(simulator.key_probabilities(voicing, degree, False, 4, 1.0)) == 0  # a cadence is certain


def test_drift_quickens_the_later_pieces():
    still, drifting = (
        ingest(IngestParameters(simulation=SimulationParameters(n_pieces=120, n_phrases=2, drift=drift)))
        for drift in (0, 1)
    )
    pace = [rows["change_share"].tail(30).mean() for rows in (still, drifting)]
    assert pace[1] > pace[0] + 0.08


def test_simulated_pieces_keep_the_contract(pieces):
    rows, media = split_media(pieces, CONTRACT)
    found = validate(rows, None, CONTRACT, expectations(IngestParameters()), ValidateParameters(), ABOUT)
    assert found.summary["stop"] == []
    assert found.rejected.is_empty()
    assert media["roll"].dtype == pl.List(pl.UInt8)


def test_law_simulated_pieces_stay_in_key_and_lead_their_voices(pieces):
    assert (pieces["in_key_share"] > 0.95).mean() > 0.5
    assert pieces["in_key_share"].mean() > 0.93  # a short piece may be taken for one of a neighbouring key
    assert pieces["parallel_share"].mean() < 0.1
    assert pieces["notes_per_frame_ratio"].unique().to_list() == [4.0]


def test_rolls_of_different_lengths_survive_the_column():
    rolls = [roll_of(SCALE), roll_of([[], [60, 64]])]
    assert all(np.array_equal(*pair) for pair in zip(rolls, rolls_of(column_of(rolls).to_frame()), strict=True))
    assert pitches_of(rolls[1]) == [[], [60, 64]]
    assert note_spans(roll_of([[60], [60, 64], [64], [60]])) == [(39, 0, 2), (39, 3, 4), (43, 1, 3)]
    with pytest.raises(ValueError, match="109 is not a key"):
        roll_of([[109]])


def test_what_is_measured_on_a_scale():
    found = descriptors_of(roll_of(SCALE))
    assert key_of(roll_of([*SCALE, [60, 64, 67], [60, 64, 67]])) == (0, False)
    assert (found["range_semitone"], found["notes_per_frame_ratio"], found["step_share"]) == (12, 1, 1)
    assert found["change_share"] == 1
    assert descriptors_of(roll_of([[]]))["silence_share"] == 1


def test_parallel_fifths_are_found_and_contrary_motion_is_none():
    assert descriptors_of(roll_of([[48, 55], [50, 57], [52, 59]]))["parallel_share"] == 1
    assert descriptors_of(roll_of([[48, 67], [50, 65], [52, 64]]))["parallel_share"] == 0


def test_the_longest_common_run_lies_within_one_piece():
    learnt = [roll_of(SCALE), roll_of(SCALE[::-1])]
    corpus = TrainingCorpus.of(learnt)
    assert corpus.longest_common_run(learnt[0]) == 8
    assert corpus.longest_common_run(roll_of([[40], *SCALE[2:6], [41]])) == 4
    assert corpus.longest_common_run(roll_of([*SCALE[6:], [72], [71]])) == 2  # not across the two pieces' border
    assert corpus.longest_common_run(roll_of([[40], [41]])) == 0


def test_the_longest_common_run_is_that_of_a_search_by_brute_force():
    rng = np.random.default_rng(0)
    learnt = [roll_of(rng.integers(60, 63, (20, 1)).tolist()) for _ in range(5)]
    corpus = TrainingCorpus.of(learnt)
    for _ in range(20):
        roll = roll_of(rng.integers(60, 64, (15, 1)).tolist())
        runs = [
            length
            for length in range(16)
            for begin in range(16 - length)
            for piece in learnt
            for at in range(len(piece) - length + 1)
            if np.array_equal(roll[begin : begin + length], piece[at : at + length])
        ]
        assert corpus.longest_common_run(roll) == max(runs)


def test_midi_comes_back_as_it_went():
    roll = roll_of([[60, 64], [60, 65], [], [67], [67]])
    assert np.array_equal(read_midi(to_midi(roll)), roll)
    assert np.array_equal(read_midi(to_midi(roll, frames_per_quarter=4), frames_per_quarter=4), roll)


def test_a_wav_file_sounds_as_long_as_the_roll():
    import wave

    with wave.open(io.BytesIO(to_wav(roll_of([[69], [69], []]), frame_s=0.5))) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
        rate = file.getframerate()
    assert len(samples) / rate == pytest.approx(1.56, abs=0.01)
    loudest = np.abs(np.fft.rfft(samples[:rate])).argmax()
    assert loudest == pytest.approx(440, abs=2)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not a MIDI file"),
        (b"RIFF and no music", "not a MIDI file"),
        (midi_of([(60, 480)])[:30], "damaged|no notes"),
        (b"MThd" + b"\xff" * 40, "damaged|do not run together"),
        (midi_of([(36, 480)] * 4, channel=9), "nothing but drums"),
        (midi_of([]), "no notes"),
        (midi_of([(60, 480 * 30_000)]), "30000 frames long"),
        (midi_of([(60, 480)], file_type=2), "do not run together"),
        (midi_of([(5, 480)]), "key of a piano"),
    ],
)
def test_what_is_wrong_with_a_midi_file_is_said(content, problem):
    with pytest.raises(ValueError, match=problem):
        read_midi(content)


def test_a_damaged_midi_file_is_read_or_refused():
    rng, sound = np.random.default_rng(0), midi_of([(60, 480), (64, 240), (67, 480)] * 4)
    n_refused = 0
    for _ in range(300):
        content = bytearray(sound)
        for place in rng.integers(4, len(content), 4):
            content[place] = rng.integers(256)
        try:
            read_midi(bytes(content))
        except ValueError:
            n_refused += 1
    assert 30 < n_refused < 300


def test_a_key_signature_that_mido_does_not_know_is_a_damaged_file():
    file = mido.MidiFile(type=0)
    file.tracks.append(mido.MidiTrack([mido.MetaMessage("key_signature", key="C")]))
    buffer = io.BytesIO()
    file.save(file=buffer)
    content = buffer.getvalue().replace(b"\xff\x59\x02\x00\x00", b"\xff\x59\x02\x40\x00")
    with pytest.raises(ValueError, match="damaged"):
        read_midi(content)


def own(path):
    return ingest(IngestParameters(source="own", path=str(path)))


def test_own_folders_become_pieces_and_bad_files_go_to_quarantine(tmp_path):
    (tmp_path / "tunes").mkdir()
    for number in range(8):
        notes = [(55 + number + pitch[0] % 12, 480) for pitch in SCALE] * 2
        (tmp_path / "tunes" / f"{number}.mid").write_bytes(midi_of(notes))
    (tmp_path / "broken.mid").write_bytes(b"MThd and no more")
    (tmp_path / "drums.midi").write_bytes(midi_of([(36, 480)] * 9, channel=9))
    (tmp_path / "notes.txt").write_text("not looked at")
    rows, media = split_media(own(tmp_path), CONTRACT)
    limits = ValidateParameters(max_rejected_share=0.5)
    found = validate(rows, None, CONTRACT, expectations(IngestParameters()), limits, ABOUT)
    reasons = dict(found.rejected.select("piece_id", pl.col("rejected_because").list.join(" ")).iter_rows())
    assert found.records.height == 8
    assert media.height == 10
    assert found.records["collection_id"].unique().to_list() == ["tunes"]
    assert "damaged" in reasons["broken.mid"]
    assert "drums" in reasons["drums.midi"]


def test_hidden_files_are_passed_over_and_names_may_be_anything(tmp_path, caplog):
    content = midi_of([(pitch[0], 480) for pitch in SCALE])
    for name in ("a.mid", "._a.mid", "__MACOSX/a.mid", ".cache/a.mid"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.mid").mkdir()
    (tmp_path / os.fsdecode(b"caf\xe9.mid")).write_bytes(content)
    rows = own(tmp_path)
    assert rows["piece_id"].to_list() == ["a.mid", "caf\\xe9.mid"]
    assert rows["collection_id"].to_list() == ["unknown"] * 2
    assert "3 hidden files" in caplog.text


def test_own_data_that_cannot_be_understood_are_one_clear_error(tmp_path):
    with pytest.raises(ConfigurationError, match="No own data"):
        ingest(IngestParameters(source="own"))
    with pytest.raises(ConfigurationError, match="not there"):
        own(tmp_path / "nowhere")
    with pytest.raises(DataContractError, match=r"no files ending in \.mid"):
        own(tmp_path)
    (tmp_path / "broken.mid").write_bytes(b"nothing")
    with pytest.raises(DataContractError, match=r"None of the 1 files .* not a MIDI file"):
        own(tmp_path)


def test_every_mutation_of_a_midi_file_is_answered(tmp_path):
    notes = [(pitch[0], 480) for pitch in SCALE]
    chords = to_midi(roll_of([[60, 64, 67], [62, 65], [], [60]]))
    contents = [midi_of(notes), midi_of(notes, file_type=1, ticks_per_beat=24), chords]
    words = [b"MThd", b"MTrk", b"\xff\x59\x02", b"\xff\x51\x03", b"\xff\x2f\x00", b"\xf0", b"\xf7", b"\x99\x24\x40"]

    def read(path):
        rows, media = split_media(own(tmp_path), CONTRACT)
        assert rows.height == media.height == 1

    assert_every_mutation_is_answered(read, tmp_path / "own.mid", contents, words=words)
