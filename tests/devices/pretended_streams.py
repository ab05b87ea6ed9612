"""CUDA's streams and events without a GPU: they write down what is asked of them, and are done when a test says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch


class PretendedStreams:
    """The caller's stream, those that are made, and what was asked of them, in order."""

    def __init__(self) -> None:
        """All that is queued is done at once."""
        self.log: list[str] = []
        self.done = True
        """Whether events have come to pass."""
        self.current = PretendedStream(self, "caller")


class PretendedEvent:
    """Comes to pass when its streams are done."""

    def __init__(self, streams: PretendedStreams) -> None:
        self._streams = streams
        self.of = "nothing"

    def record(self, stream: PretendedStream) -> None:
        self.of = stream.name
        self._streams.log.append(f"{stream.name} records")

    def query(self) -> bool:
        return self._streams.done

    def synchronize(self) -> None:
        self._streams.log.append(f"host waits for {self.of}")
        self._streams.done = True


class PretendedStream:
    """Computes nothing."""

    def __init__(self, streams: PretendedStreams, name: str) -> None:
        self._streams, self.name = streams, name

    def wait_event(self, event: PretendedEvent) -> None:
        self._streams.log.append(f"{self.name} waits for {event.of}")

    def synchronize(self) -> None:
        self._streams.log.append(f"host waits for {self.name}")


def pretend_streams(monkeypatch: pytest.MonkeyPatch) -> PretendedStreams:
    """Let ``torch.cuda`` hand out pretended streams and events, until the test ends."""
    streams = PretendedStreams()

    @contextmanager
    def entered(stream: PretendedStream) -> Iterator[None]:
        outer, streams.current = streams.current, stream
        yield
        streams.current = outer

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: PretendedStream(streams, "own"))
    monkeypatch.setattr(torch.cuda, "Event", lambda: PretendedEvent(streams))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: streams.current)
    monkeypatch.setattr(torch.cuda, "stream", entered)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: streams.log.append("host waits for all"))
    return streams
