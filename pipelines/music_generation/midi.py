"""How does a roll become MIDI, and MIDI a roll? Standard MIDI files through mido, https://mido.readthedocs.io."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from pipelines.music_generation.rolls import LOWEST, N_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mido import MidiFile  # type: ignore[import-untyped]  # mido has no types

    from pipelines.music_generation.rolls import Roll

LARGEST_BYTES = 4_000_000
"""Larger files are no piece of music."""

LONGEST_FRAMES = 20_000
"""Longer pieces are not taken: over five hours of quarters at 60 beats a minute."""

_TICKS = 480
_DRUMS = 9
"""Channel 10 of General MIDI, counted from 0."""


def to_midi(roll: Roll, frames_per_quarter: int = 1, quarters_per_minute: float = 80.0) -> bytes:
    """A Standard MIDI file of type 0; a key that sounds in neighbouring frames is held.

    Args:
        roll: Shape (T, 88).
        frames_per_quarter: Frames in a quarter note.
        quarters_per_minute: Tempo.
    """
    import mido
    import numpy as np

    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(quarters_per_minute))])
    padded = np.vstack([np.zeros((1, N_KEYS), np.int8), roll.astype(np.int8), np.zeros((1, N_KEYS), np.int8)])
    step, waited = _TICKS // frames_per_quarter, 0
    for change in np.diff(padded, axis=0):
        for kind, keys in (("note_off", np.flatnonzero(change < 0)), ("note_on", np.flatnonzero(change > 0))):
            for key in keys:
                track.append(mido.Message(kind, note=int(key) + LOWEST, velocity=72, time=waited))
                waited = 0
        waited += step
    track.append(mido.MetaMessage("end_of_track", time=0))
    file = mido.MidiFile(type=0, ticks_per_beat=_TICKS)
    file.tracks.append(track)
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def read_midi(content: bytes, frames_per_quarter: int = 1) -> Roll:
    """The notes of a MIDI file as a roll, without drums, from the first note on.

    Args:
        content: The file.
        frames_per_quarter: Frames in a quarter note; starts and ends are rounded to them, no note gets lost.

    Raises:
        ValueError: In words: it is no MIDI file, damaged, too large, too long, or has nothing but drums.
    """
    import numpy as np

    file = _parsed(content)
    notes, has_drums = _notes(file)
    if not notes:
        raise ValueError("it has nothing but drums" if has_drums else "it has no notes")
    scale = frames_per_quarter / file.ticks_per_beat
    first = min(start for _, start, _ in notes)
    spans = [(key, round((start - first) * scale), round((end - first) * scale)) for key, start, end in notes]
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
        raise ValueError("it is no MIDI file (it does not begin with MThd)")
    if len(content) > LARGEST_BYTES:
        raise ValueError(f"it has {len(content)} bytes; at most {LARGEST_BYTES} are taken")
    try:
        file = mido.MidiFile(file=io.BytesIO(content))
    except (OSError, EOFError, ValueError, LookupError, TypeError) as error:
        raise ValueError(f"the MIDI file is damaged ({type(error).__name__}: {error})") from error
    if file.type == 2 or not 0 < file.ticks_per_beat < 0x8000:
        raise ValueError("its tracks do not run together, or its time is not counted in quarters")
    return file


def _notes(file: MidiFile) -> tuple[list[tuple[int, int, int]], bool]:
    """Key (from 0), first and last tick of each note, and whether there are drums."""
    notes: list[tuple[int, int, int]] = []
    has_drums = False
    for track in file.tracks:
        sounding: dict[tuple[int, int], int] = {}
        now = 0
        for message in track:
            now += message.time
            if message.type not in ("note_on", "note_off"):
                continue
            if message.channel == _DRUMS:
                has_drums = True
                continue
            place = (message.channel, message.note)
            begun = sounding.pop(place, None)
            if begun is not None:
                notes.append((message.note - LOWEST, begun, now))
            if message.type == "note_on" and message.velocity:
                sounding[place] = now
        notes += _left_sounding(sounding, now)
    return notes, has_drums


def _left_sounding(sounding: dict[tuple[int, int], int], now: int) -> Iterator[tuple[int, int, int]]:
    """Notes that nobody ended last to the end of their track."""
    for (_, note), begun in sounding.items():
        yield note - LOWEST, begun, now
