"""The workers that a run is given: child processes here, or places in a Ray cluster."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.command.attached import attached
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.workers.cargo import WEIGHTS
from flow_rag_vla.benchmark.workers.parcels import TO_START
from flow_rag_vla.benchmark.workers.pool import worker_environment
from flow_rag_vla.benchmark.workers.processes import ChildProcess

if TYPE_CHECKING:
    from flow_rag_vla.benchmark.workers.cargo import Cargo
    from flow_rag_vla.benchmark.workers.cluster import Cluster, Stowed
    from flow_rag_vla.benchmark.workers.launch import Launch
    from flow_rag_vla.benchmark.workers.parcels import Parcels
    from flow_rag_vla.benchmark.workers.processes import Worker

WORKER = "flow_rag_vla.benchmark.run.worker"


@dataclass(frozen=True)
class Crew(ABC):
    """Where the workers of a run may be."""

    devices: list[str]
    """One a worker."""
    threads: int
    """Of torch, in each."""

    @abstractmethod
    def start(self, run_dir: Path, device: str, num_envs: int, parcels: Parcels) -> Worker:
        """A worker of the run in ``run_dir`` on ``device`` with ``num_envs`` environments."""


class ChildCrew(Crew):
    """On this machine, in the run's directory."""

    def start(self, run_dir: Path, device: str, num_envs: int, parcels: Parcels) -> Worker:
        """As ``Crew``."""
        del parcels  # it reads what is there
        environment = worker_environment(len(self.devices), len(os.sched_getaffinity(0)), self.threads)
        command = attached(WORKER, str(run_dir), *_arguments(device, num_envs))
        return ChildProcess(command, environment, run_dir / run_files.LOG)


@dataclass(frozen=True)
class ClusterCrew(Crew):
    """On the nodes of a cluster, each with a copy of what its tasks read."""

    cluster: Cluster
    stowed: list[Stowed]
    """The run's networks."""

    def start(self, run_dir: Path, device: str, num_envs: int, parcels: Parcels) -> Worker:
        """As ``Crew``; Ray shows a worker one GPU, which so is its first."""
        from flow_rag_vla.benchmark.workers.cluster import Errand, RemoteWorker

        on_gpu = device.startswith("cuda")
        errand = Errand(
            module=WORKER,
            arguments=[*_arguments("cuda:0" if on_gpu else device, num_envs), "--weights", WEIGHTS],
            environment=worker_environment(1, self.threads, self.threads),
            threads=self.threads,
            gpus=int(on_gpu),
            to_start=TO_START,
            stowed=self.stowed,
            needed_by=parcels.needed_by,
            left_by=parcels.left_by,
        )
        return RemoteWorker(self.cluster, errand, run_dir, run_dir / run_files.LOG)


def _arguments(device: str, num_envs: int) -> list[str]:
    return ["--device", device, "--num_envs", str(num_envs)]


@contextmanager
def hired(launch: Launch, device: str, threads: int, weights: Sequence[Cargo]) -> Iterator[Crew | None]:
    """Who runs the units of a run on ``device`` with ``weights``; None for this process alone.

    Raises:
        UsageError: a device that ``launch`` asks for is not there, Ray is not installed, its nodes are too small, or a
            file of ``weights`` is another one by now.
        IncompleteError: no cluster answers.
    """
    if launch.in_this_process:
        yield None
    elif launch.cluster is None:
        yield ChildCrew(launch.devices_of_workers(device, threads), threads)
    else:
        from flow_rag_vla.benchmark.workers.cluster import Cluster  # late, as it is for those who have Ray

        cluster = Cluster(launch.cluster)
        try:
            room = cluster.slots(device, threads)
            places = room if launch.workers == "auto" else int(launch.workers)
            yield ClusterCrew([device] * places, threads, cluster, cluster.stow(weights))
        finally:
            cluster.close()
