"""The network: an LSTM over frames that gives each of the 88 keys its own probability in the next frame.

Imported only inside functions: this module needs torch. Shapes: B batch, T frames.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipelines.music_generation.rolls import N_KEYS

State = tuple[Tensor, Tensor]
"""What the LSTM remembers: hidden and cell, each (n_layers, B, width)."""


class RollNetwork(nn.Module):
    """Frames so far to log-odds of each key in the next one (Hochreiter and Schmidhuber 1997, LSTM).

    Args:
        width: Units of each layer.
        n_layers: Layers of the LSTM.
        dropout: Share of units dropped while training, before, between and after the layers.
        usual_style: The collections' mean style, used where a collection's is not known.
    """

    def __init__(self, width: int, n_layers: int, dropout: float, usual_style: tuple[float, float]) -> None:
        super().__init__()
        self.register_buffer("usual_style", torch.tensor(usual_style))
        self.read = nn.Linear(N_KEYS + len(usual_style), width)
        self.drop = nn.Dropout(dropout)
        self.lstm = nn.LSTM(width, width, n_layers, batch_first=True, dropout=dropout if n_layers > 1 else 0.0)
        self.write = nn.Linear(width, N_KEYS)
        self.follow = nn.Linear(N_KEYS, N_KEYS, bias=False)
        nn.init.zeros_(self.follow.weight)  # what follows from the last frame alone is learnt first
        nn.init.constant_(self.write.bias, -3.0)  # about one key in twenty sounds

    def forward(self, before: Tensor, style: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Log-odds of the frames that follow, and the state to go on from.

        Args:
            before: Frames (B, T, 88), 0 and 1; silence stands before the first.
            style: Pace and mode of the collection, (B, 2), NaN where not known.
            state: What was remembered; None: nothing.
        """
        usual: Tensor = self.usual_style  # type: ignore[assignment]  # a buffer
        relative = 4 * (torch.where(style.isnan(), usual, style) - usual)
        frames = before.float()
        inputs = torch.cat([frames, relative[:, None].expand(-1, frames.shape[1], -1)], dim=2)
        hidden, state = self.lstm(self.drop(torch.relu(self.read(inputs))), state)
        return self.write(self.drop(hidden)) + self.follow(frames), state


def transposed(frames: Tensor, semitones: Tensor) -> Tensor:
    """Frames (B, T, 88) higher by (B,) semitones each; what leaves the piano is silent."""
    source = torch.arange(N_KEYS, device=frames.device)[None] - semitones[:, None]
    is_inside = (source >= 0) & (source < N_KEYS)
    places = source.clamp(0, N_KEYS - 1)[:, None].expand(-1, frames.shape[1], -1)
    return torch.gather(frames, 2, places) * is_inside[:, None]
