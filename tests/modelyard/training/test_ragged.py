from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from modelyard.errors import ConfigurationError
from modelyard.training.batches import Batches
from modelyard.training.order import bucketed_blocks_of, row_order
from modelyard.training.prediction import predict
from modelyard.training.ragged import Ragged, is_real

CPU = torch.device("cpu")


@pytest.fixture
def sentences() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(1, 50, generator.integers(0, 30)) for _ in range(403)]


class Bag(nn.Module):
    """Mean embedding of the real tokens, to one number."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.embedding, self.head = nn.Embedding(50, 8), nn.Linear(8, 1)

    def forward(self, tokens: Tensor, tokens_length: Tensor) -> Tensor:
        mask = is_real(tokens_length, tokens.shape[1])[..., None]
        mean = (self.embedding(tokens) * mask).sum(dim=1) / tokens_length.clamp(min=1)[:, None]
        answer: Tensor = self.head(mean)[:, 0]
        return answer


def test_rows_are_padded_to_the_longest_of_their_batch(sentences: list[np.ndarray], tmp_path: Path) -> None:
    np.save(tmp_path / "values.npy", np.concatenate(sentences))
    on_disk = Ragged.of_lengths(np.load(tmp_path / "values.npy", mmap_mode="r"), np.array(list(map(len, sentences))))
    frames = [np.stack([row, -row], axis=1).astype(np.float64) for row in sentences]
    rows = np.array([3, 17, 200])
    for tokens in (sentences, Ragged.of_rows(sentences), on_disk):
        (batch,) = Batches({"tokens": tokens, "frames": frames, "number": np.arange(403)}, CPU, 8).walk([rows])
        lengths = [len(sentences[row]) for row in rows]
        assert batch["tokens_length"].tolist() == lengths
        assert batch["number"].tolist() == rows.tolist()
        assert batch["frames"].shape == (3, max(lengths), 2)
        assert batch["frames"].dtype == torch.float32
        for place, row in enumerate(rows):
            assert batch["tokens"][place, : lengths[place]].tolist() == sentences[row].tolist()
            assert not batch["tokens"][place, lengths[place] :].any()
            np.testing.assert_array_equal(batch["frames"][place, : lengths[place]], frames[row])


def test_arrays_on_the_device_give_the_same_batches(
    sentences: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays: dict[str, Any] = {"tokens": sentences, "frames": [np.stack([row] * 2, axis=1) for row in sentences]}
    blocks = [np.array([0, 5, 9]), np.array([402])]
    expected = [{k: v.clone() for k, v in batch.items()} for batch in Batches(arrays, CPU, 8).walk(blocks)]
    monkeypatch.setattr(Batches, "_has_room_on_device", lambda self: True)
    for batch, wanted in zip(Batches(arrays, CPU, 8).walk(blocks), expected, strict=True):
        assert batch.keys() == wanted.keys()
        assert all(torch.equal(batch[name], wanted[name]) for name in wanted)


def test_bucketing_keeps_every_row_and_saves_padding(sentences: list[np.ndarray]) -> None:
    lengths = np.array(list(map(len, sentences)))
    order = row_order(403, seed=1, epoch=1)
    blocks = bucketed_blocks_of(order, 8, lengths, seed=1, epoch=1)
    assert sorted(np.concatenate(blocks).tolist()) == list(range(403))
    widths = [lengths[rows].max() for rows in blocks]
    assert sum(len(rows) * width for rows, width in zip(blocks, widths, strict=True)) < 1.1 * lengths.sum()
    assert widths != sorted(widths)
    again = bucketed_blocks_of(order, 8, lengths, seed=1, epoch=1)
    assert all((one == other).all() for one, other in zip(blocks, again, strict=True))
    assert any(len(one) != len(other) or (one != other).any() for one, other in zip(
        blocks, bucketed_blocks_of(order, 8, lengths, seed=1, epoch=2), strict=True
    ))  # fmt: skip


def test_learns_and_predicts_rows_of_different_lengths(toy: SimpleNamespace, sentences: list[np.ndarray]) -> None:
    share = np.array([(row < 25).mean() if len(row) else 0.0 for row in sentences])

    def loss(network: Any, batch: dict[str, Tensor]) -> Tensor:
        return nn.functional.mse_loss(network(batch["tokens"], batch["tokens_length"]), batch["share"])

    arrays = {"tokens": sentences, "share": share}
    result = toy.fit(network=Bag(), arrays=arrays, loss=loss, evaluate=None)
    again = toy.fit(network=Bag(), arrays=arrays, loss=loss, evaluate=None)
    assert result.history[-1].train_loss < 0.3 * result.history[0].train_loss
    answers = predict(result.network, {"tokens": sentences}, batch_size=64)
    np.testing.assert_array_equal(answers, predict(again.network, {"tokens": sentences}, batch_size=64))
    alone = [predict(result.network, {"tokens": [row]})[0] for row in sentences[:20]]
    assert answers[:20] == pytest.approx(alone, abs=1e-6)


def test_what_is_not_ragged(toy: SimpleNamespace) -> None:
    with pytest.raises(ConfigurationError, match="from 0 to its 5 values"):
        Ragged(np.zeros(5), np.array([0, 3, 4]))
    with pytest.raises(ConfigurationError, match="do not ascend"):
        Ragged(np.zeros(5), np.array([0, 4, 3, 5]))
    with pytest.raises(ConfigurationError, match="'tokens': 2, 'y': 3"):
        Batches({"tokens": [np.zeros(1), np.zeros(2)], "y": np.zeros(3)}, CPU, 2)
