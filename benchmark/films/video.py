"""Writes films: H.264 in MP4, as every browser plays it, or an animated GIF."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

import imageio.v2 as iio
from PIL import Image

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np

FORMATS: tuple[str, ...] = ("mp4", "gif")


class _Mp4:
    def __init__(self, path: Path, frames_per_s: float) -> None:
        # yuv420p and the index at the front are what browsers ask for.
        self._writer = iio.get_writer(
            path,
            format="FFMPEG",
            mode="I",
            fps=frames_per_s,
            codec="libx264",
            pixelformat="yuv420p",
            quality=8,
            output_params=["-movflags", "+faststart"],
        )

    def append(self, frame: np.ndarray) -> None:
        self._writer.append_data(frame)

    def close(self) -> None:
        self._writer.close()


class _Gif:
    def __init__(self, path: Path, frames_per_s: float) -> None:
        self._path, self._pages = path, []
        # The format counts in hundredths of a second.
        self._page_ms = 10 * round(100.0 / frames_per_s)

    def append(self, frame: np.ndarray) -> None:
        self._pages.append(Image.fromarray(frame).quantize(256, dither=Image.Dither.NONE))

    def close(self) -> None:
        if self._pages:
            first, *others = self._pages
            first.save(self._path, save_all=True, append_images=others, duration=self._page_ms, loop=0)


class Video:
    """A film at ``path``, open for frames while its ``with`` block runs."""

    def __init__(self, path: Path, frames_per_s: float) -> None:
        """The suffix of ``path`` chooses the format.

        Raises:
            ValueError: a suffix that is none of ``FORMATS``.
        """
        kind = path.suffix.removeprefix(".")
        if kind not in FORMATS:
            raise ValueError(f"unknown format {kind!r}; available: {', '.join(FORMATS)}")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = _Mp4(path, frames_per_s) if kind == "mp4" else _Gif(path, frames_per_s)

    def append(self, frame: np.ndarray, times: int = 1) -> None:
        """Show ``frame`` (height, width, 3), uint8, for ``times`` frames."""
        for _ in range(times):
            self._writer.append(frame)

    def __enter__(self) -> Self:
        """The film itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file."""
        self._writer.close()
