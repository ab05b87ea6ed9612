"""Stills for a run's report: its commonest repeated failure, and the success of the verdict's arm on the same scenario.

Both are played again, alone and on the CPU, as the run planned them: same scenario, attempt, policy and memory.  A
still is kept only where the episode ends as it did in the run.  Runs as a program of its own, since a process holds one
simulation: ``python -m flow_rag_vla.benchmark.films.stills RUN_DIR``.
"""

from __future__ import annotations

import dataclasses
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import imageio.v3 as iio
import torch

from flow_rag_vla.agents.arms.registry import get_arm
from flow_rag_vla.agents.recall.new_memory import new_memory
from flow_rag_vla.benchmark.command.atomic_files import read_json_object
from flow_rag_vla.benchmark.episodes.actors import make_expert, make_policy_agent
from flow_rag_vla.benchmark.episodes.latency import parse_latency
from flow_rag_vla.benchmark.episodes.rollout import run_batch
from flow_rag_vla.benchmark.run.run import Run, load_networks
from flow_rag_vla.benchmark.run.run_directory import RunDirectory
from flow_rag_vla.benchmark.run.run_plan import plan_run, scenario_file_of
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.arms import REFERENCE_ARM, verdict_arm
from flow_rag_vla.benchmark.scoring.columns.run_records import RunRecords
from flow_rag_vla.benchmark.scoring.repeats import EpisodePlace, Exemplar, exemplars
from flow_rag_vla.benchmark.scoring.results import Still, Stills
from flow_rag_vla.benchmark.scoring.score import episodes_of
from flow_rag_vla.benchmark.scoring.summary import HEADLINE_EXPOSURE
from flow_rag_vla.tasks.contract import NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from flow_rag_vla.agents.agent import Agent
    from flow_rag_vla.benchmark.episodes.latency import LatencyProfile
    from flow_rag_vla.benchmark.episodes.plan import Unit
    from flow_rag_vla.benchmark.episodes.records import EpisodeRecord
    from flow_rag_vla.tasks.films.filming import Studio

MAX_TRIES = 3
"""Scenarios of the commonest failure that are tried: an episode that is played alone may end in another way."""

_WIDTH, _HEIGHT = 640, 480


def take_stills(run_dir: Path) -> Stills:
    """Write the stills of a complete run and ``stills.json``; without any where nothing repeats.

    Raises:
        ValueError: the run is incomplete or damaged.
    """
    again = _commonest(RunRecords.of(episodes_of(run_dir)))
    taken = Stills(_play_again(run_dir, _with_records(run_dir, again)) if again else [])
    _figures(run_dir)
    taken.write(run_dir)
    return taken


def _commonest(run: RunRecords) -> list[Exemplar[EpisodePlace]]:
    arm = verdict_arm(run.rounds) or REFERENCE_ARM
    return exemplars(run, REFERENCE_ARM, arm, HEADLINE_EXPOSURE)[:MAX_TRIES]


def _with_records(run_dir: Path, places: Sequence[Exemplar[EpisodePlace]]) -> list[Exemplar[EpisodeRecord]]:
    """The records of a few episodes, for which all are read once more: a run may have more than memory holds."""
    wanted = {place for exemplar in places for place in (exemplar.repeated, exemplar.resolved)}
    named = ((EpisodePlace(r.arm, r.round, r.exposure, r.scenario_id), r) for r in episodes_of(run_dir))
    found = {place: record for place, record in named if place in wanted}
    return [
        Exemplar(found[x.repeated], None if x.resolved is None else found[x.resolved], x.count, x.of) for x in places
    ]


def _play_again(run_dir: Path, candidates: Sequence[Exemplar[EpisodeRecord]]) -> list[Still]:
    directory = RunDirectory(run_dir)
    settings = dataclasses.replace(directory.settings(), device="cpu")
    if settings.obs == "rgb":
        print("no stills: the agent of this run looks at pictures, which the camera of stills does not take")
        return []
    torch.set_num_threads(settings.threads)
    run = Run(directory, settings, plan_run(settings, scenario_file_of(settings)), load_networks(settings))
    # Late, as it loads the simulator.
    from flow_rag_vla.tasks.films.filming import Studio

    with closing(
        Studio(settings.task, _WIDTH, _HEIGHT, physics=settings.physics, max_steps=settings.max_steps)
    ) as studio:
        return keep_stills(run_dir, candidates, lambda record: _frame(run, studio, record))


def keep_stills(
    run_dir: Path, candidates: Sequence[Exemplar[EpisodeRecord]], frame_of: Callable[[EpisodeRecord], np.ndarray | None]
) -> list[Still]:
    """Save the stills of the first of ``candidates`` whose failure comes back, and of its twin's success if that does.

    ``frame_of`` plays an episode again: (height, width, 3), or None where it now ends in another way.
    """
    for exemplar in candidates:
        frame = frame_of(exemplar.repeated)
        if frame is None:
            continue
        stills = [_save(run_dir, "still-repeated.png", frame, _repeated_caption(exemplar))]
        if exemplar.resolved is not None and (end := frame_of(exemplar.resolved)) is not None:
            stills.append(_save(run_dir, "still-resolved.png", end, _resolved_caption(exemplar.resolved)))
        return stills
    print("no stills: played alone, the episodes end in other ways")
    return []


def _frame(run: Run, studio: Studio, record: EpisodeRecord) -> np.ndarray | None:
    """(height, width, 3): the episode's failure, or the end of its success; None where it now ends in another way."""
    blocks = [u for u in run.plan.units if (u.arm, u.round) == (record.arm, record.round)]
    unit, planned = next(
        (u, e)
        for u in blocks
        for e in u.episodes
        if (e.scenario.id, e.exposure) == (record.scenario_id, record.exposure)
    )
    frames: list[np.ndarray] = []

    def on_step(ended: int) -> None:
        failed = int(studio.env.truth.failure_step[0]) != NOTHING
        if not frames and (failed if record.failed else ended):
            frames.append(studio.frame())

    alone = dataclasses.replace(unit, num_envs=1, episodes=(planned,))
    delay_ms = _latency(run).of(record.arm)
    played = run_batch(studio.env, _agent(run, studio, unit), alone, [planned], delay_ms, on_step).records[0]
    return frames[0] if frames and _ending(played) == _ending(record) else None


def _agent(run: Run, studio: Studio, unit: Unit) -> Agent:
    arm = get_arm(unit.arm)
    if arm.expert is not None:
        return make_expert(arm, studio.env)
    settings, policy = run.arm_settings(_latency(run)), run.networks.policy
    source = run.barriers().before(unit)
    memory = None if source is None else new_memory(settings, policy.flow.horizon, source)
    return make_policy_agent(arm, studio.env, policy, settings, memory, remembers=arm.consults_memory)


def _latency(run: Run) -> LatencyProfile:
    kept = run.directory.path / run_files.LATENCY
    measured = read_json_object(kept) if kept.is_file() else None
    return parse_latency(run.settings.latency, run.settings.arms, measured)


def _ending(record: EpisodeRecord) -> tuple[str | None, ...]:
    return record.outcome, record.failure_type, record.failure_phase


def _repeated_caption(exemplar: Exemplar[EpisodeRecord]) -> str:
    record = exemplar.repeated
    return (
        f"{record.arm} fails again as in E1, in the commonest way of this run ({exemplar.count} of {exemplar.of} "
        f"repeated failures on {record.exposure.upper()}): {record.fault}, {_words(record.failure_type)} in "
        f"{_words(record.failure_phase)}. Scenario {record.scenario_id[:8]}, round {record.round}; played again alone, "
        "it ended as it had in the run."
    )


def _resolved_caption(record: EpisodeRecord) -> str:
    advice = "without advice" if record.candidate is None else f"advised {record.candidate}"
    return f"{record.arm} on the same scenario, {advice}: success after {record.steps} steps, as in the run."


def _words(name: str | None) -> str:
    return (name or "no event").replace("_", " ")


def _save(run_dir: Path, name: str, frame: np.ndarray, caption: str) -> Still:
    iio.imwrite(_figures(run_dir) / name, frame)
    return Still(name, caption)


def _figures(run_dir: Path) -> Path:
    """Folder of the stills, made where it is missing; a run directory that is gone is an error, and not made again."""
    figures = run_dir / run_files.FIGURES
    figures.parent.mkdir(exist_ok=True)
    figures.mkdir(exist_ok=True)
    return figures


if __name__ == "__main__":
    take_stills(Path(sys.argv[1]))
