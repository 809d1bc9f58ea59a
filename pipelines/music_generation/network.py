"""The network: an LSTM over frames; each of the 88 keys of the next one, alone and given the frame's lower keys.

Imported only inside functions: this module needs torch. Shapes: B batch, T frames, W width, U chord units.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipelines.music_generation.model import LogOdds
from pipelines.music_generation.rolls import N_KEYS

State = tuple[Tensor, Tensor]
"""What the LSTM remembers: hidden and cell, each (n_layers, B, W)."""


class RollNetwork(nn.Module):
    """Frames so far to the log-odds of the next one's keys.

    An LSTM (Hochreiter and Schmidhuber 1997) with a neural autoregressive density estimator over the keys of a frame
    (Boulanger-Lewandowski, Bengio, Vincent 2012, RNN-NADE): a hidden layer that every sounding key adds to.

    Args:
        width: Units of each layer.
        n_layers: Layers of the LSTM.
        n_chord_units: Units of the layer that the lower keys of a frame add to.
        dropout: Share of units dropped while training, before, between and after the layers.
        usual_style: The collections' mean style, used where a collection's is not known.
    """

    def __init__(
        self, width: int, n_layers: int, n_chord_units: int, dropout: float, usual_style: tuple[float, float]
    ) -> None:
        super().__init__()
        self.register_buffer("usual_style", torch.tensor(usual_style))
        self.read = nn.Linear(N_KEYS + len(usual_style), width)
        self.drop = nn.Dropout(dropout)
        self.lstm = nn.LSTM(width, width, n_layers, batch_first=True, dropout=dropout if n_layers > 1 else 0.0)
        self.write = nn.Linear(width, N_KEYS)
        self.follow = nn.Linear(N_KEYS, N_KEYS, bias=False)
        nn.init.zeros_(self.follow.weight)  # what follows from the last frame alone is learnt first
        nn.init.constant_(self.write.bias, -3.0)  # about one key in twenty sounds
        self.lean = nn.Linear(width, n_chord_units)
        self.added = nn.Parameter(torch.randn(N_KEYS, n_chord_units) / 8)
        self.answer = nn.Parameter(torch.zeros(N_KEYS, n_chord_units))  # at first every key answers alone

    def forward(self, before: Tensor, style: Tensor, now: Tensor) -> LogOdds[Tensor]:
        """Log-odds of frames that are known, each from those before it and its own lower keys.

        Args:
            before: The frames before each, (B, T, 88), 0 and 1; silence stands before the first.
            style: Pace and mode of the collection, (B, 2), NaN where not known.
            now: The frames themselves, (B, T, 88).
        """
        hidden, _ = self.hear(before, style)
        alone = self.alone(hidden, before)
        # What a key hears changes only above a sounding one: about five different sums in a frame instead of 88.
        sounding = now.float()
        n_lower = (sounding.cumsum(dim=-1) - sounding).long()
        counts = torch.arange(int(n_lower.max()) + 1, device=now.device)[:, None]
        lowest = sounding[..., None, :] * (n_lower[..., None, :] < counts)  # (B, T, n, 88): none, the lowest, the two …
        said = self.said(self.lean(hidden)[..., None, :] + lowest @ self.added)
        return LogOdds(alone, alone.detach() + said.gather(-2, n_lower[..., None, :]).squeeze(-2))

    def hear(self, before: Tensor, style: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """What is remembered after each frame, (B, T, W), and the state to go on from.

        Args:
            before: As above.
            style: As above.
            state: What was remembered; None: nothing.
        """
        usual: Tensor = self.usual_style  # type: ignore[assignment]  # a buffer
        relative = 4 * (torch.where(style.isnan(), usual, style) - usual)
        frames = before.float()
        inputs = torch.cat([frames, relative[:, None].expand(-1, frames.shape[1], -1)], dim=2)
        hidden, state = self.lstm(self.drop(torch.relu(self.read(inputs))), state)
        return self.drop(hidden), state

    def alone(self, hidden: Tensor, before: Tensor) -> Tensor:
        """Log-odds of each key given the frames before, (B, T, 88)."""
        answer: Tensor = self.write(hidden) + self.follow(before.float())
        return answer

    def said(self, heard: Tensor) -> Tensor:
        """What is added to the log-odds of each key alone, (..., 88), where (..., U) is heard.

        Args:
            heard: What the past and the lower keys that sound add up to.
        """
        return torch.tanh(heard) @ self.answer.T


def transposed(frames: Tensor, semitones: Tensor) -> Tensor:
    """Frames (B, T, 88) higher by (B,) semitones each; what leaves the piano is silent."""
    source = torch.arange(N_KEYS, device=frames.device)[None] - semitones[:, None]
    is_inside = (source >= 0) & (source < N_KEYS)
    places = source.clamp(0, N_KEYS - 1)[:, None].expand(-1, frames.shape[1], -1)
    return torch.gather(frames, 2, places) * is_inside[:, None]
