"""A worker takes one task a line and says in JSON lines how it goes; here it is a child process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any


class Worker(ABC):
    """Who runs one task after the other, and what it is at."""

    def __init__(self, output: int) -> None:
        """``output`` is the file descriptor of what it says."""
        self.output = output
        self.ready = False
        self.task: str | None = None
        self.ended = 0
        """Episodes of its task that have ended."""
        self.heard = time.monotonic()
        """When it last said something."""
        self._unread = b""

    def give(self, task: str) -> None:
        """Let it begin ``task``; where it has ended, that is found out when it is read."""
        self.task, self.ended, self.heard = task, 0, time.monotonic()
        self._pass_on(task)

    def read(self) -> list[dict[str, Any]] | None:
        """What it has said since, when there is something; None where it has closed its end."""
        data = os.read(self.output, 1 << 16)
        if not data:
            return None
        self.heard = time.monotonic()
        *lines, self._unread = (self._unread + data).split(b"\n")
        return [json.loads(line) for line in lines]

    @abstractmethod
    def _pass_on(self, task: str) -> None: ...

    @abstractmethod
    def exit_code(self) -> int:
        """Of a worker that has closed its end; one that lingers is ended."""

    @abstractmethod
    def end(self) -> int:
        """End it, if it lives, with all that it started; returns its exit code, negative for a signal."""


class ChildProcess(Worker):
    """One child process."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        """Start ``command``; what it says to stderr is appended to ``log``.

        It gets a session of its own, so that a Ctrl-C reaches it through its parent alone.
        """
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        if self._process.stdout is None:
            raise RuntimeError("a worker without a pipe")
        super().__init__(self._process.stdout.fileno())

    def _pass_on(self, task: str) -> None:
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.write(task.encode() + b"\n")
                self._process.stdin.flush()

    def end(self) -> int:
        """Kill it; see ``Worker``."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        return code

    def exit_code(self, patience_s: float = 10.0) -> int:
        """As ``Worker``; a process has ``patience_s`` to end by itself."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(patience_s)
        return self.end()
