"""From drawing to what the model reads: polarity, alpha, shade, place, rows of digits, and what is refused."""

import io

import numpy as np
import pytest
from PIL import Image

from pipelines.handwritten_digit_recognition.preparation import (
    MAX_DIGITS,
    as_ink,
    cut,
    cut_strokes,
    draw_strokes,
    ink_of,
    prepare,
    read_digit,
    read_ink,
    read_row,
)
from pipelines.handwritten_digit_recognition.redrawing import MANNERS, redraw
from pipelines.handwritten_digit_recognition.simulator import strokes_of
from tests.pipelines.handwritten_digit_recognition.small import png

HEIGHT, WIDTH = 120, 200


def drawn(*digits: int, height: float = 60, left: float = 20, top: float = 25, apart: float = 60, pen: float = 6):
    """Dark on white."""
    strokes = [
        points * height + np.array([left + apart * place, top])
        for place, digit in enumerate(digits)
        for points in strokes_of(digit)
    ]
    return 255 - draw_strokes(strokes, WIDTH, HEIGHT, pen)


def seen(picture: np.ndarray) -> np.ndarray:
    return read_digit(png(picture)).astype(int)


FIVE = drawn(5)


def test_law_inverted_ink_and_the_place_on_the_canvas_do_not_matter():
    assert np.abs(seen(255 - FIVE) - seen(FIVE)).max() <= 1
    assert np.array_equal(seen(drawn(5, left=120, top=40)), seen(FIVE))
    assert np.abs(seen(drawn(5, height=80, pen=8)) - seen(FIVE)).mean() < 5


@pytest.mark.parametrize("colour", [0, 255, 130])
def test_on_nothing_ink_is_what_is_opaque_whatever_its_colour(colour):
    opacity = 255 - FIVE
    picture = np.dstack([np.full_like(FIVE, colour)] * 3 + [opacity])
    assert np.abs(seen(picture) - seen(FIVE)).max() <= 1


def test_an_opaque_alpha_changes_nothing_and_colours_are_grey():
    coloured = np.dstack([FIVE, FIVE, np.full_like(FIVE, 255), np.full_like(FIVE, 255)])
    assert np.abs(seen(coloured) - seen(FIVE)).max() <= 2


def test_shaded_paper_is_paper():
    shade = 1 - 0.5 * np.linspace(0, 1, WIDTH) - 0.2 * np.linspace(0, 1, HEIGHT)[:, None]
    shaded = np.rint(shade * (0.9 * FIVE + 0.1 * 255)).astype(np.uint8)
    assert np.abs(seen(shaded) - seen(FIVE)).mean() < 8
    assert len(cut(as_ink(read_ink(png(shaded))))) == 1


def test_the_box_is_20_pixels_and_the_mass_is_in_the_middle():
    for digit in range(10):
        ink = seen(drawn(digit, height=83, top=12, pen=9))
        rows, columns = (np.flatnonzero((ink > 76).any(axis=axis)) for axis in (1, 0))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20, 21)
        for axis in (0, 1):
            profile = ink.sum(axis=1 - axis)
            assert (profile * np.arange(28)).sum() / profile.sum() == pytest.approx(14, abs=0.51)
        assert ink.max() == 255


def test_what_is_prepared_stays_to_the_bit(pictures):
    opaque = np.full((28, 28), 255, np.uint8)
    for flat in pictures["image"][:100]:
        picture = np.asarray(flat, np.uint8).reshape(28, 28)
        assert np.array_equal(prepare(ink_of(picture, opaque)), picture)


def test_a_row_is_cut_from_left_to_right_and_bars_belong_to_their_digit():
    found = cut(as_ink(read_ink(png(drawn(5, 0, 7)))))
    assert len(found) == 3
    assert [one.box[0] for one in found] == sorted(one.box[0] for one in found)
    alone = [seen(drawn(digit)) for digit in (5, 0, 7)]
    assert all(np.abs(one.pixels - picture).mean() < 4 for one, picture in zip(found, alone, strict=True))
    left, top, width, height = found[0].box
    assert (left, top) == pytest.approx((20 + 60 * 0.035 - 3, 25 - 3), abs=2)
    assert height == pytest.approx(66, abs=3)
    assert 30 < width < 45


def test_specks_are_left_out_and_a_picture_of_28_pixels_is_one_digit():
    dirty = FIVE.copy()
    dirty[100:102, 150:152] = 0
    assert len(cut(as_ink(read_ink(png(dirty))))) == 1
    two_pieces = np.zeros((28, 28), np.uint8)
    two_pieces[5:22, 8] = two_pieces[5:22, 18] = 255
    assert len(cut(as_ink(read_ink(png(two_pieces))))) == 1


def test_strokes_are_digits_in_any_unit():
    strokes = [
        (points + np.array([place, 0])).tolist() for place, digit in enumerate((5, 0)) for points in strokes_of(digit)
    ]
    found = cut_strokes(strokes)
    assert len(found) == 2
    alike = np.corrcoef(found[0].pixels.ravel(), seen(drawn(5, pen=5.4)).ravel())[0, 1]
    assert alike > 0.9
    large = cut_strokes([[[1000 * x + 7000, 1000 * y] for x, y in stroke] for stroke in strokes])
    assert all(np.array_equal(one.pixels, other.pixels) for one, other in zip(found, large, strict=True))
    assert large[0].box[0] == pytest.approx(7000 + 35 - 45, abs=40)
    assert large[0].box[3] == pytest.approx(1090, abs=60)
    assert len(cut_strokes([[[3.0, 3.0]]])) == 1


@pytest.mark.parametrize(
    ("picture", "problem"),
    [
        (np.full((60, 60), 255), "canvas is empty"),
        (np.full((60, 60), 0), "canvas is empty"),
        (np.full((60, 60), 250) - np.random.default_rng(0).integers(0, 9, (60, 60)), "canvas is empty"),
        (np.zeros((60, 60, 4)), "canvas is empty"),
        (np.pad(np.zeros((58, 58)), 1, constant_values=255), "nearly all of the picture is ink"),
        (np.zeros((10, 10)), "at least 16"),
    ],
)
def test_what_shows_no_ink_on_paper_is_refused(picture, problem):
    with pytest.raises(ValueError, match=problem):
        read_row(png(picture))


def test_a_page_of_writing_and_no_strokes_are_refused():
    page = np.full((60, 600), 255, np.uint8)
    for place in range(MAX_DIGITS + 3):
        page[15:45, 20 + 35 * place : 30 + 35 * place] = 0
    with pytest.raises(ValueError, match="is it a page"):
        read_row(png(page))
    with pytest.raises(ValueError, match="no point in any stroke"):
        cut_strokes([[], []])


def test_a_jpeg_of_a_photo_is_read():
    buffer = io.BytesIO()
    noisy = np.clip(FIVE * 0.7 + 20 + np.random.default_rng(0).normal(0, 4, FIVE.shape), 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(buffer, "JPEG", quality=60)
    assert len(cut(as_ink(read_ink(buffer.getvalue())))) == 1
    assert np.abs(read_digit(buffer.getvalue()) - seen(FIVE)).mean() < 8


def test_digits_are_redrawn_in_each_manner(pictures):
    picture = np.asarray(pictures.filter(label="5")["image"][0], np.uint8).reshape(28, 28)
    for manner in MANNERS:
        found = redraw(picture, manner, np.random.default_rng(0))
        assert len(found) == (5 if manner == "five in a row" else 1)
        ours, theirs = (one.astype(float).ravel() for one in (found[0], picture))
        assert np.corrcoef(ours, theirs)[0, 1] > 0.7
    thin, moved = (redraw(picture, manner, np.random.default_rng(0))[0] for manner in ("thin", "moved"))
    assert thin.sum() < 0.8 * moved.sum()
