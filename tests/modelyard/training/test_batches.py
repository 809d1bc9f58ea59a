from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modelyard.training.batches import Batches
from modelyard.training.order import blocks_of, row_order, share_of

CPU = torch.device("cpu")


def copies(batches: Batches, blocks: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
    return [{name: tensor.numpy().copy() for name, tensor in batch.items()} for batch in batches.walk(blocks)]


@given(n_rows=st.integers(1, 200), batch_size=st.integers(1, 210), seed=st.integers(0, 5))
def test_blocks_hold_every_row_once(n_rows: int, batch_size: int, seed: int) -> None:
    blocks = blocks_of(row_order(n_rows, seed, epoch=1), batch_size)
    assert sorted(np.concatenate(blocks).tolist()) == list(range(n_rows))
    assert all((np.diff(block) > 0).all() for block in blocks)
    assert all(len(block) == batch_size for block in blocks[:-1])
    assert len(blocks[-1]) <= batch_size + 1
    assert len(blocks[-1]) > 1 or n_rows == 1 or batch_size == 1


@given(n_rows=st.integers(1, 60), n_processes=st.integers(1, 5))
def test_processes_share_the_rows_evenly(n_rows: int, n_processes: int) -> None:
    parts = [share_of(np.arange(n_rows), process, n_processes) for process in range(n_processes)]
    assert len({len(part) for part in parts}) == 1
    assert set(np.concatenate(parts)) == set(range(n_rows))
    assert sum(map(len, parts)) < n_rows + n_processes


def test_order_depends_on_seed_and_epoch_only() -> None:
    first = row_order(100, seed=1, epoch=1)
    assert (first == row_order(100, seed=1, epoch=1)).all()
    assert (first != row_order(100, seed=1, epoch=2)).any()
    assert (first != row_order(100, seed=2, epoch=1)).any()


def test_weighted_order_draws_in_proportion() -> None:
    weights = np.repeat([0.0, 1.0, 3.0, 0.0], 5000)
    counts = np.bincount(row_order(20_000, 1, 1, weights) // 5000, minlength=4)
    assert counts[0] == counts[3] == 0
    # Binomial(20000, 3/4): four standard deviations are 245.
    assert abs(counts[2] - 15_000) < 245


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        "image": generator.integers(0, 256, (53, 3, 4, 5), dtype=np.uint8),
        "amount": generator.normal(size=53),
        "tokens": generator.integers(0, 9, (53, 7)),
        "is_fraud": generator.random(53) < 0.5,
    }


@pytest.fixture
def on_disk(arrays: dict[str, np.ndarray], tmp_path: Path) -> dict[str, np.ndarray]:
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    return {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in arrays}


BLOCKS = blocks_of(row_order(53, seed=1, epoch=1), 8)


def test_batches_hold_the_rows(arrays: dict[str, np.ndarray]) -> None:
    seen = copies(Batches(arrays, CPU, 8), BLOCKS)
    assert [len(batch["amount"]) for batch in seen] == [8, 8, 8, 8, 8, 8, 5]
    for rows, batch in zip(BLOCKS, seen, strict=True):
        for name, array in arrays.items():
            np.testing.assert_array_equal(batch[name], array[rows].astype(batch[name].dtype))
    dtypes = {name: array.dtype.name for name, array in seen[0].items()}
    assert dtypes == {"image": "uint8", "amount": "float32", "tokens": "int64", "is_fraud": "bool"}


def test_memory_maps_and_resident_arrays_give_the_same_batches(
    arrays: dict[str, np.ndarray], on_disk: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = copies(Batches(arrays, CPU, 8), BLOCKS)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    sources = [Batches(on_disk, CPU, 8), Batches(tensors, CPU, 8)]
    monkeypatch.setattr(Batches, "_has_room_on_device", lambda self: True)
    sources += [Batches(arrays, CPU, 8), Batches(on_disk, CPU, 8)]
    for batches in sources:
        for batch, wanted in zip(copies(batches, BLOCKS), expected, strict=True):
            for name in arrays:
                np.testing.assert_array_equal(batch[name], wanted[name])


def test_unusual_arrays(arrays: dict[str, np.ndarray], on_disk: dict[str, np.ndarray]) -> None:
    rows = [np.array([1, 5, 52])]
    fortran = np.asfortranarray(arrays["tokens"])
    read_only = arrays["tokens"].view()
    read_only.flags.writeable = False
    half = torch.from_numpy(arrays["tokens"]).to(torch.bfloat16)
    for odd in (fortran, read_only, on_disk["tokens"][:, ::2], arrays["tokens"][:, ::-2], half):
        (batch,) = copies(Batches({"odd": odd}, CPU, 8), rows)
        np.testing.assert_array_equal(batch["odd"], np.asarray(odd.float() if odd is half else odd)[rows[0]])


def test_arrays_are_not_changed(arrays: dict[str, np.ndarray]) -> None:
    before = {name: array.copy() for name, array in arrays.items()}
    for batch in Batches(arrays, CPU, 8).walk(BLOCKS):
        batch["amount"].zero_()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, before[name])


def test_unreadable_memory_map_reports_its_own_error(
    on_disk: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(np, "take", broken)
    with pytest.raises(OSError, match="Input/output error"):
        next(Batches(on_disk, CPU, 8).walk(BLOCKS))
