"""A bag of word vectors and a hidden layer.

Imported only inside functions: this module needs torch. Shapes: B notes, L words of the longest of them.
"""

import torch
from torch import Tensor, nn

from modelyard.training.ragged import is_real


class FailureNetwork(nn.Module):
    """Mean and maximum of the words' vectors, then a hidden layer.

    Args:
        n_numbers: Of the tokenizer; number 0 is no word.
        width: Length of a word's vector, and units of the hidden layer.
    """

    def __init__(self, n_numbers: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_numbers, width, padding_idx=0)
        self.layers = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, note: Tensor, note_length: Tensor) -> Tensor:
        """Numbers (B, L) of ``note_length`` (B,) words each to log-odds (B,)."""
        vectors = self.embedding(note)
        is_word = is_real(note_length, note.shape[1])[..., None]
        mean = (vectors * is_word).sum(dim=1) / note_length.clamp(min=1)[:, None]
        largest = vectors.masked_fill(~is_word, 0).amax(dim=1)
        logits: Tensor = self.layers(torch.cat([mean, largest], dim=1))
        return logits.squeeze(1)
