"""A slow encoder at its own, lower rate: the control loop never waits for it but once."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from flow_rag_vla.agents.vision.networks.sighting import AgedSighting

if TYPE_CHECKING:
    from types import TracebackType

    import torch

    from flow_rag_vla.agents.vision.networks.image_encoder import VisionEncoder
    from flow_rag_vla.agents.vision.networks.sighting import Sighting
    from flow_rag_vla.tasks.contract import Observation


@dataclass(frozen=True)
class _Request:
    future: Future[tuple[Sighting, torch.Tensor]]
    observation: Observation
    asked_s: float
    asked_call: int


class AsynchronousEncoder:
    """Runs ``encoder`` in one worker thread; a ``LateEncoder``.

    At most one observation is being looked at.  Whenever the worker is free, the next call hands it the newest one;
    those that come while it is busy are passed over.  Results arrive in the order of their pictures, so the last one is
    the newest.  Which result a call gets depends on how fast the machine is at that moment: runs are not reproducible.
    """

    def __init__(self, encoder: VisionEncoder, clock: Callable[[], float] = time.monotonic) -> None:
        """Wrap ``encoder``; ``clock`` gives seconds."""
        self._encoder, self._clock = encoder, clock
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vision")
        self._under_way: _Request | None = None
        self._newest: tuple[Sighting, torch.Tensor, _Request] | None = None
        self._calls = 0
        self._ages: list[tuple[float, int]] = []

    @property
    def embedding_dim(self) -> int:
        """Numbers in an embedding."""
        return self._encoder.embedding_dim

    @property
    def late(self) -> Self:
        """Itself."""
        return self

    def encode(self, observation: Observation) -> torch.Tensor:
        """The newest finished embeddings (num_envs, embedding_dim); raises what the encoder raised."""
        return self.latest(observation).embedding

    def look(self, observation: Observation) -> tuple[Sighting, torch.Tensor]:
        """The newest finished sighting and embeddings (num_envs, embedding_dim); raises what the encoder raised."""
        newest = self.latest(observation)
        return newest.sighting, newest.embedding

    def latest(self, observation: Observation) -> AgedSighting:
        """The newest finished result and its age; waits only while there is none yet.

        Args:
            observation: Looked at next, if the worker is free.

        Raises:
            ValueError: no pictures, or another number of environments than before ``reset``.
        """
        self._calls += 1
        self._collect()
        if self._under_way is None:
            # A copy: the simulator reuses its buffers while the worker reads.
            shown = observation.clone()
            future = self._worker.submit(self._encoder.look, shown)
            self._under_way = _Request(future, shown, self._clock(), self._calls)
        if self._newest is None:
            wait([self._under_way.future])
            self._collect()
        if self._newest is None:
            raise RuntimeError("the worker has finished and left no result")
        sighting, embedding, request = self._newest
        if len(embedding) != observation.num_envs:
            raise ValueError(
                f"{observation.num_envs} environments, the last result is of {len(embedding)}; reset first"
            )
        age = (self._clock() - request.asked_s, self._calls - request.asked_call)
        self._ages.append(age)
        return AgedSighting(sighting, embedding, request.observation, *age)

    def _collect(self) -> None:
        request = self._under_way
        if request is not None and request.future.done():
            self._under_way = None
            self._newest = (*request.future.result(), request)

    def take_ages(self) -> dict[str, Any]:
        """How old results were when they were used, in the calls since this was last asked; JSON-able.

        Number of calls, median and 95th percentile: ``age_ms`` since the picture was handed in, ``age_calls`` in calls;
        None without a call.
        """
        taken, self._ages = self._ages, []
        if not taken:
            return {"calls": 0, "age_ms": None, "age_calls": None}
        seconds, calls = zip(*taken, strict=True)
        return {
            "calls": len(taken),
            "age_ms": {"p50": 1000.0 * statistics.median(seconds), "p95": 1000.0 * float(np.percentile(seconds, 95))},
            "age_calls": {"p50": float(statistics.median(calls)), "p95": float(np.percentile(calls, 95))},
        }

    def reset(self) -> None:
        """Forget what was seen, the picture under way too: the next call waits for its own picture.

        Raises what the encoder raised on the picture under way.
        """
        request, self._under_way, self._newest = self._under_way, None, None
        if request is not None:
            request.future.result()

    def close(self) -> None:
        """Wait for the picture under way and end the thread; raises what the encoder raised on that picture."""
        self._worker.shutdown(wait=True)
        self.reset()

    def __enter__(self) -> Self:
        """The encoder itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close; an error that is on its way is not hidden by one of the worker's."""
        if kind is None:
            self.close()
        else:
            self._worker.shutdown(wait=True)
