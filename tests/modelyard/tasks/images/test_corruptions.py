"""Corruptions: the same arguments give the same pixels, stronger ones change more, each is what its name says."""

import numpy as np
import pytest

from modelyard.tasks.images.corruptions import KINDS, SEVERITIES, corrupt, corrupt_once


def scenes(n: int, shape: tuple[int, ...]) -> np.ndarray:
    """Smooth pictures with an edge, as photographs have."""
    rng = np.random.default_rng(0)
    across = np.linspace(0, 1, shape[1])[None, :] + 0.2 * rng.random((n, 1, 1))
    values = 60 + 80 * across + 60 * (np.arange(shape[0])[None, :, None] > shape[0] // 2)
    values = values if len(shape) == 2 else values[..., None] * np.array([1.0, 0.9, 0.8])
    return np.clip(values, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28), (64, 64, 3)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_corruption_keeps_shape_and_repeats_itself(kind, shape):
    pictures = scenes(3, shape)
    before = pictures.copy()
    made = corrupt(pictures, kind, 3, seed=5)
    assert (made.shape, made.dtype) == (pictures.shape, np.uint8)
    assert np.array_equal(made, corrupt(pictures, kind, 3, seed=5))
    assert np.array_equal(pictures, before)
    assert not np.array_equal(made, pictures)


@pytest.mark.parametrize("kind", KINDS)
def test_stronger_corruptions_change_more(kind):
    pictures = scenes(8, (32, 32, 3)).astype(np.int64)
    changes = [
        np.abs(corrupt(pictures.astype(np.uint8), kind, severity).astype(np.int64) - pictures).mean()
        for severity in (SEVERITIES[0], SEVERITIES[-1])
    ]
    assert changes[1] > 1.2 * changes[0] > 0


def test_each_is_what_its_name_says():
    pictures = scenes(4, (32, 32, 3))
    assert corrupt(pictures, "brightness", 5).mean() > pictures.mean() + 50
    assert corrupt(pictures, "contrast", 5).std() < 0.4 * pictures.std()
    assert (corrupt(pictures, "occlusion", 5) == 127).all(axis=-1).mean() > 0.25
    assert (
        np.abs(np.diff(corrupt(pictures, "blur", 5).astype(int), axis=1)).max()
        < np.abs(np.diff(pictures.astype(int), axis=1)).max()
    )
    plain = np.full((1, 32, 32, 3), 90, np.uint8)
    assert np.array_equal(corrupt(plain, "tilt", 5), plain)
    with pytest.raises(KeyError):
        corrupt(pictures, "fog", 1)


def test_once_is_one_of_forty_ways_and_follows_from_the_picture():
    pictures = np.random.default_rng(1).integers(0, 255, (400, 8, 8), dtype=np.uint8)
    made = corrupt_once(pictures)
    assert np.bincount(np.unique(made.kind, return_inverse=True)[1]).min() > 400 / 8 / 2
    assert np.bincount(made.severity)[1:].min() > 400 / 5 / 2
    order = np.random.default_rng(2).permutation(400)
    assert np.array_equal(corrupt_once(pictures[order]).pictures, made.pictures[order])
    assert corrupt_once(pictures[:0]).pictures.shape == (0, 8, 8)
