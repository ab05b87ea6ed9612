"""A strip above a picture that says what it shows: what is tried, by whom, and what has come of it so far."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from PIL import Image, ImageDraw, ImageFont


class Tone(StrEnum):
    """What an event means; its value is the colour that it is written in."""

    HAZARD = "#f5b942"
    FAILURE = "#ff6b5e"
    SUCCESS = "#5fd17a"


_BACKGROUND, _TITLE, _STATUS = "#16191d", "#ffffff", "#b9c0c8"
_BLOCK = 16
"""Pictures of a film are multiples of this many pixels: the macro block of H.264."""


@dataclass(frozen=True)
class Caption:
    """Two lines: the title above; status to the left and event to the right below."""

    title: str
    status: str
    event: str = ""
    tone: Tone = Tone.HAZARD


def strip_height(height: int) -> int:
    """Pixels that a caption adds to a picture of ``height`` pixels: about a tenth, in whole blocks."""
    return _BLOCK * max(1, round(height / 10 / _BLOCK))


def fitting_font(text: str, size: int, width: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The largest font of at most ``size`` pixels in which ``text`` is no wider than ``width`` pixels (1 at least)."""
    for smaller in range(size, 1, -1):
        font = ImageFont.load_default(smaller)
        if font.getlength(text) <= width:
            return font
    return ImageFont.load_default(1)


def add_caption(picture: np.ndarray, caption: Caption) -> np.ndarray:
    """``picture`` (height, width, 3), uint8, under a strip with ``caption``: (height + strip, width, 3)."""
    height, width, _ = picture.shape
    strip = strip_height(height)
    image = Image.new("RGB", (width, strip), _BACKGROUND)
    draw = ImageDraw.Draw(image)
    margin, size = max(1, strip // 8), max(1, round(0.36 * strip))
    inner = width - 2 * margin
    first, second = strip * 0.28, strip * 0.74
    title = fitting_font(caption.title, size, inner)
    draw.text((margin, first), caption.title, fill=_TITLE, font=title, anchor="lm")
    event = fitting_font(caption.event, size, inner / 2)
    draw.text((width - margin, second), caption.event, fill=caption.tone.value, font=event, anchor="rm")
    status = fitting_font(caption.status, size, inner - event.getlength(caption.event) - 2 * margin)
    draw.text((margin, second), caption.status, fill=_STATUS, font=status, anchor="lm")
    return np.concatenate([np.asarray(image), picture])
