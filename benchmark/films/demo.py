"""Shows a fault happen and be overcome: a few episodes of one scenario, one after the other, in one film."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.agents.arms.arm import Arm, Expert
from flow_rag_vla.agents.arms.registry import all_arms, experts, get_arm
from flow_rag_vla.agents.recall.new_memory import new_memory
from flow_rag_vla.benchmark.command.progress import Progress
from flow_rag_vla.benchmark.episodes.actors import (
    default_arm_settings,
    load_bank,
    load_policy,
    make_expert,
    make_policy_agent,
)
from flow_rag_vla.benchmark.episodes.barrier import merge_into
from flow_rag_vla.benchmark.episodes.plan import PlannedEpisode, Unit
from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.episodes.rollout import run_batch
from flow_rag_vla.benchmark.episodes.seeds import first_site, seed_block
from flow_rag_vla.benchmark.films.film import FRAMES_PER_S, EpisodeFilm
from flow_rag_vla.benchmark.films.video import FORMATS, Video
from flow_rag_vla.benchmark.run.config import BenchmarkSettings
from flow_rag_vla.benchmark.workers.lessons import Lessons
from flow_rag_vla.benchmark.workers.taught_lessons import TaughtLessons
from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.faults.registry import get_fault
from flow_rag_vla.tasks.scenarios.sites import make_site

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from flow_rag_vla.agents.agent import Agent
    from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
    from flow_rag_vla.agents.policy.demonstration_bank import DemonstrationBank
    from flow_rag_vla.memory.failure_memory import FailureMemory
    from flow_rag_vla.tasks.films.filming import Studio
    from flow_rag_vla.tasks.scenarios.scenario import Scenario

BOTH_EXPERTS = "experts"
"""The nominal expert, which meets the fault blindly, then the one that was told of it."""

_SPLIT = "development"
"""Layouts and sites of demos: never those that benchmark runs report."""

_PIXEL_BLOCK = 64
"""Widths are multiples of this, so that three quarters of them are whole macro blocks, too."""


@dataclass(frozen=True)
class DemoRequest:
    """What to film, as the user names it."""

    task: str
    fault: str
    """A fault's name, or ``none``."""
    arm: str
    attempts: int
    """Most episodes of an arm with a policy; it stops at the first success.  Experts take one each."""
    seed: int
    out: Path
    format: str
    width: int
    """Pixels; a picture is three quarters as high, and its caption adds a tenth."""
    checkpoint: str = "default"
    max_steps: int = BenchmarkSettings.max_steps


@dataclass(frozen=True)
class Demo:
    """A request that makes sense."""

    request: DemoRequest
    scenario: Scenario
    policy: PolicyCheckpoint | None
    bank: DemonstrationBank | None

    @property
    def stem(self) -> Path:
        """Path of the film without its suffix."""
        fault = self.request.fault
        return self.request.out / f"{get_task(self.scenario.task).slug}-{fault}-{self.request.arm}"


def arm_choices() -> tuple[str, ...]:
    """What ``--arm`` may say."""
    return (BOTH_EXPERTS, *(arm.name for arm in all_arms()))


def prepare_demo(request: DemoRequest) -> Demo:
    """Check ``request`` and name its scenario, before anything is built.

    Raises:
        ValueError: an unknown arm or format, a number out of range, or a checkpoint that is unusable or does
            not know the task.
        UnknownNameError: an unknown task or fault.
    """
    task = get_task(request.task)
    fault = None if request.fault == "none" else get_fault(request.fault)
    for what, name, known in (("arm", request.arm, arm_choices()), ("format", request.format, FORMATS)):
        if name not in known:
            raise ValueError(f"unknown {what} {name!r}; available: {', '.join(known)}")
    for what, number in (("attempts", request.attempts), ("max_steps", request.max_steps)):
        if number < 1:
            raise ValueError(f"{what} is {number}, expected at least 1")
    if request.width < _PIXEL_BLOCK or request.width % _PIXEL_BLOCK:
        raise ValueError(f"width is {request.width}, expected a multiple of {_PIXEL_BLOCK}")
    layout_seed = seed_block(_SPLIT, request.seed, 1)[0]
    scenario = make_site(first_site(_SPLIT, request.seed), task.name).scenario(layout_seed, fault)
    arms = _arms(request)
    policy = load_policy(request.checkpoint, task.name) if any(arm.has_policy for arm in arms) else None
    bank = None if policy is None else load_bank(arms, request.checkpoint, policy)
    return Demo(request, scenario, policy, bank)


def film_demo(demo: Demo, console: TextIO) -> Path:
    """Run and film; stills of failures and ends lie beside the film, whose path is returned."""
    # Late, as it loads the simulator.
    from flow_rag_vla.tasks.films.filming import Studio

    request = demo.request
    path = demo.stem.with_name(f"{demo.stem.name}.{request.format}")
    arms = _arms(request)
    with (
        closing(
            Studio(demo.scenario.task, request.width, request.width * 3 // 4, max_steps=request.max_steps)
        ) as studio,
        Video(path, FRAMES_PER_S) as video,
        Progress(len(arms) * request.max_steps, "steps", console) as progress,
    ):
        shooting = _Shooting(demo, studio, video)
        for i, arm in enumerate(arms):
            before = i * request.max_steps
            outcome = shooting.episode(arm, i, lambda step, before=before: progress.update(before + step))
            console.write(f"{outcome}\n")
            if outcome.succeeded and arm.has_policy:
                break
    return path


def _arms(request: DemoRequest) -> list[Arm]:
    """The arm of each episode to come, at most."""
    if request.arm == BOTH_EXPERTS:
        nominal_first = sorted(experts(), key=lambda arm: arm.expert is Expert.INFORMED)
        return nominal_first[:1] if request.fault == "none" else nominal_first
    arm = get_arm(request.arm)
    return [arm] * (request.attempts if arm.has_policy else 1)


@dataclass(frozen=True)
class _Outcome:
    who: str
    attempt: int
    event: str
    steps: int
    succeeded: bool

    def __str__(self) -> str:
        return f"attempt {self.attempt + 1}, {self.who}: {self.event or 'no event'}, {self.steps} steps"


class _Shooting:
    """Films episodes of one scenario; what a policy notices of its failures is remembered from one to the next."""

    def __init__(self, demo: Demo, studio: Studio, video: Video) -> None:
        self._demo, self._studio, self._video = demo, studio, video
        horizon = 1 if demo.policy is None else demo.policy.flow.horizon  # experts have no chunks
        self._settings = default_arm_settings(horizon, demo.scenario.task, bank=demo.bank)
        self._memory: FailureMemory | None = None
        if demo.policy is not None and get_arm(demo.request.arm).consults_memory:
            self._memory = new_memory(self._settings, demo.policy.flow.horizon)

    def episode(self, arm: Arm, attempt: int, on_step: Callable[[int], None]) -> _Outcome:
        """Film one attempt of ``arm``; ``on_step`` is told how many control steps it has taken."""
        scenario, env, memory = self._demo.scenario, self._studio.env, self._memory
        who = arm.name if arm.consults_memory or arm.constant_corrections else arm.description
        if memory is not None:
            who += f", {len(memory)} remembered failure{'' if len(memory) == 1 else 's'}"
        agent = self._agent(arm)
        title = f"{get_task(scenario.task).slug} · fault: {scenario.fault} · {who}"
        stem = self._demo.stem
        film = EpisodeFilm(
            self._studio, agent, self._video, title, attempt, stem.with_name(f"{stem.name}-{attempt + 1}")
        )

        def after_step(ended: int) -> None:
            film.on_step(ended)
            on_step(int(env.truth.steps[0]))

        planned = PlannedEpisode(Exposure.E1 if attempt == 0 else Exposure.EXACT, scenario, scenario.id, attempt)
        played = run_batch(env, agent, Unit(arm.name, attempt, 1, (planned,)), [planned], 0.0, after_step)
        if memory is not None:
            merge_into(memory, [TaughtLessons.of(Lessons.of([played]))])
        record = played.records[0]
        return _Outcome(who, attempt, film.event, record.steps, record.succeeded)

    def _agent(self, arm: Arm) -> Agent:
        env, policy, memory = self._studio.env, self._demo.policy, self._memory
        if policy is None:
            return make_expert(arm, env)
        return make_policy_agent(arm, env, policy, self._settings, memory, remembers=memory is not None)
