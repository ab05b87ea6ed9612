"""A benchmark run from scratch: settings resolved, networks loaded, episodes planned, then all of it carried out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.certification.certificate import load_certificate, uncertified
from flow_rag_vla.benchmark.episodes.latency import parse_latency
from flow_rag_vla.benchmark.run.carry_out import carry_out
from flow_rag_vla.benchmark.run.integrity.run_lock import run_lock
from flow_rag_vla.benchmark.run.run import Run, load_networks
from flow_rag_vla.benchmark.run.run_directory import RunDirectory
from flow_rag_vla.benchmark.run.run_plan import plan_run, resolve_settings, scenario_file_of, with_policy_defaults
from flow_rag_vla.benchmark.workers.crew import hired
from flow_rag_vla.benchmark.workers.launch import Launch
from flow_rag_vla.tasks.facts.contact_parameters import world_digest

if TYPE_CHECKING:
    from flow_rag_vla.benchmark.run.conclusion import Reporter
    from flow_rag_vla.benchmark.run.config import BenchmarkSettings


VARIES_ON_CUDA = (
    "physics on CUDA differs from run to run: runs of one seed begin in equal states and agree in most outcomes, not "
    "in all (how many were counted once: benchmark/README.md)"
)
"""Nobody has found out which kernels it comes from."""


def _varies_by(settings: BenchmarkSettings) -> list[str]:
    """Why two runs of the same plan may give other results."""
    causes = []
    if settings.device.startswith("cuda"):
        causes.append(VARIES_ON_CUDA)
    if settings.vision_async:
        causes.append("with vision_async, which sighting a decision uses depends on how fast the machine is")
    return causes


def start_benchmark(
    settings: BenchmarkSettings, argv: Sequence[str], reporter: Reporter, launch: Launch | None = None
) -> bool:
    """Run from scratch; True when everything planned has run.

    Raises:
        UsageError: the settings cannot run here, or not by who is asked to; nothing is left behind.
        IncompleteError: no cluster answers; likewise.
        ValueError: likewise.
    """
    settings = resolve_settings(settings)
    networks = load_networks(settings)
    settings = with_policy_defaults(settings, networks.policy)
    scenario_file = scenario_file_of(settings)
    plan = plan_run(settings, scenario_file)
    parse_latency(settings.latency, settings.arms, {})
    launch = launch or Launch()
    launch.require_shardable(settings.latency, measured=False)
    # Who runs it is found before anything is written.
    with hired(launch, settings.device, settings.threads, networks.cargo()) as crew:
        directory = RunDirectory.create(settings.out, settings.ablation.replace(",", "+"))
        with run_lock(directory.path):
            try:
                certificate = load_certificate(settings.task, settings.physics)
                extra: dict[str, object] = {
                    "physics": settings.physics,
                    "uncertified_faults": uncertified(plan.scenarios, certificate),
                    "certified_physics": None if certificate is None else settings.physics,
                }
                if causes := _varies_by(settings):
                    extra["reproducible"] = f"no, not bit for bit: {'; '.join(causes)}"
                if scenario_file is not None:
                    extra["scenario_file"] = directory.keep_scenario_file(scenario_file)
                directory.start(settings, plan, argv, extra, networks.sha256 | {"contacts_sha256": world_digest()})
            except BaseException:
                directory.discard()
                raise
            return carry_out(Run(directory, settings, plan, networks), reporter, crew, launch.shard)
