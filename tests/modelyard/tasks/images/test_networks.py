"""Augmentation moves pictures and zero leaves them; the network sees all scales; Grad-CAM finds the spot."""

import numpy as np
import polars as pl
import pytest
import torch

from modelyard.tasks.images.augmentation import AugmentationParameters, augment, dihedral
from modelyard.tasks.images.grad_cam import coarse_grad_cam, grad_cam
from modelyard.tasks.images.heat_maps import with_heat_maps
from modelyard.tasks.images.resnet import SmallResNet, as_pictures

MUCH = AugmentationParameters(
    flip_share=0.5,
    rotation_deg=20,
    translation_share=0.1,
    scale_share=0.1,
    contrast_share=0.2,
    brightness_share=0.1,
    tint_share=0.05,
    noise=0.01,
)


@pytest.mark.parametrize("n_channels", [1, 3])
def test_variations_move_pictures_and_the_defaults_leave_them(n_channels):
    pictures = torch.rand(4, n_channels, 28, 28)
    assert torch.allclose(augment(pictures, AugmentationParameters()), pictures, atol=1e-5)
    varied = augment(pictures, MUCH)
    assert varied.shape == pictures.shape
    assert not torch.allclose(varied, pictures, atol=1e-2)


def test_pictures_that_are_only_shifted_are_not_blurred():
    pictures = torch.rand(20, 1, 16, 16)
    moved = augment(pictures, AugmentationParameters(translation_share=0.25, padding="reflection"))
    assert (
        torch.isclose(moved[:, :, 5:11, 5:11].reshape(20, -1, 1), pictures.reshape(20, 1, -1), atol=1e-5).any(2).all()
    )
    assert not torch.allclose(moved, pictures, atol=1e-2)


def test_a_square_is_erased_at_another_place_of_each_picture():
    pictures = torch.rand(60, 3, 32, 32)
    is_erased = (augment(pictures, AugmentationParameters(erased_share=0.5)) - pictures).abs().amax(dim=1) > 1e-5
    assert is_erased.flatten(1).sum(dim=1).max() <= 17 * 17
    assert 0.1 < is_erased.float().mean() < 0.25
    assert len({tuple(one.nonzero()[0].tolist()) for one in is_erased}) > 30


def test_a_flip_is_a_mirror_image():
    pictures = torch.rand(3, 1, 16, 16)
    flipped = augment(pictures, AugmentationParameters(flip_share=1))
    assert torch.allclose(flipped, pictures.flip(3), atol=1e-5)


def test_autocast_does_not_round_where_pixels_go():
    pictures = torch.rand(4, 3, 100, 100)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.allclose(augment(pictures, AugmentationParameters()), pictures, atol=1e-4)


def test_there_are_eight_ways_to_lay_a_square_down():
    picture = torch.rand(1, 1, 4, 4)
    assert len({tuple(dihedral(picture, number).flatten().tolist()) for number in range(8)}) == 8
    assert torch.equal(dihedral(picture, 0), picture)


@pytest.mark.parametrize(("n_outputs", "shape"), [(1, (5,)), (4, (5, 4))])
def test_the_network_answers_for_each_picture(n_outputs, shape):
    network = SmallResNet(in_channels=3, n_outputs=n_outputs, width=4, n_blocks=2, stem_stride=2).eval()
    pictures = torch.rand(5, 3, 32, 32)
    assert network(pictures).shape == shape
    assert network.features(pictures).shape == (5, 16, 4, 4)


def test_exposure_changes_nothing_and_a_blank_picture_is_no_error():
    network = SmallResNet(in_channels=1, n_outputs=1, width=4, n_blocks=1).eval()
    pictures = torch.rand(5, 1, 8, 8)
    assert torch.allclose(network(0.5 * pictures + 0.3), network(pictures), atol=1e-5)
    assert network(torch.ones(1, 1, 8, 8)).isfinite().all()


def test_a_network_with_a_standard_keeps_it_with_its_weights():
    plain = SmallResNet(in_channels=1, n_outputs=1, width=4, n_blocks=1, standard=(0.6, 0.4)).eval()
    other = SmallResNet(in_channels=1, n_outputs=1, width=4, n_blocks=1, standard=(0.5, 0.2)).eval()
    pictures = torch.rand(5, 1, 8, 8)
    assert not torch.allclose(plain(0.5 * pictures + 0.3), plain(pictures), atol=1e-3)
    other.load_state_dict(plain.state_dict())
    assert torch.equal(other(pictures), plain(pictures))


def test_flat_values_become_planes():
    grey, colour = torch.arange(4, dtype=torch.uint8), torch.arange(12, dtype=torch.uint8)
    assert torch.allclose(as_pictures(grey[None], (2, 2))[0, 0] * 255, grey.view(2, 2).float())
    assert torch.allclose(as_pictures(colour[None], (2, 2, 3))[0, 1] * 255, colour.view(2, 2, 3)[..., 1].float())


def test_grad_cam_finds_the_bright_spot():
    network = SmallResNet(in_channels=1, n_outputs=2, width=2, n_blocks=1).eval()
    with torch.no_grad():  # an output that grows with the mean of one map, which grows with brightness
        for weight in network.parameters():
            weight.abs_()
    pictures = torch.full((1, 1, 32, 32), 0.5)
    pictures[:, :, 4:10, 20:26] = 1.0
    heat = grad_cam(network, pictures, output=1)
    assert heat.shape == (1, 32, 32)
    assert (heat.min(), heat.max()) >= (0, 1)
    row, column = divmod(int(heat[0].argmax()), 32)
    assert 2 <= row <= 12
    assert 18 <= column <= 28
    coarse = coarse_grad_cam(network, pictures, output=1)
    assert (coarse.shape, float(coarse.max())) == ((1, 16, 16), 1.0)
    row, column = divmod(int(coarse[0].argmax()), 16)
    assert 1 <= row <= 6
    assert 9 <= column <= 14


def test_heat_maps_are_made_for_the_rows_that_ask_and_others_stay_as_they_are():
    networks = [SmallResNet(in_channels=1, n_outputs=1, width=2, n_blocks=1).eval() for _ in range(2)]
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64), np.uint8)
    frame = pl.DataFrame({"explain": [False, True, False], "image": pl.Series(pixels)})
    predictions = pl.DataFrame({"score": [0.1, 0.2, 0.3]})

    def to_pictures(flat):
        return as_pictures(flat, (8, 8))

    found = with_heat_maps(predictions, frame, networks, to_pictures)
    first, second, third = found["heat_map"].to_list()
    assert (first, third) == (None, None)
    alone = torch.stack([coarse_grad_cam(one, to_pictures(torch.tensor(pixels[1:2]))) for one in networks]).mean(dim=0)
    assert np.allclose(second, alone[0].numpy(), atol=0.0006)
    assert found["score"].to_list() == [0.1, 0.2, 0.3]
    nobody = frame.with_columns(explain=pl.lit(False))
    assert with_heat_maps(predictions, nobody, networks, to_pictures) is predictions


def test_each_picture_may_have_another_output_explained():
    network = SmallResNet(in_channels=1, n_outputs=3, width=2, n_blocks=1).eval()
    pictures = torch.rand(2, 1, 16, 16)
    mixed = grad_cam(network, pictures, output=torch.tensor([2, 1]))
    assert torch.allclose(mixed[0], grad_cam(network, pictures, output=2)[0], atol=1e-5)
    assert torch.allclose(mixed[1], grad_cam(network, pictures, output=1)[1], atol=1e-5)
