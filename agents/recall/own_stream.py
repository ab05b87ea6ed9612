"""Work beside the caller's on a CUDA device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Queued[T]:
    """What kernels are computing."""

    answer: T
    done: torch.cuda.Event


class OwnStream:
    """A CUDA stream beside the caller's.

    Answers lie in this stream's memory, which its later work may be given again once nobody holds them: whoever goes on
    computing with them beyond the next ``run`` copies them.
    """

    def __init__(self, device: torch.device) -> None:
        """A stream of ``device``."""
        self._device = device
        self._stream = torch.cuda.Stream(device)

    def caller_is_here(self) -> torch.cuda.Event:
        """An event behind all that the caller's stream has to do by now."""
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(self._device))
        return event

    def run[T](self, work: Callable[[], T], after: torch.cuda.Event) -> Queued[T]:
        """Queue what ``work`` computes, behind the event ``after``; from any thread."""
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(after)
            answer = work()
            done = torch.cuda.Event()
            done.record(self._stream)
        return Queued(answer, done)

    def hand_over[T](self, queued: Queued[T]) -> T:
        """The answer, which the caller's stream uses when it is there."""
        torch.cuda.current_stream(self._device).wait_event(queued.done)
        return queued.answer
