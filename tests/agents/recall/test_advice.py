"""What the memory advises: similar situations, pooled corrections, and the placebo that answers with another case's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from flow_rag_vla.agents.recall.advice import Advice, Advisor, ShuffledAdvisor
from flow_rag_vla.memory.case import FailureCase
from flow_rag_vla.memory.failure_memory import FailureMemory
from flow_rag_vla.tasks.contract import FAILURE_TYPES, NOTHING, Observation

NUM_CASES, GATE = 6, 0.6
TYPES = ("drop", "collision", "drop", "timeout", "collision", "misalignment")


class AxisEncoder:
    """An object at x = i is state i: a unit vector along axis i."""

    def encode(self, observation: Observation) -> torch.Tensor:
        return torch.eye(NUM_CASES + 1)[observation.object_pos_b[:, 0].long()]


@pytest.fixture
def memory() -> FailureMemory:
    """Case i + 1 was met in state i, is of type i above, and only candidate i corrects it (nine times of ten)."""
    memory = FailureMemory(NUM_CASES + 1, horizon=1, num_candidates=NUM_CASES, similarity_threshold=0.9)
    prior = np.full((NUM_CASES, NUM_CASES, 2), (1.0, 9.0), dtype=np.float32)
    prior[np.arange(NUM_CASES), np.arange(NUM_CASES)] = (9.0, 1.0)
    chunk = np.zeros((1, 7), dtype=np.float32)
    keys = np.eye(NUM_CASES + 1, dtype=np.float32)
    memory.add([FailureCase(keys[i], chunk, TYPES[i], chunk, prior=prior[i]) for i in range(NUM_CASES)])
    return memory


@pytest.fixture
def met(observe: Callable[..., Observation]) -> Callable[..., Observation]:
    """Observations of these states."""
    return lambda *states: observe(len(states), object_pos_b=[[float(state), 0.0, 0.0] for state in states])


def shuffled(memory: FailureMemory, seed: int) -> ShuffledAdvisor:
    return ShuffledAdvisor(memory, AxisEncoder(), 1, GATE, np.random.default_rng(seed))  # pyright: ignore[reportArgumentType]


def rows(advice: Advice) -> dict[str, list]:
    return {name: column.tolist() for name, column in vars(advice).items()}


def test_a_known_situation_gets_its_own_cases_correction_and_an_unknown_one_nothing(memory, met):
    advice = Advisor(memory, AxisEncoder(), 1, GATE).advise(met(2, NUM_CASES, 0))  # pyright: ignore[reportArgumentType]
    assert advice.given.tolist() == [True, False, True]
    assert advice.case_id.tolist() == [3, NOTHING, 1]
    assert advice.candidate.tolist() == [2, NOTHING, 0]
    assert advice.failure_type.tolist() == [FAILURE_TYPES.index("drop"), NOTHING, FAILURE_TYPES.index("drop")]
    assert advice.reliability.tolist() == pytest.approx([0.9, 0.0, 0.9])


def test_below_the_gate_nothing_is_advised(memory, met):
    assert not Advisor(memory, AxisEncoder(), 1, 0.91).advise(met(2)).given.any()  # pyright: ignore[reportArgumentType]


def test_the_placebo_answers_in_the_same_situations_and_no_others(memory, met):
    advice = shuffled(memory, 0).advise(met(*range(NUM_CASES + 1)))
    assert advice.given.tolist() == [True] * NUM_CASES + [False]
    assert advice.reliability.tolist() == pytest.approx([0.9] * NUM_CASES + [0.0])


def test_the_placebo_answers_each_case_with_one_other_cases_correction(memory, met):
    advice = shuffled(memory, 0).advise(met(*range(NUM_CASES)))
    answers = advice.candidate.tolist()
    assert sorted(answers) == list(range(NUM_CASES))
    assert sum(answer != own for own, answer in enumerate(answers)) > NUM_CASES / 2
    # The case that is named, its type and its correction belong together: it is another's, not a mixture.
    assert advice.case_id.tolist() == [answer + 1 for answer in answers]
    assert advice.failure_type.tolist() == [FAILURE_TYPES.index(TYPES[answer]) for answer in answers]


def test_the_placebos_seed_alone_decides_who_answers_for_whom(memory, met):
    everything = met(*range(NUM_CASES))
    first, again, other = (rows(shuffled(memory, seed).advise(everything)) for seed in (0, 0, 1))
    assert first == again
    assert first["candidate"] != other["candidate"]
    placebo = shuffled(memory, 0)
    one_by_one = [placebo.advise(met(state)).candidate.item() for state in reversed(range(NUM_CASES))]
    assert one_by_one[::-1] == first["candidate"]
