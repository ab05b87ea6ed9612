"""A slow encoder at its own, lower rate: the control loop never waits for it but once."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    import torch

    from flow_rag_vla.agents.vision.image_encoder import VisionEncoder
    from flow_rag_vla.tasks.contract import Observation


@dataclass(frozen=True)
class AgedEmbedding:
    """A result and how old the picture is that it was made from."""

    embedding: torch.Tensor
    """(num_envs, embedding_dim)."""
    age_s: float
    """Seconds since the observation was handed in."""
    age_calls: int
    """Calls of ``encode`` since then; 0 if it is this call's own."""


@dataclass(frozen=True)
class _Request:
    future: Future[torch.Tensor]
    asked_s: float
    asked_call: int


class AsynchronousEncoder:
    """Runs ``encoder`` in one worker thread.

    At most one picture is being encoded.  Whenever the worker is free, the next call hands it the newest observation;
    those that come while it is busy are passed over.  Results arrive in the order of their pictures, so the last one is
    the newest.
    """

    def __init__(self, encoder: VisionEncoder, clock: Callable[[], float] = time.monotonic) -> None:
        """Wrap ``encoder``; ``clock`` gives seconds."""
        self._encoder, self._clock = encoder, clock
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vision")
        self._under_way: _Request | None = None
        self._newest: tuple[torch.Tensor, _Request] | None = None
        self._calls = 0

    @property
    def embedding_dim(self) -> int:
        """Numbers in an embedding."""
        return self._encoder.embedding_dim

    def encode(self, observation: Observation) -> torch.Tensor:
        """The newest finished embeddings (num_envs, embedding_dim); raises what the encoder raised."""
        return self.latest(observation).embedding

    def latest(self, observation: Observation) -> AgedEmbedding:
        """The newest finished embeddings and their age; waits only while there are none yet.

        Args:
            observation: Encoded next, if the worker is free.

        Raises:
            ValueError: no pictures, or another number of environments than before ``reset``.
        """
        self._calls += 1
        self._collect()
        if self._under_way is None:
            # A copy: the simulator reuses its buffers while the worker reads.
            future = self._worker.submit(self._encoder.encode, observation.clone())
            self._under_way = _Request(future, self._clock(), self._calls)
        if self._newest is None:
            wait([self._under_way.future])
            self._collect()
        if self._newest is None:
            raise RuntimeError("the worker has finished and left no result")
        embedding, request = self._newest
        if len(embedding) != observation.num_envs:
            raise ValueError(
                f"{observation.num_envs} environments, the last result is of {len(embedding)}; reset first"
            )
        return AgedEmbedding(embedding, self._clock() - request.asked_s, self._calls - request.asked_call)

    def _collect(self) -> None:
        request = self._under_way
        if request is not None and request.future.done():
            self._under_way = None
            self._newest = (request.future.result(), request)

    def reset(self) -> None:
        """Forget what was seen: the next call waits for its own picture."""
        if self._under_way is not None:
            self._under_way.future.exception()
        self._under_way = self._newest = None

    def close(self) -> None:
        """Wait for the picture under way and end the thread."""
        self._worker.shutdown(wait=True)

    def __enter__(self) -> Self:
        """The encoder itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()
