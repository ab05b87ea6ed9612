"""Progress that suits where it is shown: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

from tqdm import tqdm

if TYPE_CHECKING:
    from types import TracebackType
    from typing import TextIO

PLAIN_LINE_EVERY_S = 30.0


class Progress:
    """Counts up to ``total`` with rate and time left."""

    def __init__(self, total: int, unit: str, console: TextIO | None = None) -> None:
        """``unit`` says what is counted, in the plural."""
        self._total, self._unit = total, unit
        self._console = sys.stdout if console is None else console
        self._start = self._last_line = time.monotonic()
        self._bar: tqdm | None = None
        if self._console.isatty():
            self._bar = tqdm(total=total, unit=f" {unit}", file=self._console, leave=False, dynamic_ncols=True)
        self._done = 0

    def update(self, done: int, note: str = "") -> None:
        """``done`` of the total are finished; ``note`` says what is going on."""
        if self._bar is not None:
            if note:
                self._bar.set_description_str(note, refresh=False)
            self._bar.update(done - self._done)
        elif time.monotonic() - self._last_line > PLAIN_LINE_EVERY_S:
            self._last_line = time.monotonic()
            self._console.write(self._line(done, note) + "\n")
            self._console.flush()
        self._done = done

    @property
    def done(self) -> int:
        """What the last update said."""
        return self._done

    def _line(self, done: int, note: str) -> str:
        elapsed = time.monotonic() - self._start
        rate = done / elapsed if elapsed > 0 else 0.0
        left = f", {(self._total - done) / rate:.0f} s left" if rate > 0 else ""
        head = f"{note}: " if note else ""
        return f"{head}{done}/{self._total} {self._unit}, {rate:.1f}/s{left}"

    def __enter__(self) -> Self:
        """The progress itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear the bar."""
        if self._bar is not None:
            self._bar.close()
