"""Composing: frames are drawn from the network one after another, each as a chord from its lowest note up.

A chord is a sequence of tokens: its keys in ascending order, then :data:`END`. The NADE gives the chance that the next
sounding key above the last one is this or that, so the sequence has the probability of the chord.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from modelyard.tasks.generation import sample
from pipelines.music_generation.rolls import N_KEYS, Roll

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from pipelines.music_generation.network import RollNetwork

END = N_KEYS
"""The token behind the highest note of a chord."""


def compose(
    network: RollNetwork,
    beginnings: Roll,
    n_frames: int,
    *,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
) -> Roll:
    """Returns the frames that follow beginnings of equal length; the same seed gives the same notes.

    Args:
        network: In evaluation mode.
        beginnings: Shape (B, P, 88); P may be 0: from silence.
        n_frames: N, frames to compose.
        temperature: Of the choice of the next note; 1: as learnt, below: safer, above: bolder.
        top_p: Only the likeliest next notes whose chances add up to it are drawn from; 1: all.
        seed: Of torch's generator.

    Returns:
        Shape (B, N, 88).
    """
    frames = islice(compose_frames(network, beginnings, temperature=temperature, top_p=top_p, seed=seed), n_frames)
    return np.stack(list(frames), axis=1)


def compose_frames(
    network: RollNetwork, beginnings: Roll, *, temperature: float = 1.0, top_p: float = 1.0, seed: int = 0
) -> Iterator[Roll]:
    """Yields the frames of :func:`compose` one by one, each of shape (B, 88), without end."""
    import torch

    device = next(network.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    silence = np.zeros((len(beginnings), 1, N_KEYS), bool)
    frames = torch.from_numpy(np.concatenate([silence, beginnings], axis=1)).to(device)
    with torch.inference_mode():
        encoded, state = network.encode(frames)
    hidden, frame = encoded[:, -1], frames[:, -1]
    while True:
        with torch.inference_mode():  # ends before the yield, so that the caller is not in it
            frame = _draw_chord(network, hidden, frame, generator, temperature, top_p)
            hidden, state = network.encode_next(frame, state)
        yield frame.cpu().numpy()


def _draw_chord(
    network: RollNetwork, hidden: Tensor, last_frame: Tensor, generator: Generator, temperature: float, top_p: float
) -> Tensor:
    """Returns one frame, bool (B, 88), given the hidden states (B, H) and the frame before."""
    import torch
    from torch.nn.functional import one_hot

    logits = network.key_logits(hidden, last_frame)

    def step(note: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        is_key = one_hot(note + 1, N_KEYS + 2)[:, 1:-1]  # all 0 before the first note and after the last
        context = context + is_key.float() @ network.nade_in
        return next_note_logits(logits + network.chord_bias(context), note), context

    chord = torch.zeros(len(hidden), N_KEYS + 1, dtype=torch.bool, device=hidden.device)
    before_the_first = torch.full((len(hidden),), -1, device=hidden.device)
    notes = sample(step, before_the_first, network.nade_bias(hidden), generator, temperature=temperature, top_p=top_p)
    while not chord[:, END].all():  # a chord that has ended gets END again
        chord.scatter_(1, next(notes)[:, None], True)
    return chord[:, :END]


def next_note_logits(logits: Tensor, note: Tensor) -> Tensor:
    """Returns the log-probability that each key, or :data:`END`, comes next in a chord, (B, 89).

    Key k comes next if it sounds and no key between the last note and k does: log p(k) + the sum of log(1 - p(j)).

    Args:
        logits: Of the keys, (B, 88), given the frame's notes so far.
        note: The last of these, (B,): -1 before the first, :data:`END` behind the last.
    """
    import torch
    from torch.nn.functional import pad, softplus

    is_above = torch.arange(N_KEYS, device=logits.device) > note[:, None]
    silent_until = pad((-softplus(logits) * is_above).cumsum(dim=1), (1, 0))
    return pad((-softplus(-logits)).masked_fill(~is_above, -float("inf")), (0, 1)) + silent_until
