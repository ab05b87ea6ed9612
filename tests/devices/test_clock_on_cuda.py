"""The wall clock on a CUDA device: what is queued has not arrived, and streams wait for one another, not the host."""

from __future__ import annotations

import pytest
import torch
from pretended_cuda import SameThread
from pretended_streams import PretendedStreams, pretend_streams

from flow_rag_vla.agents.recall import clock as clocks
from flow_rag_vla.agents.recall.clock import RealClock
from flow_rag_vla.agents.recall.dual_pathway import DualPathwayProcessor, FlowAnswer


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> PretendedStreams:
    """Pretended ones; retrievals run where they are submitted."""
    monkeypatch.setattr(clocks, "ThreadPoolExecutor", SameThread)
    return pretend_streams(monkeypatch)


@pytest.fixture
def processor(streams: PretendedStreams):
    """``processor(threaded)``: both pathways write down in which stream they run."""

    def make(threaded: bool = True) -> DualPathwayProcessor[int, int]:
        def retrieve(query: int) -> int:
            streams.log.append(f"{streams.current.name} retrieves")
            return query

        def flow(query: int, poll) -> FlowAnswer[int]:
            streams.log.append(f"{streams.current.name} flows")
            found = poll()
            answer = None if found is None else found.answer
            return FlowAnswer(torch.zeros(1, 8, 7), torch.zeros(1, dtype=torch.bool), answer)

        return DualPathwayProcessor(flow, retrieve, 5000.0, RealClock(threaded, "cuda"))

    return make


def test_retrieval_has_a_stream_of_its_own_behind_the_callers_and_the_caller_takes_over_behind_it(streams, processor):
    assert processor().process(1).advice == 1
    assert streams.log == [
        "caller records", "own waits for caller", "own retrieves", "own records",
        "caller flows", "host waits for caller", "caller waits for own", "host waits for caller",
    ]  # fmt: skip


def test_a_retrieval_whose_kernels_are_queued_has_not_arrived(streams, processor):
    beside = processor()
    streams.done = False
    assert beside.process(1).retrieval_age is None
    assert beside.process(2).retrieval_age is None
    streams.done = True
    decision = beside.process(3)
    assert (decision.advice, decision.retrieval_age) == (3, 0)
    assert streams.log.count("own retrieves") == 2


def test_to_drain_is_to_wait_for_the_kernels_of_the_search(streams, processor):
    beside = processor()
    streams.done = False
    beside.process(1)
    beside.drain()
    assert streams.log[-1] == "host waits for own"
    assert beside.process(2).retrieval_age is not None


def test_without_a_thread_the_search_goes_first_in_the_callers_stream(streams, processor):
    assert processor(threaded=False).process(1).retrieval_age == 0
    assert streams.log == ["caller retrieves", "caller flows", *["host waits for caller"] * 2]


def test_an_error_of_the_search_is_raised(streams):
    def broken(query: int) -> int:
        raise KeyError("index lost")

    def flow(query: int, poll) -> FlowAnswer[int]:
        poll()
        raise AssertionError("the error came too late")

    processor = DualPathwayProcessor(flow, broken, 5000.0, RealClock(device="cuda"))
    with pytest.raises(KeyError, match="index lost"):
        processor.process(1)


def test_on_the_cpu_no_stream_is_asked_for(streams):
    clock = RealClock()
    pending = clock.submit(lambda: 7)
    clock.flow_is_done()
    assert (pending.ready(), pending.result()) == (True, 7)
    assert streams.log == []
