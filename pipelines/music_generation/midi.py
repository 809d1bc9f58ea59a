"""Standard MIDI files from rolls, and rolls from MIDI files, through mido (https://mido.readthedocs.io)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from pipelines.music_generation.rolls import LOWEST, N_KEYS, Roll, note_spans

if TYPE_CHECKING:
    from mido import MidiFile, MidiTrack  # type: ignore[import-untyped]  # mido has no types

LARGEST_BYTES = 4_000_000
"""Larger files are not taken: no piece of music needs as much."""

LONGEST_FRAMES = 20_000
"""Longer pieces are not taken: over five hours of quarters at 60 beats a minute."""

_TICKS = 480
_DRUMS = 9
"""Channel 10 of General MIDI, counted from 0."""


def to_midi(roll: Roll, frames_per_quarter: int = 1, quarters_per_minute: float = 80.0) -> bytes:
    """Returns a Standard MIDI file of type 0; a key that sounds in neighbouring frames is held.

    Args:
        roll: Shape (T, 88).
        frames_per_quarter: Frames in a quarter note.
        quarters_per_minute: Tempo.
    """
    import mido

    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(quarters_per_minute))])
    edges = [((begin, "note_on", key), (end, "note_off", key)) for key, begin, end in note_spans(roll)]
    step, now = _TICKS // frames_per_quarter, 0
    for frame, kind, key in sorted(edge for pair in edges for edge in pair):  # at one time, note_off comes first
        track.append(mido.Message(kind, note=key + LOWEST, velocity=72, time=(frame - now) * step))
        now = frame
    track.append(mido.MetaMessage("end_of_track", time=(len(roll) - now) * step))
    file = mido.MidiFile(type=0, ticks_per_beat=_TICKS)
    file.tracks.append(track)
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def read_midi(content: bytes, frames_per_quarter: int = 1) -> Roll:
    """Returns the notes of a MIDI file as a roll, without drums, from the first note on.

    Args:
        content: The file.
        frames_per_quarter: Frames in a quarter note; starts and ends are rounded to them, no note gets lost.

    Raises:
        ValueError: It is not a MIDI file, damaged, too large, too long, or has nothing but drums; its message says it.
    """
    file = _parsed(content)
    tracks = [_notes(track) for track in file.tracks]
    notes, has_drums = [note for notes, _ in tracks for note in notes], any(has_drums for _, has_drums in tracks)
    if not notes:
        raise ValueError("it has nothing but drums" if has_drums else "it has no notes")
    scale = frames_per_quarter / file.ticks_per_beat
    first = min(begin for _, begin, _ in notes)
    spans = [
        (pitch - LOWEST, round((begin - first) * scale), round((end - first) * scale)) for pitch, begin, end in notes
    ]
    n_frames = max(max(begin + 1, end) for _, begin, end in spans)
    if n_frames > LONGEST_FRAMES:
        raise ValueError(f"it is {n_frames} frames long; at most {LONGEST_FRAMES} are taken")
    roll = np.zeros((n_frames, N_KEYS), dtype=bool)
    for key, begin, end in spans:
        if 0 <= key < N_KEYS:
            roll[begin : max(begin + 1, end), key] = True
    if not roll.any():
        raise ValueError("none of its notes is a key of a piano")
    return roll


def _parsed(content: bytes) -> MidiFile:
    import mido

    if content[:4] != b"MThd":
        raise ValueError("it is not a MIDI file (it does not begin with MThd)")
    if len(content) > LARGEST_BYTES:
        raise ValueError(f"it has {len(content)} bytes; at most {LARGEST_BYTES} are taken")
    try:
        file = mido.MidiFile(file=io.BytesIO(content))
    except Exception as error:  # mido lets through whatever its parsers meet, its own KeySignatureError among them
        raise ValueError(f"the MIDI file is damaged ({type(error).__name__}: {error})") from error
    if file.type == 2 or not 0 < file.ticks_per_beat < 0x8000:
        raise ValueError("its tracks do not run together, or its time is not counted in quarters")
    return file


def _notes(track: MidiTrack) -> tuple[list[tuple[int, int, int]], bool]:
    """Returns MIDI number, first and last tick of each note of a track, and whether there are drums."""
    notes: list[tuple[int, int, int]] = []
    has_drums = False
    sounding: dict[tuple[int, int], int] = {}
    now = 0
    for message in track:
        now += message.time
        if message.type not in ("note_on", "note_off"):
            continue
        if message.channel == _DRUMS:
            has_drums = True
            continue
        begin = sounding.pop((message.channel, message.note), None)
        if begin is not None:
            notes.append((message.note, begin, now))
        if message.type == "note_on" and message.velocity:
            sounding[message.channel, message.note] = now
    # Notes that nothing ended last to the end of their track.
    return notes + [(pitch, begin, now) for (_, pitch), begin in sounding.items()], has_drums
