"""Writes films: H.264 in MP4, as every browser plays it, or an animated GIF."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import imageio.v2 as iio

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np

FORMATS: tuple[str, ...] = ("mp4", "gif")


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
        # yuv420p and the index at the front: what browsers ask for.
        options: dict[str, Any] = {
            "mp4": {
                "format": "FFMPEG", "fps": frames_per_s, "codec": "libx264", "pixelformat": "yuv420p", "quality": 8,
                "output_params": ["-movflags", "+faststart"],
            },
            "gif": {"format": "GIF-PIL", "duration": 1000.0 / frames_per_s, "loop": 0},
        }[kind]  # fmt: skip
        self._writer = iio.get_writer(path, mode="I", **options)

    def append(self, frame: np.ndarray, times: int = 1) -> None:
        """Show ``frame`` (height, width, 3), uint8, for ``times`` frames."""
        for _ in range(times):
            self._writer.append_data(frame)

    def __enter__(self) -> Self:
        """The film itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file."""
        self._writer.close()
