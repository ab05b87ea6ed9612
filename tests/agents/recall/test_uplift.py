"""Corrections compete with doing nothing: what the memory advises once it has seen what doing nothing leads to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from flow_rag_vla.agents.arms.registry import get_arm
from flow_rag_vla.agents.arms.settings import AgentSettings, ArmSettings
from flow_rag_vla.agents.corrections.corrections import CANDIDATES
from flow_rag_vla.agents.corrections.priors import candidate_priors, spared
from flow_rag_vla.agents.recall.advisor import Advisor, make_advisor
from flow_rag_vla.agents.recall.placebos import AnswersByLot
from flow_rag_vla.agents.recall.situation import KnownSituations, Situation
from flow_rag_vla.agents.recall.uplift_rule import UpliftRule
from flow_rag_vla.memory.case import FailureCase
from flow_rag_vla.memory.evidence.situations import Exposures, KeySource
from flow_rag_vla.memory.failure_memory import FailureMemory
from flow_rag_vla.tasks.contract import FAILURE_TYPES, NOTHING, Observation

DIM = 4
NONE, FIRM, HIGH = 0, 1, 2
DROP = FAILURE_TYPES.index("drop")
PRIOR = np.array([[1.0, 1.0], [1.2, 0.8], [1.1, 0.9]], dtype=np.float32)


class AxisEncoder:
    """An object at x = i is state i: a unit vector along axis i."""

    embedding_dim = DIM

    def encode(self, observation: Observation) -> torch.Tensor:
        return torch.eye(DIM)[observation.object_pos_b[:, 0].long()]


@pytest.fixture
def memory() -> FailureMemory:
    """One failure in each of the states 0 and 1."""
    memory = FailureMemory(DIM, num_candidates=3)
    chunk = np.zeros((1, 7), dtype=np.float32)
    memory.add(
        [FailureCase(key, chunk, "drop", chunk, region=str(i), prior=PRIOR) for i, key in enumerate(np.eye(DIM)[:2])]
    )
    return memory


@pytest.fixture
def met(observe: Callable[..., Observation]) -> Callable[..., Observation]:
    """Observations of these states."""
    return lambda *states: observe(len(states), object_pos_b=[[float(state), 0.0, 0.0] for state in states])


def exposed(memory: FailureMemory, state: int, candidate: int, worked: int, did_not: int) -> None:
    outcomes = [True] * worked + [False] * did_not
    memory.record_exposures([np.eye(DIM)[state]] * len(outcomes), [candidate] * len(outcomes), outcomes)


def advisor(memory: FailureMemory, threshold: float = 0.0, caution: float = 0.25) -> Advisor:
    return Advisor(memory, AxisEncoder(), 1, 0.5, rule=UpliftRule(threshold, caution))


def test_advice_is_given_where_doing_nothing_fails_and_not_where_it_mostly_works(memory, met):
    exposed(memory, 0, NONE, 0, 1)
    exposed(memory, 1, NONE, 5, 1)
    advice = advisor(memory).advise(met(0, 1))
    assert advice.candidate.tolist() == [FIRM, NOTHING]
    assert advice.considered.tolist() == [True, True]


def test_the_uplift_is_the_lower_bound_of_the_gain(memory, met):
    exposed(memory, 0, NONE, 1, 3)
    advice = advisor(memory, caution=0.5).advise(met(0))
    # One of four worked, and nothing was ever felt: a chance of 0.5/5 that something is, when 0.6 could be had.
    nothing = 0.9 * 1.9 / 5.0 + 0.1 * 0.6
    spread = (1.2 * 0.8 / (4.0 * 3.0) + nothing * (1.0 - nothing) / 6.0) ** 0.5
    assert float(advice.uplift) == pytest.approx(0.6 - nothing - 0.5 * spread, abs=1e-5)


@pytest.mark.parametrize(
    ("spared", "tried", "uplift"),
    [
        (None, NOTHING, 0.6 - 0.6375),
        # Nothing is wrong in half of the episodes, of which 3.9/4 work: in 0.4875 of all, what is spared counts.
        ((1.0, 1.0, 1.0), FIRM, 0.5125 * 0.6 + 0.4875 - 0.6375),
        ((1.0, 0.9, 1.0), FIRM, 0.5125 * 0.6 + 0.4875 * 0.9 - 0.6375),
        ((1.0, 0.5, 0.5), NOTHING, 0.5125 * 0.6 + 0.4875 * 0.5 - 0.6375),
        ((1.0, 0.0, 0.0), NOTHING, 0.5125 * 0.6 - 0.6375),
        # What mends a little less is tried where the best breaks too much.
        ((1.0, 0.0, 1.0), HIGH, 0.5125 * 0.55 + 0.4875 - 0.6375),
    ],
)
def test_a_correction_is_charged_with_what_it_breaks_where_nothing_is_wrong(spared, tried, uplift):
    prior = torch.tensor([[[1.0, 1.0], [1.2, 0.8], [1.1, 0.9]]])
    trials = torch.zeros(1, 6, 2)
    trials[0, NONE, 0] = 3.0  # nothing was felt, and it worked
    trials[0, 3 + NONE, 1] = 3.0  # something was felt, and it did not
    rule = UpliftRule(0.0, 0.0, late_shares=(1.0, 0.5, 0.5), spared=spared)
    choice = rule.choose(prior, trials)
    # Waiting: 3.9/4 of the half that feels nothing, and half of 0.6 in the other.
    assert (choice.candidate.item() if choice.given else NOTHING) == tried
    assert float(choice.uplift) == pytest.approx(uplift, abs=1e-6)


@pytest.mark.parametrize("known", [3, 10, 100, 1000])
@pytest.mark.parametrize("twins", [0.0, 0.1, 2.0])
def test_however_many_harmless_twins_are_known_what_breaks_none_is_not_put_off_until_it_is_too_late(known, twins):
    prior = torch.tensor([[[1.0, 1.0], [1.2, 0.8], [1.1, 0.9]]])
    trials = torch.zeros(1, 6, 2)
    trials[0, NONE, 0] = twins * known
    trials[0, 3 + NONE, 1] = known
    spare = UpliftRule(late_shares=(1.0, 0.1, 0.1), spared=(1.0, 1.0, 0.0)).choose(prior, trials)
    assert (spare.given.item(), spare.candidate.item()) == (True, FIRM)
    # What breaks them all is put off where that is more than it mends.
    breaks = UpliftRule(late_shares=(1.0, 0.1, 0.1), spared=(1.0, 0.0, 0.0)).choose(prior, trials)
    assert breaks.given.item() is (twins < 1.0)


@pytest.mark.parametrize(("twins", "tried"), [(0, 2), (2, 3), (4, 3), (6, 3)])
def test_where_what_mends_best_breaks_too_much_the_next_that_gains_is_tried(twins, tried):
    # Of what is put down beside the goal: half an offset that failed twice, a whole one, and half of one the other way.
    prior = torch.tensor([[[1.0, 1.0], [1.2, 0.8], [1.1, 0.9], [1.04, 0.96]]])
    trials = torch.zeros(1, 8, 2)
    trials[0, NONE, 0] = twins
    trials[0, 4 + NONE, 1] = 5.0
    trials[0, 1, 1] = 2.0
    rule = UpliftRule(late_shares=(1.0, 0.05, 0.05, 0.05), spared=(1.0, 0.99, 0.005, 0.99))
    choice = rule.choose(prior, trials)
    assert (choice.given.item(), choice.candidate.item()) == (True, tried)


@pytest.mark.parametrize(("mends", "given"), [(0.40, False), (0.50, False), (0.55, True)])
def test_what_hardly_mends_is_not_tried_in_the_place_of_what_breaks_too_much(mends, given):
    # What mends best topples the tower of every twin; moving more slowly breaks none.
    prior = torch.tensor([[[1.0, 1.0], [1.2, 0.8], [2 * mends, 2 - 2 * mends]]])
    trials = torch.zeros(1, 6, 2)
    trials[0, NONE, 0] = trials[0, 3 + NONE, 1] = 5.0
    rule = UpliftRule(late_shares=(1.0, 0.05, 0.25), spared=(1.0, 0.005, 1.0))
    choice = rule.choose(prior, trials)
    assert choice.given.item() is given
    assert not given or choice.candidate.item() == 2


def test_what_mends_less_than_what_can_be_done_late_is_not_tried_in_the_place_of_what_can_wait():
    prior = torch.tensor([[[1.0, 1.0], [1.2, 0.8], [1.0, 1.0]]])
    trials = torch.zeros(1, 6, 2)
    trials[0, NONE, 0] = trials[0, 3 + NONE, 1] = 5.0
    # Looking beside the object breaks twins and can wait (0.51); a softer grip breaks none and mends less.
    waits = UpliftRule(late_shares=(1.0, 0.85, 0.1), spared=(1.0, 0.2, 1.0)).choose(prior, trials)
    assert not waits.given.item()
    late = UpliftRule(late_shares=(1.0, 0.85, 0.1), spared=(1.0, 0.2, 1.0)).choose(prior, trials, torch.tensor([True]))
    assert (late.given.item(), late.candidate.item()) == (True, 1)


def test_a_threshold_above_the_bound_silences_the_memory(memory, met):
    exposed(memory, 0, NONE, 1, 3)
    bound = float(advisor(memory).advise(met(0)).uplift)
    assert advisor(memory, bound - 1e-4).advise(met(0)).given.all()
    assert not advisor(memory, bound + 1e-4).advise(met(0)).given.any()


def test_a_correction_that_failed_gives_way_to_the_next_and_all_that_fail_to_nothing(memory, met):
    exposed(memory, 0, NONE, 0, 2)
    exposed(memory, 0, FIRM, 0, 2)
    assert advisor(memory).advise(met(0)).candidate.tolist() == [HIGH]
    exposed(memory, 0, HIGH, 0, 12)
    exposed(memory, 0, FIRM, 0, 12)
    assert advisor(memory).advise(met(0)).candidate.tolist() == [NOTHING]


def test_a_memory_without_exposures_speaks_by_its_gate(memory, met):
    advice = advisor(memory).advise(met(0, 2))
    assert advice.candidate.tolist() == [FIRM, NOTHING]
    assert not advice.considered.any()


def test_what_is_known_of_doing_nothing_is_that_of_the_episodes_beginning(memory, met):
    exposed(memory, 0, NONE, 0, 2)
    exposed(memory, 1, NONE, 9, 0)
    began_well = Situation(torch.eye(DIM)[[1]])
    assert advisor(memory).advise(met(0)).given.all()
    assert not advisor(memory).advise(met(0), situation=began_well).given.any()


def test_an_environment_whose_physics_broke_is_advised_nothing(memory, met):
    exposed(memory, 0, NONE, 0, 2)
    situation = Situation(torch.full((1, DIM), torch.nan))
    assert not advisor(memory).advise(met(2), situation=situation).given.any()


def test_situations_count_by_how_similar_they_are():
    keys = np.array([[1.0, 0.0], [0.96, 0.28]], dtype=np.float32)
    met = Exposures.none(2, 2).with_trials(KeySource.of(keys), np.array([0, 1]), np.array([True, False]), 1.0, 9)
    trials = KnownSituations(met, 5, 0.9, "cpu").trials(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    assert trials[0].flatten().tolist() == pytest.approx([1.0, 0.0, 0.0, 0.6], abs=1e-5)
    assert not trials[1].any()


def test_a_placebos_situations_keep_what_doing_nothing_led_to():
    keys = np.eye(2, dtype=np.float32)
    choices = np.array([0, 1, 2, 3] * 2)
    met = Exposures.none(2, 4).with_trials(
        KeySource.of(keys.repeat(4, 0)), choices, np.array([True] * 4 + [False] * 4), 1.0, 9
    )
    swapped = KnownSituations(met, 1, 0.9, "cpu", np.array([1, 0])).trials(torch.eye(2))
    assert swapped[0].tolist() == [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]


def test_advice_at_random_is_as_much_advice_to_others(memory, met):
    exposed(memory, 0, NONE, 0, 2)
    states = [0] * 50 + [2] * 50
    own = advisor(memory).advise(met(*states))
    by_lot = Advisor(memory, AxisEncoder(), 1, 0.5, rule=UpliftRule(), answers=AnswersByLot(0))
    lot = by_lot.advise(met(*states))
    assert own.given.tolist() == [True] * 50 + [False] * 50
    assert int(lot.given.sum()) == 50
    assert 10 < int(lot.given[:50].sum()) < 40
    # Who asked before, in another block of the round, has no part in it; the run's seed has.
    anew = (Advisor(memory, AxisEncoder(), 1, 0.5, rule=UpliftRule(), answers=AnswersByLot(seed)) for seed in (0, 1))
    fresh, other = (one.advise(met(*states)) for one in anew)
    assert by_lot.advise(met(*states)).given.tolist() == lot.given.tolist() == fresh.given.tolist()
    assert other.given.tolist() != fresh.given.tolist()


def test_the_arm_says_who_weighs_doing_nothing_and_who_remembers_nothing(observe):
    observation = observe(1)
    settings = ArmSettings(AgentSettings())
    probe = make_advisor(get_arm("parallel"), FailureMemory(), settings)
    key = probe._encoder.encode(observation).numpy()
    memory = FailureMemory(num_candidates=len(CANDIDATES))
    chunk, prior = np.zeros((1, 7), dtype=np.float32), candidate_priors("grasp_failure", "lift")
    memory.add([FailureCase(key, chunk, "grasp_failure", chunk, prior=prior)])
    memory.record_exposures(np.repeat(key, 100, axis=0), [NONE] * 100, [True] * 99 + [False])
    arms = ("parallel", "parallel_ungated", "parallel_empty")
    given = {name: bool(make_advisor(get_arm(name), memory, settings).advise(observation).given) for name in arms}
    assert given == {"parallel": False, "parallel_ungated": True, "parallel_empty": False}


def late(memory: FailureMemory, state: int, candidate: int, worked: int, did_not: int) -> None:
    outcomes = [True] * worked + [False] * did_not
    memory.record_exposures([np.eye(DIM)[state]] * len(outcomes), [candidate] * len(outcomes), outcomes, True)


def test_what_will_be_felt_is_waited_for_where_it_can_still_be_mended(memory, met):
    # Half of what lies under this cue is harmless, and the rest is felt.
    exposed(memory, 0, NONE, 5, 0)
    late(memory, 0, NONE, 0, 5)
    situation, nothing, drop = Situation(torch.eye(DIM)[[0]]), torch.tensor([NOTHING]), torch.tensor([DROP])
    early = advisor(memory).advise(met(0), situation=situation, felt=nothing)
    assert (early.given.item(), early.considered.item(), early.closed.item()) == (False, True, False)
    felt = advisor(memory).advise(met(3), situation=situation, felt=drop)
    assert (felt.candidate.item(), felt.late.item(), felt.closed.item()) == (FIRM, True, True)


def test_what_cannot_be_mended_any_more_when_it_is_felt_is_corrected_at_once(memory, met):
    exposed(memory, 0, NONE, 1, 0)
    late(memory, 0, NONE, 0, 5)
    late(memory, 0, FIRM, 0, 5)
    late(memory, 0, HIGH, 0, 5)
    early = advisor(memory).advise(met(0), situation=Situation(torch.eye(DIM)[[0]]), felt=torch.tensor([NOTHING]))
    assert (early.candidate.item(), early.late.item(), early.closed.item()) == (FIRM, False, True)


def test_what_is_felt_is_answered_by_cases_that_felt_like_it(memory, met):
    late(memory, 0, NONE, 0, 5)
    other = torch.tensor([FAILURE_TYPES.index("collision")])
    advice = advisor(memory).advise(met(0), situation=Situation(torch.eye(DIM)[[0]]), felt=other)
    assert (advice.given.item(), advice.closed.item()) == (False, True)


def test_a_share_of_a_corrections_chance_is_left_once_something_is_felt():
    rule = UpliftRule(late_shares=(1.0, 0.1, 1.0))
    prior, trials = torch.from_numpy(PRIOR)[None], torch.tensor([[0.0, 4.0]]).repeat(1, 6, 1) * 0.0
    trials[0, 3] = torch.tensor([0.0, 4.0])
    assert rule.choose(prior, trials, torch.tensor([True])).candidate.item() == HIGH
    assert rule.choose(prior, trials, torch.tensor([True])).reliability.item() == pytest.approx(0.55)


def test_an_advisor_knows_what_corrections_spare_in_its_task():
    settings = ArmSettings(AgentSettings(), task="bin_transport")
    known = make_advisor(get_arm("parallel"), FailureMemory(num_candidates=len(CANDIDATES)), settings)
    assert known._rule is not None
    assert known._rule.spared == spared("bin_transport") != spared()
