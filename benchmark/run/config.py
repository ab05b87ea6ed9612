"""The settings of a benchmark run: plain dataclasses, composed by Hydra from ``key=value`` overrides."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from flow_rag_vla.agents.arms.arm import Suite
from flow_rag_vla.agents.arms.catalogue import PARALLEL
from flow_rag_vla.agents.arms.registry import benchmark_arms, reference_arm
from flow_rag_vla.agents.arms.settings import AgentSettings
from flow_rag_vla.agents.detection import DETECTORS
from flow_rag_vla.benchmark.command.arguments import comma_list
from flow_rag_vla.benchmark.command.composition import compose_dataclass
from flow_rag_vla.benchmark.episodes.plan import ALL_EXPOSURES, DEFAULT_EXPOSURES
from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.episodes.seeds import MAX_SITES
from flow_rag_vla.tasks.catalogue.pick_place import TASK as DEFAULT_TASK
from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.contract import MAX_STEPS
from flow_rag_vla.tasks.scenarios.scenario_file import read_scenario_file

PLANNABLE_SPLITS: tuple[str, ...] = ("evaluation", "development")
OBSERVATIONS: tuple[str, ...] = ("state", "rgb")
"""Perceived poses from the simulator, or from the camera's pictures by a vision encoder."""

PHYSICS: tuple[str, ...] = ("auto", "newton_mujoco", "newton_mjwarp", "isaacsim_physx")


@dataclass
class BenchmarkSettings:
    """What ``scripts/benchmark.py`` runs; None stands for the device's default."""

    ablation: str = PARALLEL.name
    task: str = DEFAULT_TASK.name
    physics: str = "auto"
    device: str = "auto"
    num_envs: int | None = None
    scenarios: int | None = None
    rounds: int | None = None
    exposures: str = ""
    """How E2 meets the scenarios again, a comma list; empty for all but FAR, or with the ablation ``full`` for all."""
    block: int | None = None
    """Episodes of a unit, a multiple of ``num_envs``, which it is by default."""
    sites: int = 1
    scenario_file: str = ""
    """YAML file with the user's own sites and faults; empty for the suite's."""
    threads: int = 2
    """Torch threads: part of what makes a run reproducible to the bit."""
    seed: int = 0
    split: str = "evaluation"
    """Layout seeds: ``evaluation`` for results, ``development`` for tuning."""
    latency: str = "off"
    max_steps: int = MAX_STEPS
    checkpoint: str = "default"
    detector: str = "rules"
    """Who notices failures: ``rules`` or ``learned`` (``agents/detection/README.md``)."""
    obs: str = "state"
    """``state``, or ``rgb``: object pose, size and colour are seen by ``vision`` in the camera's pictures."""
    vision: str = "default"
    """Vision checkpoint; its header says whether it is the CNN's or DINOv2's."""
    vision_async: bool = False
    """Look at pictures in a worker thread; decisions use the newest sighting that is done (see
    ``agents/vision/README.md``).  Results then depend on timing and are not reproducible bit for bit."""
    out: str = "runs"
    quick: bool = False
    agent: AgentSettings = field(default_factory=AgentSettings)

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms to run, every other arm's reference first.

        Raises:
            ValueError: an unknown arm.
        """
        known = [arm.name for arm in benchmark_arms()]
        if self.ablation in (Suite.GUIDE, Suite.CONTROL):
            arms = [arm.name for arm in benchmark_arms(Suite(self.ablation))]
        else:
            arms = comma_list(self.ablation)
        for arm in arms:
            if arm not in known:
                raise ValueError(f"unknown arm {arm!r}; available: {', '.join(known)}, or all, or full")
        reference = reference_arm().name
        return (reference, *dict.fromkeys(arm for arm in arms if arm != reference))

    @property
    def met_again(self) -> tuple[Exposure, ...]:
        """The exposures of E2, in the order of tables.

        Raises:
            ValueError: an unknown exposure.
        """
        if not self.exposures:
            return ALL_EXPOSURES if self.ablation == Suite.CONTROL else DEFAULT_EXPOSURES
        names = comma_list(self.exposures)
        for name in names:
            if name not in ALL_EXPOSURES:
                raise ValueError(f"unknown exposure {name!r}; available: {', '.join(ALL_EXPOSURES)}")
        return tuple(exposure for exposure in ALL_EXPOSURES if exposure in names)


def compose_settings(overrides: Sequence[str]) -> BenchmarkSettings:
    """Settings with ``key=value`` overrides applied and checked.

    Raises:
        ValueError: an unknown key, a value of the wrong type, or one out of range; one line, for the user.
    """
    settings = compose_dataclass("benchmark", BenchmarkSettings(), overrides)
    _check(settings)
    given = {override.partition("=")[0] for override in overrides}
    return with_scenario_file(settings, given) if settings.scenario_file else settings


def with_scenario_file(settings: BenchmarkSettings, given: Collection[str]) -> BenchmarkSettings:
    """``settings`` with what their scenario file decides; settings named in ``given`` stay.

    Raises:
        ValueError: the file has mistakes (one line each), or a given setting contradicts it.
    """
    file = read_scenario_file(settings.scenario_file, settings.task if "task" in given else None)
    if len(file.sites) > MAX_SITES:
        raise ValueError(f"{settings.scenario_file}: sites: got {len(file.sites)}, expected at most {MAX_SITES}")
    if "sites" in given and settings.sites != len(file.sites):
        raise ValueError(f"sites is {settings.sites}, but {settings.scenario_file} holds {len(file.sites)}")
    scenarios = settings.scenarios
    if scenarios is None and not settings.quick:
        scenarios = file.num_scenarios
    return replace(settings, task=file.task.name, sites=len(file.sites), scenarios=scenarios)


def _check(settings: BenchmarkSettings) -> None:
    try:
        settings.task = get_task(settings.task).name
    except KeyError as error:
        raise ValueError(error.args[0]) from None
    if settings.physics not in PHYSICS:
        raise ValueError(f"unknown physics {settings.physics!r}; available: {', '.join(PHYSICS)}")
    if settings.detector not in DETECTORS:
        raise ValueError(f"unknown detector {settings.detector!r}; available: {', '.join(DETECTORS)}")
    if settings.split not in PLANNABLE_SPLITS:
        raise ValueError(f"unknown split {settings.split!r}; available: {', '.join(PLANNABLE_SPLITS)}")
    if settings.obs not in OBSERVATIONS:
        raise ValueError(f"unknown obs {settings.obs!r}; available: {', '.join(OBSERVATIONS)}")
    if settings.vision_async and settings.obs != "rgb":
        raise ValueError(f"vision_async looks at pictures, got obs={settings.obs}; expected obs=rgb")
    settings.ablation = ",".join(comma_list(settings.ablation))
    # One spelling of what is met: the settings of a run's shards are compared.
    settings.exposures = ",".join(settings.met_again) if settings.exposures else ""
    _ = settings.arms
