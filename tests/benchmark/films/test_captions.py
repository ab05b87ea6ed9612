"""Captions and films: what is drawn where, and that films hold the frames they were given."""

from __future__ import annotations

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image, ImageColor

from flow_rag_vla.benchmark.films.captions import Caption, Tone, add_caption, fitting_font, strip_height
from flow_rag_vla.benchmark.films.video import Video

PICTURE = np.full((480, 640, 3), 77, dtype=np.uint8)


def distance_to(strip: np.ndarray, colour: str) -> float:
    """Smallest Euclidean distance of a pixel to ``colour``; 0 where the colour occurs."""
    return float(np.linalg.norm(strip.astype(float) - ImageColor.getrgb(colour), axis=2).min())


def test_a_caption_goes_above_the_picture_and_leaves_it_alone():
    framed = add_caption(PICTURE, Caption("pick_place", "step 1"))
    assert framed.shape == (528, 640, 3)
    assert (framed[48:] == PICTURE).all()
    assert (framed[:48] != 77).any()


@pytest.mark.parametrize(("height", "strip"), [(48, 16), (240, 32), (360, 32), (480, 48), (720, 64)])
def test_a_strip_is_about_a_tenth_in_whole_macro_blocks(height: int, strip: int):
    assert strip_height(height) == strip


@pytest.mark.parametrize("tone", list(Tone))
def test_an_event_is_written_at_the_lower_right_in_the_colour_of_its_tone(tone: Tone):
    plain = add_caption(PICTURE, Caption("title", "status"))
    framed = add_caption(PICTURE, Caption("title", "status", "collision (carry)", tone))
    assert distance_to(framed[24:48, 320:], tone.value) < 40
    assert distance_to(plain[:48], tone.value) > 40
    assert (framed[:24] == plain[:24]).all()
    assert (framed[:48, :320] == plain[:48, :320]).all()


def test_long_text_shrinks_until_it_fits():
    text = "a fault with a very long name, met by an arm with a longer one, " * 2
    font = fitting_font(text, 17, 600.0)
    assert font.getlength(text) <= 600.0
    assert fitting_font("short", 17, 600.0).getlength("short") > font.getlength("short")


def test_a_caption_fits_a_picture_of_the_smallest_width():
    small = np.zeros((48, 64, 3), dtype=np.uint8)
    assert add_caption(small, Caption("a title " * 9, "status " * 9, "event " * 9)).shape == (64, 64, 3)


GREYS = (30, 120, 220)


def test_an_mp4_holds_its_frames_in_order_in_the_pixel_format_that_browsers_play(tmp_path):
    path = tmp_path / "film.mp4"
    with Video(path, 15.0) as video:
        for grey in GREYS:
            video.append(np.full((64, 64, 3), grey, dtype=np.uint8), times=2)
    frames = iio.imread(path)
    assert [round(float(frame.mean()), -1) for frame in frames] == [30, 30, 120, 120, 220, 220]
    meta = iio.immeta(path)
    assert meta["codec"] == "h264"
    assert meta["pix_fmt"].startswith("yuv420p")
    assert meta["fps"] == pytest.approx(15.0)


def test_a_gif_shows_each_frame_for_its_time_and_repeats(tmp_path):
    path = tmp_path / "film.gif"
    with Video(path, 10.0) as video:
        for grey in GREYS:
            video.append(np.full((64, 64, 3), grey, dtype=np.uint8))
    with Image.open(path) as film:
        assert getattr(film, "n_frames", 1) == 3
        assert film.info["duration"] == 100
        assert "loop" in film.info


def test_a_format_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(ValueError, match="unknown format 'avi'; available: mp4, gif"):
        Video(tmp_path / "film.avi", 15.0)
