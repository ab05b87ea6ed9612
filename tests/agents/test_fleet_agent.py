"""A fleet's episodes: an environment that has taken advice keeps to it until its episode ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pytest
import torch

from flow_rag_vla.agents.corrections.corrections import CANDIDATE_NAMES
from flow_rag_vla.agents.fleet_agent import FleetAgent
from flow_rag_vla.agents.flow_rag_vla import FlowRAGVLA
from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
from flow_rag_vla.agents.policy.encoders import LearnedStateEncoder, LearnedStateEncoderCfg, RetrievalEncoder
from flow_rag_vla.agents.policy.flow_matching import FlowMatching, FlowMatchingCfg
from flow_rag_vla.agents.policy.velocity_network import VelocityNetworkCfg
from flow_rag_vla.agents.recall.advice import Advice, Needs
from flow_rag_vla.agents.recall.clock import VirtualClock
from flow_rag_vla.agents.recall.remember import DecisionSnapshot
from flow_rag_vla.tasks.contract import FAILURE_TYPES, NOTHING, Observation

HORIZON = 2
DROP, COLLISION, GRASP_FAILURE = (FAILURE_TYPES.index(kind) for kind in ("drop", "collision", "grasp_failure"))
FIRM, PLUS, MINUS = (CANDIDATE_NAMES.index(name) for name in ("grip_up_4", "goal_plus", "goal_minus"))

type Said = tuple[int, int, int]
"""Case, its type and the candidate."""

SAYS_NOTHING = (NOTHING, NOTHING, NOTHING)


class Script:
    """A memory that says the next of its lines at each decision, one entry per environment, and then the last again."""

    def __init__(self, *lines: Sequence[Said]) -> None:
        self._lines = list(lines)
        self.asked: list[list[bool]] = []
        """Which environments asked, at each decision."""

    def advise(
        self, observation: Observation, asks: torch.Tensor, situation: object = None, felt: object = None
    ) -> Advice:
        del observation, situation, felt
        self.asked.append(asks.tolist())
        line = self._lines.pop(0) if len(self._lines) > 1 else self._lines[0]
        case, kind, candidate = (torch.tensor(column) for column in zip(*line, strict=True))
        zero = torch.zeros(len(case))
        return Advice(
            case, kind, candidate, torch.where(candidate == NOTHING, 0.0, 0.9), zero, zero > 0, zero > 0, zero > 0
        )


class Nonsense:
    """A chunk policy whose grip is half open and that goes where the goal is seen."""

    horizon = HORIZON

    def __call__(self, observation: Observation, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        del noise
        chunk = torch.full((observation.num_envs, HORIZON, 7), -0.25)
        chunk[:, :, :3] = observation.goal_pos_b[:, None]
        return torch.zeros(observation.num_envs, 1), chunk


@pytest.fixture
def fleet(observe: Callable[..., Observation], instructions) -> Callable[..., FleetAgent]:
    """``fleet(line, line, ...)``: an agent whose memory follows the script, its episodes begun."""

    def make(*lines: Sequence[Said], retrieval_ms: float = 0.0, remembers: bool = False) -> FleetAgent:
        num_envs = len(lines[0])
        encoder = LearnedStateEncoder(LearnedStateEncoderCfg(hidden_dim=8), instructions).eval()
        flow = FlowMatching(FlowMatchingCfg(VelocityNetworkCfg(horizon=HORIZON, hidden_dim=8, num_layers=1))).eval()
        model = FlowRAGVLA(
            PolicyCheckpoint(encoder, flow),
            Script(*lines),  # pyright: ignore[reportArgumentType]
            chunk_policy=Nonsense(),  # pyright: ignore[reportArgumentType]
            clock=VirtualClock(10.0, retrieval_ms, 1000.0),
        )
        agent = FleetAgent(
            model, RetrievalEncoder(), num_envs=num_envs, max_steps=40, execute=HORIZON, remembers=remembers
        )
        begin(agent, num_envs)
        return agent

    return make


def begin(agent: FleetAgent, num_envs: int) -> None:
    agent.reset([f"scenario {i}" for i in range(num_envs)], [0] * num_envs)


def steered_by(agent: FleetAgent) -> list[Said]:
    """What each episode has settled on, as its notes say."""
    notes = agent.notes()
    columns = (notes.retrieved_case, notes.retrieved_type, notes.candidate)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_the_first_advice_is_kept_to_whatever_the_memory_says_later(fleet, observe):
    agent = fleet([(7, DROP, PLUS)], [(8, COLLISION, MINUS)], [SAYS_NOTHING])
    running = torch.ones(1, dtype=torch.bool)
    chunks = [agent.decide(observe(1, goal_pos_b=[0.5, 0.2, 0.0]), running) for _ in range(3)]
    assert [chunk[0, 0, 1].item() for chunk in chunks] == pytest.approx([0.25] * 3)
    assert steered_by(agent) == [(7, DROP, PLUS)]


def test_advice_that_comes_later_is_taken_by_those_that_have_none(fleet, observe):
    agent = fleet([(7, DROP, PLUS), SAYS_NOTHING], [(8, COLLISION, MINUS), (9, COLLISION, MINUS)])
    running = torch.ones(2, dtype=torch.bool)
    seen = observe(2, goal_pos_b=[0.5, 0.2, 0.0])
    first, second = (agent.decide(seen, running)[:, 0, 1].tolist() for _ in range(2))
    assert first == pytest.approx([0.25, 0.20])
    assert second == pytest.approx([0.25, 0.15])
    assert steered_by(agent) == [(7, DROP, PLUS), (9, COLLISION, MINUS)]


def test_an_episode_that_has_ended_takes_no_advice(fleet, observe):
    agent = fleet([SAYS_NOTHING] * 2, [(7, DROP, FIRM)] * 2)
    seen = observe(2)
    agent.decide(seen, torch.tensor([True, True]))
    agent.decide(seen, torch.tensor([True, False]))
    assert steered_by(agent) == [(7, DROP, FIRM), SAYS_NOTHING]
    notes = agent.notes()
    assert (notes.decisions.tolist(), notes.retrievals.tolist()) == ([2, 1], [1, 0])


def test_advice_to_do_nothing_is_noted_and_steers_nobody(fleet, observe):
    agent = fleet([(7, DROP, CANDIDATE_NAMES.index("none"))])
    chunk = agent.decide(observe(1, goal_pos_b=[0.5, 0.2, 0.0]), torch.ones(1, dtype=torch.bool))
    assert chunk[0, 0].tolist() == pytest.approx([0.5, 0.2, 0.0, -0.25, -0.25, -0.25, -0.25])
    assert steered_by(agent) == [(7, DROP, NOTHING)]


def test_a_new_episode_has_settled_on_nothing(fleet, observe):
    agent = fleet([(7, DROP, PLUS)], [SAYS_NOTHING])
    running = torch.ones(1, dtype=torch.bool)
    agent.decide(observe(1), running)
    begin(agent, 1)
    assert steered_by(agent) == [SAYS_NOTHING]
    chunk = agent.decide(observe(1, goal_pos_b=[0.5, 0.2, 0.0]), running)
    assert chunk[0, 0, 1].item() == pytest.approx(0.20)
    assert steered_by(agent) == [SAYS_NOTHING]


def test_the_memory_is_asked_where_an_episode_runs_that_has_settled_on_nothing(fleet, observe):
    agent = fleet([(7, DROP, FIRM), SAYS_NOTHING, SAYS_NOTHING])
    seen = observe(3)
    agent.decide(seen, torch.tensor([True, True, True]))
    agent.decide(seen, torch.tensor([True, False, True]))
    agent.decide(seen, torch.tensor([True, False, True]))
    assert agent.model.advisor.asked == [[True, True, True], [False, False, True], [False, False, True]]


@pytest.mark.parametrize(
    ("says", "needs"),
    [
        (SAYS_NOTHING, Needs(False, False, False)),
        ((7, DROP, CANDIDATE_NAMES.index("none")), Needs(False, False, False)),
        ((7, DROP, FIRM), Needs(False, False, True)),
        ((7, DROP, CANDIDATE_NAMES.index("detour_plus")), Needs(False, True, True)),
        ((7, DROP, PLUS), Needs(True, False, False)),
    ],
)
def test_what_settled_advice_needs_is_known_from_the_decision_that_took_it(fleet, observe, says, needs):
    agent = fleet([says, SAYS_NOTHING])
    agent.decide(observe(2), torch.ones(2, dtype=torch.bool))
    assert agent._settled.needs == needs
    begin(agent, 2)
    assert not agent._settled.needs.anything


def test_failures_are_noted_without_waiting_and_told_of_those_that_seem_to_have_failed(fleet, observe, waits):
    """The second environment's object lies free at its goal in the end, in spite of its collision."""
    agent = fleet([SAYS_NOTHING] * 3, remembers=True)
    goal = observe(1).goal_pos_b[0].tolist()
    running, start = torch.ones(3, dtype=torch.bool), observe(3)
    hit = observe(3, link_force_b=[[0.0, 99.0, 0.0]] * 2 + [[0.0] * 3])
    there = observe(3, object_pos_b=[start.object_pos_b[0].tolist(), goal, start.object_pos_b[0].tolist()])
    with waits() as waited:
        agent.watch(start, running)
        agent._notebook.decided(_snapshot(start, 1.0))
        agent._decision = 1
        agent.watch(hit, running)
        agent._notebook.decided(_snapshot(start, 2.0))
        agent.watch(there, running)
    assert waited == []
    (env, case), *others = agent.failures().items()
    assert (env, others) == (0, [])
    assert (case.failure_type, case.failed_action[0, 0]) == ("collision", 1.0)


def _snapshot(observation: Observation, action: float) -> DecisionSnapshot:
    n = observation.num_envs
    return DecisionSnapshot(observation, torch.ones(n, 512), torch.full((n, HORIZON, 7), action))


def weighed(fleet, observe, considered: list[bool], closed: list[bool]) -> list[list[bool]]:
    """Who asks at four decisions of a memory that always answers so; everybody misses a grasp before the third."""
    agent = fleet([SAYS_NOTHING, SAYS_NOTHING])
    asked = []

    def advise(
        observation: Observation, asks: torch.Tensor, situation: object = None, felt: torch.Tensor | None = None
    ) -> Advice:
        del observation, situation
        asked.append(asks.tolist())
        late = torch.zeros(2, dtype=torch.bool) if felt is None else felt != NOTHING
        flags = {"considered": torch.tensor(considered), "closed": torch.tensor(closed) | late, "late": late}
        return dataclasses.replace(Advice.nothing(2), **flags)

    agent.model.advisor.advise = advise
    running = torch.tensor([True, True])
    for felt in (False, False, True, True):
        if felt:
            agent._detector.first = dataclasses.replace(
                agent._detector.first, mask=running, failure_type=torch.zeros(2, dtype=torch.long)
            )
        agent.decide(observe(2), running)
    return asked


def test_an_episode_whose_gain_was_weighed_is_asked_about_again_only_when_something_is_felt(fleet, observe):
    asked = weighed(fleet, observe, considered=[True, False], closed=[False, False])
    assert asked == [[True, True], [False, True], [True, True], [False, False]]


def test_an_episode_in_which_acting_at_once_gains_most_is_asked_about_once(fleet, observe):
    asked = weighed(fleet, observe, considered=[True, True], closed=[True, False])
    assert asked == [[True, True], [False, False], [False, True], [False, False]]


def test_what_is_taken_late_of_where_to_grasp_begins_with_a_retreat(fleet, observe):
    agent = fleet([SAYS_NOTHING, SAYS_NOTHING])
    plus = CANDIDATE_NAMES.index("object_plus")
    flags = torch.tensor([True, True]), torch.tensor([True, True]), torch.tensor([True, False])
    candidate, sure = torch.tensor([plus, plus]), torch.tensor([0.9, 0.9])
    agent.model.advisor.advise = lambda *asked: Advice(candidate, candidate, candidate, sure, sure, *flags)
    chunk = agent.decide(observe(2), torch.tensor([True, True]))
    assert (chunk[0, :, :2] == 0).all()
    assert (chunk[0, :, 2] > 0).all()
    assert (chunk[0, :, 6] > 0).all()
    assert agent.notes().felt.tolist() == [True, False]
    assert not torch.equal(chunk[1], chunk[0])


def test_who_retreats_lets_go_of_what_it_holds_beside_the_goal(fleet, observe):
    agent = fleet([SAYS_NOTHING])
    plus = CANDIDATE_NAMES.index("object_plus")
    candidate, sure, yes = torch.tensor([plus]), torch.tensor([0.9]), torch.tensor([True])
    agent.model.advisor.advise = lambda *asked: Advice(candidate, candidate, candidate, sure, sure, yes, yes, yes)
    beside = observe(
        goal_pos_b=[0.5, 0.1, 0.02],
        object_pos_b=[0.5, 0.0, 0.02],
        ee_pos_b=[0.5, 0.0, 0.04],
        previous_action=[0.0] * 6 + [-0.25],
        grip_force_n=[10.0],
    )
    assert (agent.decide(beside, torch.ones(1, dtype=torch.bool))[0, :, 6] > 0).all()


def standing(observe: Callable[..., Observation]) -> Observation:
    """Four open hands, each on top of a cube and pressed up by it, but for the last, which is closing."""
    on_top = {"ee_pos_b": [0.5, 0.0, 0.06], "object_pos_b": [0.5, 0.0, 0.02], "object_size_m": [0.04, 0.04, 0.04]}
    grip = [[0.0] * 6 + [command] for command in (0.25, 0.25, 0.25, -0.25)]
    return observe(4, **on_top, hand_force_b=[0.0, 0.0, 40.0], previous_action=grip)


def feels(agent: FleetAgent, *kinds: int) -> None:
    kind = torch.tensor(kinds)
    agent._detector.first = dataclasses.replace(agent._detector.first, mask=kind != NOTHING, failure_type=kind)


def test_an_open_hand_that_stands_on_the_object_after_a_missed_grasp_begins_anew_whatever_is_advised(fleet, observe):
    agent = fleet([SAYS_NOTHING] * 4)
    running = torch.ones(4, dtype=torch.bool)
    own = agent.decide(standing(observe), running)
    feels(agent, GRASP_FAILURE, NOTHING, COLLISION, GRASP_FAILURE)
    felt = agent.decide(standing(observe), running)
    assert (felt[0, :, :2] == 0).all()
    assert (felt[0, :, 2] > 0).all()
    assert torch.equal(felt[1:], own[1:])
    clear = agent.decide(observe(4, ee_pos_b=[0.5, 0.0, 0.3], object_pos_b=[0.5, 0.0, 0.02]), running)
    assert torch.equal(clear[0], clear[1])


def test_a_failed_grasp_is_tried_once_more_before_the_memory_is_asked_what_to_change(fleet, observe):
    agent = fleet([SAYS_NOTHING] * 4)
    running = torch.ones(4, dtype=torch.bool)
    clear = observe(4, ee_pos_b=[0.5, 0.0, 0.3], object_pos_b=[0.5, 0.0, 0.02])
    agent.decide(clear, running)
    feels(agent, GRASP_FAILURE, NOTHING, COLLISION, GRASP_FAILURE)
    for observed in [standing(observe), clear, clear, clear, standing(observe)]:
        agent.decide(observed, running)
    asked = agent.model.advisor.asked
    assert [row[0] for row in asked] == [True, False, False, False, False, True]
    assert all(all(row[1:]) for row in asked)


def test_who_tried_again_with_success_felt_nothing_that_the_memory_is_asked_about(fleet, observe):
    agent = fleet([SAYS_NOTHING] * 4)
    running = torch.ones(4, dtype=torch.bool)
    feels(agent, GRASP_FAILURE, NOTHING, COLLISION, GRASP_FAILURE)
    agent.decide(standing(observe), running)
    assert agent.notes().felt.tolist() == [True, False, True, True]
    agent._placed = running
    assert agent.notes().felt.tolist() == [False, False, True, True]


def test_what_is_held_beside_the_goal_is_not_let_go_unless_that_is_advised(fleet, observe):
    class LetsGo(Nonsense):
        def __call__(self, observation: Observation, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            state, chunk = super().__call__(observation, noise)
            chunk[:, :, 6] = 0.25
            return state, chunk

    agent = fleet([SAYS_NOTHING, (7, DROP, PLUS)])
    agent.model._chunk_policy = LetsGo()
    beside = observe(
        2,
        goal_pos_b=[0.5, 0.2, 0.02],
        object_pos_b=[0.5, 0.16, 0.02],
        ee_pos_b=[0.5, 0.16, 0.02],
        previous_action=[0.0] * 6 + [-0.4],
        grip_force_n=[10.0],
    )
    chunk = agent.decide(beside, torch.ones(2, dtype=torch.bool))
    assert (chunk[0, :, 6] == -0.4).all()
    assert (chunk[1, :, 6] > 0).all()
    agent.model.advisor = None
    assert (agent.decide(beside, torch.ones(2, dtype=torch.bool))[:, :, 6] > 0).all()


def test_an_arm_without_a_memory_acts_as_its_policy_does_wherever_the_hand_stands(fleet, observe):
    agent = fleet([SAYS_NOTHING] * 4)
    agent.model.advisor = None
    feels(agent, GRASP_FAILURE, NOTHING, COLLISION, GRASP_FAILURE)
    chunk = agent.decide(standing(observe), torch.ones(4, dtype=torch.bool))
    assert torch.equal(chunk[0], chunk[1])


def test_to_look_at_the_flows_support_changes_no_decision_and_is_noted_beside_it(observe, instructions):
    torch.manual_seed(0)
    encoder = LearnedStateEncoder(LearnedStateEncoderCfg(hidden_dim=8), instructions).eval()
    flow = FlowMatching(FlowMatchingCfg(VelocityNetworkCfg(horizon=HORIZON, hidden_dim=8, num_layers=1))).eval()
    chunks, notes = [], []
    for looks in (False, True):
        model = FlowRAGVLA(
            PolicyCheckpoint(encoder, flow),
            Script([(7, DROP, FIRM), SAYS_NOTHING]),  # pyright: ignore[reportArgumentType]
            clock=VirtualClock(10.0, 0.0, 1000.0),
        )
        agent = FleetAgent(model, RetrievalEncoder(), num_envs=2, max_steps=40, execute=HORIZON, looks_at_support=looks)
        begin(agent, 2)
        running, seen = torch.ones(2, dtype=torch.bool), observe(2)
        taken = []
        for _ in range(4):
            taken.append(agent.decide(seen, running))
            agent.watch(seen, running)
        chunks.append(torch.stack(taken))
        notes.append(agent.notes())
    assert torch.equal(*chunks)
    # The first and the fourth decision are looked at.
    assert [n.steered.tolist() for n in notes] == [[0, 0], [2, 0]]
    assert bool((notes[1].off_support <= notes[1].steered).all())
