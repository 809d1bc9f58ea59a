"""How is music drawn from the network? Frame by frame, each from the lowest key up, warmer or cooler."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.files import atomic_directory
from pipelines.music_generation.midi import to_midi
from pipelines.music_generation.rolls import N_KEYS
from pipelines.music_generation.sound import to_wav

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from pipelines.music_generation.model import MusicModel
    from pipelines.music_generation.network import RollNetwork
    from pipelines.music_generation.rolls import Roll


def compose(
    network: RollNetwork, beginning: Roll, style: NDArray[np.float32], n_frames: int, temperature: float, seed: int
) -> Roll:
    """Goes on from beginnings of equal length; the same seed gives the same notes.

    Args:
        network: In evaluation mode.
        beginning: Shape (B, P, 88); P may be 0: from silence.
        style: Pace and mode of the collection, (B, 2), NaN where not known.
        n_frames: N, frames to draw.
        temperature: Log-odds are divided by it: 1 as learnt, below bolder where sure, towards 0 always the likelier.
        seed: Of torch's generator.

    Returns:
        The frames that follow, shape (B, N, 88).
    """
    import numpy as np
    import torch

    device = next(network.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    before = np.concatenate([np.zeros((len(beginning), 1, N_KEYS), bool), beginning], axis=1)
    frames = torch.from_numpy(before.astype(np.float32)).to(device)
    known = torch.tensor(style, device=device)
    drawn, state = [], None
    with torch.inference_mode():
        for _ in range(n_frames):
            hidden, state = network.hear(frames, known, state)
            chance = torch.rand((len(frames), N_KEYS), generator=generator).to(device)
            frames = _chord(network, hidden[:, -1], frames[:, -1], chance, temperature)[:, None]
            drawn.append(frames.cpu().numpy() > 0)
    return np.concatenate(drawn, axis=1)


def _chord(network: RollNetwork, hidden: Tensor, last: Tensor, chance: Tensor, temperature: float) -> Tensor:
    """Draws one frame (B, 88) from the lowest key up; ``chance`` (B, 88) holds a uniform number for each key.

    A key that stays silent adds nothing to what the next one hears. So the log-odds of all keys above the last sounding
    one are computed at once, and the first of them that sounds is kept: a step for each note, not for each key.
    """
    import torch

    alone, heard = network.alone(hidden, last), network.lean(hidden)
    threshold = torch.logit(chance, eps=1e-7) * temperature
    frame, keys = torch.zeros_like(alone), torch.arange(N_KEYS, device=alone.device)
    lowest = torch.zeros(len(alone), 1, dtype=torch.long, device=alone.device)
    while True:
        sounds = (alone + network.said(heard) > threshold) & (keys >= lowest)
        has_note = sounds.any(dim=1)
        if not has_note.any():
            return frame
        note = sounds.float().argmax(dim=1)
        frame[has_note, note[has_note]] = 1
        heard = heard + network.added[note] * has_note[:, None]
        lowest = torch.where(has_note, note + 1, N_KEYS)[:, None]


def write_sample(roll: Roll, folder: Path) -> None:
    """Writes ``piece.mid``, ``piece.wav`` and ``piece.png`` into a new folder: all of them or nothing.

    Args:
        roll: Shape (T, 88).
        folder: Does not exist yet.
    """
    from pipelines.music_generation.figures import piano_roll

    with atomic_directory(folder) as new:
        (new / "piece.mid").write_bytes(to_midi(roll))
        (new / "piece.wav").write_bytes(to_wav(roll))
        piano_roll(roll).savefig(new / "piece.png", dpi=150)


def compose_sample(
    model: MusicModel, folder: Path, n_frames: int = 64, temperature: float = 0.9, seed: int = 0
) -> Roll:
    """Composes a piece from silence and writes it with :func:`write_sample`.

    Args:
        model: A trained model.
        folder: Does not exist yet.
        n_frames: Length.
        temperature: 1 as learnt, below safer.
        seed: Another seed, another piece.

    Returns:
        The piece, shape (T, 88).
    """
    import numpy as np

    nothing, unknown = np.zeros((1, 0, N_KEYS), bool), np.full((1, 2), np.nan, np.float32)
    roll: Roll = compose(model.network, nothing, unknown, n_frames, temperature, seed)[0]
    write_sample(roll, folder)
    return roll
