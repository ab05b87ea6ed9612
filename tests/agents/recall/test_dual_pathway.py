from __future__ import annotations

import threading

import pytest
import torch

from flow_rag_vla.agents.recall.clock import RealClock, VirtualClock
from flow_rag_vla.agents.recall.dual_pathway import DualPathwayProcessor, FlowAnswer


def flow(query, poll):
    """A chunk of the query's number, negative where the memory answered by the end."""
    found = poll()
    chunk = torch.full((2, 8, 7), float(query))
    if found is None:
        return FlowAnswer(chunk, torch.zeros(2, dtype=torch.bool), None)
    return FlowAnswer(torch.full((2, 8, 7), -float(found.answer)), torch.tensor([True, False]), found.answer)


def answers(processor, queries):
    """First entry of each chunk and age of the retrieval at hand."""
    decisions = [processor.process(q) for q in queries]
    return [(d.chunk[0, 0, 0].item(), d.retrieval_age) for d in decisions]


def until_retrieved(processor, query):
    """Repeats a decision until a retrieval is at hand."""
    while (decision := processor.process(query)).retrieval_age is None:
        pass
    return decision


def virtual(flow_ms, retrieval_ms, interval_ms=4000 / 30, **kwargs):
    clock = VirtualClock(flow_ms, retrieval_ms, interval_ms)
    return DualPathwayProcessor(flow, lambda query: query, clock=clock, **kwargs)


@pytest.mark.parametrize(("flow_ms", "retrieval_ms"), [(0.0, 0.0), (20.0, 5.0), (20.0, 20.0)])
def test_a_retrieval_that_is_not_slower_than_the_flow_steers_its_own_decision(flow_ms, retrieval_ms):
    processor = virtual(flow_ms, retrieval_ms)
    assert answers(processor, [1, 2, 3]) == [(-1.0, 0), (-2.0, 0), (-3.0, 0)]
    assert processor.get_statistics().rag_timeout_rate == 0.0


def test_a_late_retrieval_serves_the_next_decision_and_is_counted():
    processor = virtual(20.0, 100.0)
    assert answers(processor, [1, 2, 3]) == [(1.0, None), (-1.0, 1), (-2.0, 1)]
    assert processor.get_statistics().rag_timeout_rate == 1.0


def test_a_decision_returns_what_it_acted_on():
    processor = virtual(20.0, 100.0)
    assert [processor.process(query).advice for query in (1, 2, 3)] == [None, 1, 2]


def test_the_budget_is_held_against_the_time_at_which_the_flow_asks():
    clock = VirtualClock(20.0, 5.0)
    elapsed = []

    def asks_late(query, poll):
        elapsed.append(clock.elapsed_ms())
        poll()
        elapsed.append(clock.elapsed_ms())
        return FlowAnswer(torch.zeros(1, 8, 7), torch.zeros(1, dtype=torch.bool), None)

    DualPathwayProcessor(asks_late, lambda query: query, clock=clock).process(1)
    assert elapsed == [0.0, 20.0]


def test_a_very_slow_retrieval_is_not_asked_again_while_it_is_under_way():
    asked = []
    processor = DualPathwayProcessor(flow, lambda q: asked.append(q) or q, clock=VirtualClock(20.0, 250.0, 100.0))
    # Asked at 0 ms, due at 250 ms: at hand in the decision at 300 ms, which asks anew; that one is due at 550 ms.
    assert answers(processor, [1, 2, 3, 4, 5, 6, 7]) == [
        (1.0, None), (2.0, None), (3.0, None), (-1.0, 3), (5.0, None), (6.0, None), (-4.0, 3),
    ]  # fmt: skip
    assert asked == [1, 4, 7]


def test_nothing_is_at_hand_once_the_budget_is_spent():
    processor = virtual(30.0, 5.0)
    decision = processor.process(1)
    assert decision.retrieval_age is None
    assert decision.chunk[0, 0, 0] == 1.0
    assert processor.get_statistics().deadline_miss_rate == 1.0
    assert virtual(30.0, 5.0, max_latency_ms=40.0).process(1).retrieval_age == 0


def test_a_decision_with_nothing_to_ask_wakes_no_thread_and_is_not_late():
    submitted = []

    class Watched(VirtualClock):
        def submit(self, retrieve):
            submitted.append(retrieve)
            return super().submit(retrieve)

    clock = Watched(20.0, 100.0)
    processor = DualPathwayProcessor(flow, lambda query: query, clock=clock, asks=lambda query: query == 1)
    decisions = [processor.process(query) for query in (1, 2, 3)]
    # What the first one asked arrives for the second one; the third has nothing at hand, and asked for nothing.
    assert [d.retrieval_age for d in decisions] == [None, 1, None]
    assert [d.in_time for d in decisions] == [False, True, True]
    assert len(submitted) == 1
    assert processor.get_statistics().rag_timeout_rate == 1.0


def test_where_nothing_was_ever_asked_there_is_no_rate_of_late_answers():
    processor = virtual(20.0, 100.0, asks=lambda query: False)
    processor.process(1)
    assert processor.get_statistics().rag_timeout_rate is None


def test_a_reset_forgets_the_late_answer():
    processor = virtual(20.0, 100.0)
    processor.process(1)
    processor.reset()
    assert processor.process(2).retrieval_age is None


def test_statistics_of_virtual_latencies_are_exact():
    processor = virtual(20.0, 5.0)
    answers(processor, range(1, 5))
    s = processor.get_statistics()
    assert (s.decisions, s.avg_flow_time, s.avg_total_time) == (4, 0.02, 0.02)
    assert s.avg_frequency == pytest.approx(50.0)
    assert s.correction_rate == 0.5
    assert (s.p50_ms, s.p95_ms, s.p99_ms) == (20.0, 20.0, 20.0)


def test_statistics_of_nothing_are_none_not_zero():
    s = virtual(20.0, 5.0).get_statistics()
    assert s.decisions == 0
    assert {v for k, v in vars(s).items() if k != "decisions"} == {None}


def test_free_decisions_have_no_frequency():
    processor = virtual(0.0, 0.0)
    processor.process(1)
    assert processor.get_statistics().avg_frequency is None


def test_negative_latencies_are_refused():
    with pytest.raises(ValueError, match="negative"):
        VirtualClock(-1.0)


def test_retrieval_runs_in_one_lasting_thread_beside_the_flow():
    threads = set()

    def retrieve(query):
        threads.add(threading.current_thread())
        started.set()
        return query

    def patient(query, poll):
        assert started.wait(5.0)
        while (found := poll()) is None:
            pass
        started.clear()
        return FlowAnswer(torch.full((1, 1, 7), float(found.answer)), torch.ones(1, dtype=torch.bool), None)

    started = threading.Event()
    with DualPathwayProcessor(patient, retrieve, max_latency_ms=5000.0) as processor:
        assert [processor.process(q).chunk[0, 0, 0].item() for q in (1, 2, 3)] == [1.0, 2.0, 3.0]
    assert len(threads) == 1
    assert threads.pop() is not threading.current_thread()


def test_the_flow_never_waits_for_a_stuck_retrieval():
    release = threading.Event()

    def stuck(query):
        assert release.wait(10.0)
        return query

    with DualPathwayProcessor(flow, stuck, max_latency_ms=5000.0) as processor:
        assert answers(processor, [1, 2]) == [(1.0, None), (2.0, None)]
        release.set()
        # The first decision's answer, or a later one's that came right behind it.
        assert until_retrieved(processor, 3).chunk[0, 0, 0].item() in (-1.0, -3.0)


def test_a_drained_processor_has_its_late_answer_at_hand_and_nothing_under_way():
    release = threading.Event()

    def slow(query):
        assert release.wait(10.0)
        return query

    with DualPathwayProcessor(flow, slow, max_latency_ms=5000.0) as processor:
        processor.drain()
        assert answers(processor, [1]) == [(1.0, None)]
        threading.Timer(0.05, release.set).start()
        processor.drain()
        assert processor.process(2).retrieval_age is not None


def test_without_a_thread_the_search_runs_first_and_always_arrives():
    processor = DualPathwayProcessor(flow, lambda q: q, max_latency_ms=5000.0, clock=RealClock(threaded=False))
    assert answers(processor, [1, 2]) == [(-1.0, 0), (-2.0, 0)]
    assert processor.get_statistics().rag_timeout_rate == 0.0


def test_an_error_in_the_memory_is_raised_once_and_not_swallowed():
    def broken(query):
        if query == 1:
            raise KeyError("index lost")
        return query

    processor = DualPathwayProcessor(flow, broken, max_latency_ms=5000.0, clock=RealClock())
    with processor:
        with pytest.raises(KeyError, match="index lost"):
            until_retrieved(processor, 1)
        processor.reset()
        assert processor.process(2).chunk[0, 0, 0] in (2.0, -2.0)
