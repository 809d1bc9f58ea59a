"""Sound of a roll: additive synthesis, a few harmonics under a decaying envelope, without samples."""

from __future__ import annotations

import io
import wave

import numpy as np
from numpy.typing import NDArray

from pipelines.music_generation.rolls import LOWEST, Roll, note_spans

RATE_HZ = 22_050
_HARMONICS = (1.0, 0.5, 0.28, 0.14, 0.07)
_DECAY_S, _ATTACK_S, _RELEASE_S = 1.6, 0.01, 0.06


def to_wav(roll: Roll, frame_s: float = 0.75) -> bytes:
    """Returns a mono WAV file, 16 bits at 22,050 Hz; a key that sounds in neighbouring frames is held.

    Args:
        roll: Shape (T, 88).
        frame_s: Seconds of a frame.
    """
    samples = np.zeros(round((len(roll) * frame_s + _RELEASE_S) * RATE_HZ) + 2, np.float32)
    for key, begin, end in note_spans(roll):
        tone = _tone(key, (end - begin) * frame_s)
        at = round(begin * frame_s * RATE_HZ)
        samples[at : at + len(tone)] += tone[: len(samples) - at]
    loudest = float(np.abs(samples).max()) or 1.0
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, RATE_HZ, len(samples), "NONE", ""))
        file.writeframes((samples / loudest * 0.9 * 32_767).astype("<i2").tobytes())
    return buffer.getvalue()


def _tone(key: int, seconds: float) -> NDArray[np.float32]:
    time = np.arange(round((seconds + _RELEASE_S) * RATE_HZ)) / RATE_HZ
    pitch_hz = 440.0 * 2 ** ((key + LOWEST - 69) / 12)
    envelope = np.minimum(1, time / _ATTACK_S) * np.exp(-time / _DECAY_S)
    envelope *= np.clip((seconds + _RELEASE_S - time) / _RELEASE_S, 0, 1)
    tone = sum(
        share * np.sin(2 * np.pi * pitch_hz * number * time)
        for number, share in enumerate(_HARMONICS, start=1)
        if pitch_hz * number < RATE_HZ / 2
    )
    return np.asarray(tone * envelope, dtype=np.float32)
