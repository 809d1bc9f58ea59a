"""The network: an LSTM over frames, and the chance of each of the next frame's 88 keys.

Imported only inside functions: this module needs torch. Shapes: B batch, T frames, H hidden size, U NADE size.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from pipelines.music_generation.rolls import N_KEYS

State = tuple[Tensor, Tensor]
"""State of the LSTM: hidden and cell, each (n_layers, B, H)."""

Values = TypeVar("Values")


class Logits(NamedTuple, Generic[Values]):
    """Log-odds that each key sounds in a frame: tensors or arrays of one shape, (..., T, 88).

    Args:
        independent: Given the frames before: what the published results score.
        joint: Given the frames before and the lower keys of the frame itself, so that the product over the keys is the
            probability of the whole chord: what music is drawn from.
    """

    independent: Values
    joint: Values


class RollNetwork(nn.Module):
    """Maps the frames so far to the logits of the next frame's keys.

    An LSTM (Hochreiter and Schmidhuber 1997) with a neural autoregressive density estimator over the keys of a frame:
    RNN-NADE (Boulanger-Lewandowski, Bengio and Vincent 2012, https://arxiv.org/abs/1206.6392). What distinguishes it
    from the paper's: the NADE corrects logits that already stand for independent keys.

    Args:
        hidden_size: Units of each layer, H.
        n_layers: Layers of the LSTM.
        nade_size: Hidden units of the NADE, U.
        dropout: Share of units dropped while training, before, between and after the layers.
    """

    def __init__(self, hidden_size: int, n_layers: int, nade_size: int, dropout: float) -> None:
        super().__init__()
        self.input = nn.Linear(N_KEYS, hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(
            hidden_size, hidden_size, n_layers, batch_first=True, dropout=dropout if n_layers > 1 else 0.0
        )
        self.output = nn.Linear(hidden_size, N_KEYS)
        self.skip = nn.Linear(N_KEYS, N_KEYS, bias=False)
        nn.init.zeros_(self.skip.weight)  # what follows from the last frame alone is learnt first
        nn.init.constant_(self.output.bias, -3.0)  # about one key in twenty sounds
        self.nade_bias = nn.Linear(hidden_size, nade_size)
        self.nade_in = nn.Parameter(torch.randn(N_KEYS, nade_size) / 8)
        self.nade_out = nn.Parameter(torch.zeros(N_KEYS, nade_size))  # at first the keys are independent

    def forward(self, before: Tensor, now: Tensor) -> Logits[Tensor]:
        """Returns the logits of known frames, each given those before it (and its own lower keys).

        Args:
            before: The frame before each, (B, T, 88), 0 and 1; silence stands before the first.
            now: The frames themselves, (B, T, 88).
        """
        hidden, _ = self.encode(before)
        independent = self.key_logits(hidden, before)
        # The NADE's input changes only above a sounding key: about five different sums in a frame instead of 88.
        sounding = now.float()
        n_lower = (sounding.cumsum(dim=-1) - sounding).long()
        counts = torch.arange(int(n_lower.max()) + 1, device=now.device)[:, None]
        lowest = sounding[..., None, :] * (n_lower[..., None, :] < counts)  # (B, T, n, 88): none, the lowest, the two …
        biases = self.chord_bias(self.nade_bias(hidden)[..., None, :] + lowest @ self.nade_in)
        # The joint loss must not move the independent logits, which are scored on their own.
        return Logits(independent, independent.detach() + biases.gather(-2, n_lower[..., None, :]).squeeze(-2))

    def encode(self, before: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Returns the hidden states after each frame, (B, T, H), and the state to continue from.

        Args:
            before: Frames, (B, T, 88).
            state: Of the frames before these; None: there are none.
        """
        hidden, state = self.lstm(self.dropout(torch.relu(self.input(before.float()))), state)
        return self.dropout(hidden), state

    def encode_next(self, frame: Tensor, state: State) -> tuple[Tensor, State]:
        """Returns what :meth:`encode` does for one more frame (B, 88), without dropout: hidden (B, H), and the state.

        On a CPU, ``nn.LSTM`` packs its weights anew in each call, which takes ten times as long as a step.
        """
        hidden = torch.relu(self.input(frame.float()))
        states, cells = [], []
        for weights, layer_state in zip(self.lstm.all_weights, zip(*state, strict=True), strict=True):
            hidden, cell = torch.lstm_cell(hidden, layer_state, *weights)
            states.append(hidden)
            cells.append(cell)
        return hidden, (torch.stack(states), torch.stack(cells))

    def key_logits(self, hidden: Tensor, before: Tensor) -> Tensor:
        """Returns the logits of independent keys, (..., 88), given hidden states (..., H) and the last frames."""
        logits: Tensor = self.output(hidden) + self.skip(before.float())
        return logits

    def chord_bias(self, context: Tensor) -> Tensor:
        """Returns what is added to each key's logit, (..., 88).

        Args:
            context: ``nade_bias`` of the hidden state plus ``nade_in`` of each lower key that sounds, (..., U).
        """
        return torch.tanh(context) @ self.nade_out.T


def transpose(frames: Tensor, semitones: Tensor) -> Tensor:
    """Returns frames (B, T, 88) raised by (B,) semitones each; what leaves the piano is silent."""
    source = torch.arange(N_KEYS, device=frames.device)[None] - semitones[:, None]
    is_inside = (source >= 0) & (source < N_KEYS)
    places = source.clamp(0, N_KEYS - 1)[:, None].expand(-1, frames.shape[1], -1)
    return torch.gather(frames, 2, places) * is_inside[:, None]
