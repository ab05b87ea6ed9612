"""A run on the simulator as a command shows it: progress on the console, everything else in a log."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.command.errors import usage_errors
from flow_rag_vla.tasks.physics.quiet import quiet_console

if TYPE_CHECKING:
    from typing import TextIO


@contextmanager
def quiet_run(log: Path) -> Iterator[TextIO]:
    """``quiet_console``, for runs that check what the user gave on their way: a ``ValueError`` is a ``UsageError``.

    Its traceback is in ``log``, in case that it was our error after all.
    """
    with usage_errors(), quiet_console(log) as console:
        try:
            yield console
        except ValueError:
            with log.open("a") as file:
                traceback.print_exc(file=file)
            raise
