"""What the memory advises: similar situations, pooled corrections, and the placebo that answers with another case's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from flow_rag_vla.agents.policy.encoders import RetrievalEncoder
from flow_rag_vla.agents.recall import advisor as advisor_module
from flow_rag_vla.agents.recall.advice import Advice, Needs
from flow_rag_vla.agents.recall.advisor import Advisor
from flow_rag_vla.agents.recall.placebos import AnswersByLot, ShuffledAnswers, WrongTypeAnswers
from flow_rag_vla.agents.recall.situation import Situation
from flow_rag_vla.agents.recall.uplift_rule import UpliftRule
from flow_rag_vla.memory.case import FailureCase
from flow_rag_vla.memory.failure_memory import FailureMemory
from flow_rag_vla.memory.index import SearchResult
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


def shuffled(memory: FailureMemory, seed: int) -> Advisor:
    answers = ShuffledAnswers(memory.case_ids, np.random.default_rng(seed))
    return Advisor(memory, AxisEncoder(), 1, GATE, answers=answers)  # pyright: ignore[reportArgumentType]


def rows(advice: Advice) -> dict[str, list]:
    names = ("case_id", "failure_type", "candidate", "reliability", "uplift", "considered", "closed", "late")
    return {name: column.tolist() for name, column in zip(names, advice.columns, strict=True)}


def test_a_known_situation_gets_its_own_cases_correction_and_an_unknown_one_nothing(memory, met):
    advice = Advisor(memory, AxisEncoder(), 1, GATE).advise(met(2, NUM_CASES, 0))  # pyright: ignore[reportArgumentType]
    assert advice.given.tolist() == [True, False, True]
    assert advice.case_id.tolist() == [3, NOTHING, 1]
    assert advice.candidate.tolist() == [2, NOTHING, 0]
    assert advice.failure_type.tolist() == [FAILURE_TYPES.index("drop"), NOTHING, FAILURE_TYPES.index("drop")]
    assert advice.reliability.tolist() == pytest.approx([0.9, 0.0, 0.9])


def numpy_advice(memory: FailureMemory, keys: np.ndarray, k: int, gate: float) -> dict[str, np.ndarray]:
    """The advice as NumPy computes it, one column each."""
    found = memory.search(keys, k)
    weight = np.where(found.valid, found.similarity - memory.similarity_threshold + 1e-3, 0.0)[..., None]
    # In float64, where the order of the sum does not show, and rounded once.
    pooled = (weight * memory.candidate_means(found.case_ids).astype(np.float64)).sum(axis=1).astype(np.float32)
    total = weight.astype(np.float64).sum(axis=1).astype(np.float32)
    score = pooled / np.maximum(total, np.float32(1e-9))
    given = found.hit & (score.max(axis=1) >= gate)
    types = [FAILURE_TYPES.index(name) if name else NOTHING for name in memory.failure_types(found.case_ids[:, 0])]
    columns = {"case_id": found.case_ids[:, 0], "failure_type": np.array(types), "candidate": score.argmax(axis=1)}
    answers = {name: np.where(given, column, NOTHING) for name, column in columns.items()}
    return answers | {"reliability": np.where(given, score.max(axis=1), 0.0).astype(np.float32)}


def random_memory(rng: np.random.Generator) -> tuple[FailureMemory, np.ndarray]:
    """300 cases of two keys around 40 states, some with outcomes; and 500 queries near them."""
    states = rng.normal(size=(40, 32))
    memory = FailureMemory(32, num_candidates=9, similarity_threshold=0.9, duplicate_threshold=1.0)
    chunk = np.zeros((1, 7), dtype=np.float32)
    for number in range(300):
        keys = (states[rng.integers(0, 40, 2)] + 0.1 * rng.normal(size=(2, 32))).astype(np.float32)
        prior = rng.uniform(0.5, 3.0, (9, 2)).astype(np.float32)
        memory.add([FailureCase(keys, chunk, TYPES[number % NUM_CASES], chunk, region=str(number % 7), prior=prior)])
    memory.record_outcomes(rng.integers(1, 301, 400), rng.integers(0, 9, 400), rng.uniform(size=400) < 0.5)
    queries = states[rng.integers(0, 40, 500)] + 0.1 * rng.normal(size=(500, 32))
    return memory, (queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype(np.float32)


class GivenKeys:
    """Encodes nothing: the keys of the fleet are given, and an object at x = i is in row i."""

    def __init__(self, keys: torch.Tensor) -> None:
        self.keys = keys
        self.encoded: list[int] = []

    def encode(self, observation: Observation) -> torch.Tensor:
        self.encoded.append(observation.num_envs)
        return self.keys[observation.object_pos_b[:, 0].long()]


@pytest.mark.parametrize(("k", "gate"), [(1, 0.7), (3, 0.65), (5, 0.6)])
def test_advice_on_the_cpu_is_what_numpy_computes_to_the_last_bit(k, gate, met):
    memory, keys = random_memory(np.random.default_rng(k))
    advice = Advisor(memory, GivenKeys(torch.from_numpy(keys)), k, gate).advise(met(*range(500)))  # pyright: ignore[reportArgumentType]
    assert 20 < int(advice.given.sum()) < 480
    for name, column in numpy_advice(memory, keys, k, gate).items():
        assert getattr(advice, name).numpy().tobytes() == column.tobytes(), name


def test_only_the_rows_that_ask_are_looked_up_and_they_hear_what_they_would_among_all(met, monkeypatch):
    memory, keys = random_memory(np.random.default_rng(8))
    encoder = GivenKeys(torch.from_numpy(keys))
    advisor = Advisor(memory, encoder, 5, 0.6)  # pyright: ignore[reportArgumentType]
    everybody = advisor.advise(met(*range(500)))
    looked_up = []
    search = memory.index.search

    def counted(queries: np.ndarray, k: int, min_similarity: float) -> SearchResult:
        looked_up.append(len(queries))
        return search(queries, k, min_similarity)

    monkeypatch.setattr(memory.index, "search", counted)
    asks = torch.arange(500) % 3 == 0
    some = advisor.advise(met(*range(500)), asks)
    assert looked_up == [167]
    assert encoder.encoded == [500, 167]
    for name, column in rows(everybody).items():
        silent = 0.0 if name in ("reliability", "uplift", "considered", "closed", "late") else NOTHING
        assert rows(some)[name] == [said if ask else silent for said, ask in zip(column, asks.tolist(), strict=True)]


def test_a_row_hears_the_same_beside_rows_that_know_something_and_alone(memory, met):
    advisor = Advisor(memory, AxisEncoder(), 1, GATE)  # pyright: ignore[reportArgumentType]
    felt = torch.tensor([NOTHING, 0, 0])
    keys = torch.eye(NUM_CASES + 1)[[NUM_CASES, NUM_CASES, 2]]
    together = advisor._answer(keys, None, felt)
    for row in range(3):
        alone = advisor._answer(keys[[row]], None, felt[[row]])
        assert rows(alone) == {name: column[row : row + 1] for name, column in rows(together).items()}
    assert rows(together)["late"] == rows(together)["closed"] == [False, True, True]


def test_advice_by_lot_leaves_what_was_felt_where_it_was_felt(memory):
    advisor = Advisor(memory, AxisEncoder(), 1, GATE, answers=AnswersByLot(3))  # pyright: ignore[reportArgumentType]
    felt = torch.tensor([NOTHING, 0] * 8)
    unknown = torch.eye(NUM_CASES + 1)[[NUM_CASES] * 16]
    some = unknown.clone()
    some[0] = torch.eye(NUM_CASES + 1)[2]
    for keys in (unknown, some):
        assert rows(advisor._answer(keys, None, felt))["late"] == (felt != NOTHING).tolist()


def test_nobody_asks(met):
    memory, keys = random_memory(np.random.default_rng(8))
    advisor = Advisor(memory, GivenKeys(torch.from_numpy(keys)), 5, 0.5)  # pyright: ignore[reportArgumentType]
    advice = advisor.advise(met(*range(500)), torch.zeros(500, dtype=torch.bool))
    assert not advice.given.any()
    assert not advice.needs.anything


def test_advice_of_two_batches_needs_what_either_needs():
    nothing, nobody = Advice.nothing(1), torch.tensor([False])
    sees, steers = (dataclasses.replace(nothing, needs=n) for n in (Needs(True, False, False), Needs(False, False)))
    assert nothing.where(nobody, sees).needs == Needs(True, False, False)
    assert nothing.where(nobody, sees).where(nobody, steers).needs == Needs(True, False, True)
    assert Advice.of(torch.zeros(1, dtype=torch.long), sees, 3).needs == sees.needs


def test_what_the_memory_learns_is_heard_at_the_next_decision(memory, met):
    advisor = Advisor(memory, AxisEncoder(), 1, 0.5)  # pyright: ignore[reportArgumentType]
    assert advisor.advise(met(2)).candidate.tolist() == [2]
    memory.record_outcomes([3] * 30, [2] * 30, [False] * 30)
    assert advisor.advise(met(2)).given.tolist() == [False]
    state = np.eye(NUM_CASES + 1, dtype=np.float32)[NUM_CASES]
    chunk = np.zeros((1, 7), dtype=np.float32)
    memory.add([FailureCase(state, chunk, "drop", chunk, prior=np.full((NUM_CASES, 2), 1.0, dtype=np.float32))])
    assert advisor.advise(met(NUM_CASES)).case_id.tolist() == [NUM_CASES + 1]


def test_keys_of_the_rows_that_ask_are_to_the_bit_those_among_all(observe):
    rng = np.random.default_rng(4)
    fields = {name: rng.normal(size=(700, 3)).tolist() for name in ("ee_pos_b", "object_pos_b", "goal_pos_b")}
    observation, encoder = observe(700, **fields), RetrievalEncoder()
    everybody = encoder.encode(observation)
    for rows in (torch.arange(700)[::3], torch.tensor([699]), torch.tensor([], dtype=torch.long)):
        assert torch.equal(encoder.encode(observation.select(rows)), everybody[rows])


def test_pictures_are_not_copied_for_the_rows_that_ask(memory, met):
    seen = []

    class Looks(AxisEncoder):
        def encode(self, observation: Observation) -> torch.Tensor:
            seen.append(observation.rgb)
            return super().encode(observation)

    observation = dataclasses.replace(met(2, 0), rgb=torch.zeros(2, 4, 4, 3, dtype=torch.uint8))
    advice = Advisor(memory, Looks(), 1, GATE).advise(observation, torch.tensor([False, True]))  # pyright: ignore[reportArgumentType]
    assert advice.case_id.tolist() == [NOTHING, 1]
    assert seen == [None]


def test_outcomes_send_no_keys_to_the_device_again(memory, met, monkeypatch):
    made = []
    make = advisor_module.make_search
    monkeypatch.setattr(advisor_module, "make_search", lambda index, to: made.append(len(index)) or make(index, to))
    advisor = Advisor(memory, AxisEncoder(), 1, 0.5)  # pyright: ignore[reportArgumentType]
    assert advisor.advise(met(2)).reliability.tolist() == pytest.approx([0.9])
    memory.record_outcomes([3] * 10, [2] * 10, [True] * 10)
    assert advisor.advise(met(2)).reliability.tolist() == pytest.approx([0.95])
    assert made == [NUM_CASES]
    memory.add([memory.case(1), dataclasses.replace(memory.case(1), key_states=np.eye(NUM_CASES + 1)[NUM_CASES:])])
    assert advisor.advise(met(NUM_CASES)).case_id.tolist() == [NUM_CASES + 1]
    assert made == [NUM_CASES, NUM_CASES + 1]


@pytest.mark.parametrize("placebo", [False, True])
def test_keys_search_scores_and_advice_stay_on_a_cuda_device(memory, met, placebo):
    # Fake tensors refuse to mix devices, and to tell the host anything about what is on one.
    with FakeTensorMode():
        observation = met(*range(5))
        cuda = {name: value.cuda() for name, value in vars(observation).items() if isinstance(value, torch.Tensor)}
        encoder = GivenKeys(torch.ones(5, NUM_CASES + 1, device="cuda"))
        answers = ShuffledAnswers(memory.case_ids, np.random.default_rng(0)) if placebo else None
        advisor = Advisor(memory, encoder, 5, GATE, device="cuda", answers=answers)  # pyright: ignore
        advice = advisor.advise(dataclasses.replace(observation, **cuda))
    assert {column.device.type for column in advice.columns} == {"cuda"}
    assert {column.shape for column in advice.columns} == {(5,)}


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


def wrong_type(memory: FailureMemory, seed: int) -> Advisor:
    rng = np.random.default_rng(seed)
    answers = WrongTypeAnswers(memory.case_ids, memory.failure_types(memory.case_ids), rng)
    return Advisor(memory, AxisEncoder(), 1, GATE, rule=UpliftRule(), answers=answers)  # pyright: ignore


def test_the_wrong_type_answers_every_case_with_a_correction_of_another_type(memory, met):
    said = set()
    for seed in range(20):
        advice = wrong_type(memory, seed).advise(met(*range(NUM_CASES + 1)))
        assert advice.given.tolist() == [True] * NUM_CASES + [False]
        answers = advice.candidate.tolist()[:NUM_CASES]
        assert all(TYPES[answer] != own for answer, own in zip(answers, TYPES, strict=True))
        assert advice.case_id.tolist()[:NUM_CASES] == [answer + 1 for answer in answers]
        assert advice.failure_type.tolist()[:NUM_CASES] == [FAILURE_TYPES.index(TYPES[answer]) for answer in answers]
        said.add(tuple(answers))
        assert rows(wrong_type(memory, seed).advise(met(*range(NUM_CASES + 1)))) == rows(advice)
    assert len(said) > 10


@pytest.mark.parametrize("placebo", [shuffled, wrong_type])
def test_in_a_placebo_what_is_felt_finds_the_cases_that_felt_like_it_not_those_whose_answer_suits(placebo, memory, met):
    keys = np.eye(NUM_CASES + 1, dtype=np.float32)[[0]]
    memory.record_exposures(keys, [0], [False])
    situation, drop = Situation(torch.from_numpy(keys)), torch.tensor([FAILURE_TYPES.index("drop")])
    for seed in range(10):
        advisor = placebo(memory, seed)
        advisor._rule = UpliftRule()
        late = advisor.advise(met(NUM_CASES), situation=situation, felt=drop)
        answers = advisor.answers.of_cases(np.array([1])).item()
        # The first case knows no correction but to do nothing, which the rule never advises.
        assert late.case_id.item() == (NOTHING if answers == 1 else answers)
        assert late.late.item()


def test_where_all_failures_are_of_one_type_nobody_answers(met):
    memory = FailureMemory(NUM_CASES + 1, horizon=1, num_candidates=2, similarity_threshold=0.9)
    chunk, prior = np.zeros((1, 7), dtype=np.float32), np.array([[1.0, 9.0], [9.0, 1.0]], dtype=np.float32)
    keys = np.eye(NUM_CASES + 1, dtype=np.float32)
    memory.add([FailureCase(keys[i], chunk, "drop", chunk, region=str(i), prior=prior) for i in range(3)])
    assert not wrong_type(memory, 0).advise(met(0, 1, 2)).given.any()
    memory.record_exposures(keys[[0]], [0], [False])
    advice = wrong_type(memory, 0).advise(met(0, 1, 2))
    assert not advice.given.any()
    assert not advice.considered.any()
    assert all(column.isfinite().all() for column in (advice.reliability, advice.uplift))
