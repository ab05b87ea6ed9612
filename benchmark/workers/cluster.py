"""Workers on the nodes of a Ray cluster: Ray places and moves, a subprocess on the node runs the simulator.

What a unit needs travels with it and what it leaves behind comes back through Ray's object store, so that nodes need no
directory in common; the run's directory stays the only record.  A lost node is a worker that ended: the pool tries its
task again on another.
"""

from __future__ import annotations

import json
import os
import queue
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flow_rag_vla.benchmark.command.atomic_files import write_bytes_atomic
from flow_rag_vla.benchmark.command.errors import IncompleteError, UsageError, in_one_line
from flow_rag_vla.benchmark.workers.cargo import Cargo
from flow_rag_vla.benchmark.workers.cluster_host import Files, Host
from flow_rag_vla.benchmark.workers.launch import LOCAL
from flow_rag_vla.benchmark.workers.processes import Worker

INSTALL = "./isaaclab.sh -p -m pip install -c requirements.lock -e '.[cluster]'"

_PATIENCE_S = 0.5
_CLOSING_S = 5.0


class Cluster:
    """A Ray cluster that this process has joined."""

    def __init__(self, address: str) -> None:
        """Join it, or start one.

        Args:
            address: ``local``, ``auto`` (the one that runs on this machine, or that ``RAY_ADDRESS`` names), or
                ``ray://HOST:PORT``.

        Raises:
            UsageError: Ray is not installed.
            IncompleteError: nobody answers, or the token is not the cluster's.
        """
        # Ray sends figures of its use to its makers unless it is told not to.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if address == LOCAL:
            # Ray listens on the machine's address: who has no token gets nothing.
            os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"] = "token", secrets.token_hex(32)
        try:
            import ray  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise UsageError(f"--cluster needs Ray; install it with {INSTALL}") from None
        where: dict[str, Any] = {"include_dashboard": False} if address == LOCAL else {"address": address}
        try:
            ray.init(log_to_driver=False, logging_level="ERROR", **where)
        except (ConnectionError, TimeoutError, RuntimeError, ValueError) as error:
            raise IncompleteError(f"--cluster {address}: no cluster answers: {_first_line(error)}") from error
        self.ray = ray

    def slots(self, device: str, threads: int) -> int:
        """How many workers with ``threads`` on ``device`` find room at once on its nodes.

        Raises:
            UsageError: not one does.
        """
        rooms = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        places = [int(room.get("CPU", 0)) // threads for room in rooms]
        if device.startswith("cuda"):
            places = [min(n, int(room.get("GPU", 0))) for n, room in zip(places, rooms, strict=True)]
        if not sum(places):
            wanted = f"{threads} CPUs" + (" and a GPU" if device.startswith("cuda") else "")
            raise UsageError(f"no node of the cluster has {wanted}, which a worker takes; its nodes: {len(rooms)}")
        return sum(places)

    def stow(self, cargo: Sequence[Cargo]) -> list[Stowed]:
        """Put ``cargo`` into the object store, equal contents once; a node fetches each when a worker there needs it.

        Raises:
            UsageError: a file is not what the run has loaded.
        """
        stored: dict[str, Any] = {}
        for file in cargo:
            if file.sha256 not in stored:
                stored[file.sha256] = self.ray.put(file.read())
        return [Stowed(file.name, file.sha256, stored[file.sha256]) for file in cargo]

    def close(self) -> None:
        """Leave it; one that was started for this run ends."""
        self.ray.shutdown()


@dataclass(frozen=True)
class Stowed:
    """A file in a cluster's object store."""

    name: str
    """Below a node's copy of the run."""
    sha256: str
    reference: Any
    """Ray's."""


@dataclass(frozen=True)
class Errand:
    """What a worker is to run, and what it takes."""

    module: str
    """The worker's program."""
    arguments: Sequence[str]
    """After the folder of the run."""
    environment: Mapping[str, str]
    threads: int
    """CPUs that it takes."""
    gpus: int
    """0 or 1."""
    to_start: Sequence[str]
    """Names, below the run's directory, of the files that it reads before its first task."""
    needed_by: Callable[[str], Sequence[str]]
    """Names of the files that a task reads."""
    left_by: Callable[[str], Sequence[str]]
    """Names of the files that a task leaves behind, its mark of completion last."""
    stowed: Sequence[Stowed] = ()
    """What it reads from outside the run's directory."""


class RemoteWorker(Worker):
    """A worker on whatever node has room for it."""

    def __init__(
        self,
        cluster: Cluster,
        errand: Errand,
        run_dir: Path,
        log: Path,
    ) -> None:
        """Ask for a place.

        Args:
            cluster: Where.
            errand: What for.
            run_dir: The run's directory on this machine.
            log: Where goes what workers print.
        """
        output, self._mouth = os.pipe()
        super().__init__(output)
        self._cluster, self._errand, self._run_dir, self._log = cluster, errand, run_dir, log
        self._sent: set[str] = set()
        self._tasks: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._code = 1
        self._closed = False
        self._placed = False
        """It has answered, so it has a place."""
        # Its own, so that a pool that hears another worker is not kept waiting.
        self._thread = threading.Thread(target=self._talk, daemon=True)
        self._thread.start()

    def _pass_on(self, task: str) -> None:
        self._tasks.put(task)

    def exit_code(self) -> int:
        """As ``Worker``."""
        return self.end()

    def end(self) -> int:
        """As ``Worker``; what is not known of a lost node is 1."""
        self._stopped.set()
        self._thread.join(3 * _CLOSING_S)
        if not self._closed:  # its number may be another file's by now
            self._closed = True
            os.close(self.output)
        return self._code

    def _talk(self) -> None:
        """Pass on what the worker says, until it ends."""
        errand, ray = self._errand, self._cluster.ray
        host: Any = None
        try:
            actor = ray.remote(Host).options(num_cpus=errand.threads, num_gpus=errand.gpus, max_restarts=0)
            host = actor.remote()
            for file in errand.stowed:
                # Ray hands a method's own arguments over as what they refer to.
                self._ask(host.receive.remote(file.name, file.sha256, file.reference))
            self._ask(host.take.remote(self._files(errand.to_start)))
            self._ask(host.start.remote(errand.module, list(errand.arguments), dict(errand.environment)))
            self._serve(host)
        except ray.exceptions.RayTaskError as error:
            self._say({"failed": f"on its node: {in_one_line(error.cause)}", "out_of_memory": False})
        except ray.exceptions.RayError as error:
            self._say({"failed": f"its node or its place on it is lost: {_first_line(error)}", "out_of_memory": False})
        except (OSError, RuntimeError) as error:  # of this machine: files that cannot be read or kept, Ray gone
            self._say({"failed": f"{type(error).__name__}: {error}", "out_of_memory": False})
        finally:
            try:
                if host is not None:
                    self._leave(host)
            finally:
                os.close(self._mouth)

    def _serve(self, host: Any) -> None:
        while not self._stopped.is_set():
            with suppress(queue.Empty):
                task = self._tasks.get_nowait()
                self._ask(host.give.remote(task, self._files(self._errand.needed_by(task))))
            messages = self._ask(host.hear.remote(_PATIENCE_S))
            if messages is None:
                self._code = self._ask(host.exit_code.remote())
                return
            for message in messages:
                if "done" in message:
                    self._keep(self._ask(host.results.remote(self._errand.left_by(message["done"]))))
                self._say(message)

    def _ask(self, answer: Any) -> Any:
        """Wait for ``answer``; a place that is still to be found is no silence."""
        while not self._cluster.ray.wait([answer], timeout=_PATIENCE_S)[0]:
            if self._stopped.is_set():
                raise self._cluster.ray.exceptions.RayError("no longer asked for")
            if not self._placed:
                self.heard = time.monotonic()
        self._placed = True
        return self._cluster.ray.get(answer)

    def _say(self, message: Mapping[str, Any]) -> None:
        with suppress(OSError):  # nobody listens any more
            os.write(self._mouth, json.dumps(message).encode() + b"\n")

    def _files(self, names: Sequence[str]) -> Files:
        """Those of ``names`` that are there and that it has not got yet."""
        fresh = [name for name in names if name not in self._sent and (self._run_dir / name).is_file()]
        self._sent.update(fresh)
        return {name: (self._run_dir / name).read_bytes() for name in fresh}

    def _keep(self, files: Files) -> None:
        for name, content in files.items():
            write_bytes_atomic(self._run_dir / name, content)

    def _leave(self, host: Any) -> None:
        ray = self._cluster.ray
        with suppress(ray.exceptions.RayError, OSError):
            ready, _ = ray.wait([text := host.log.remote()], timeout=_CLOSING_S)
            if ready:
                with self._log.open("ab") as log:
                    log.write(ray.get(text))
            ray.wait([host.close.remote()], timeout=_CLOSING_S)
        with suppress(ray.exceptions.RayError):
            ray.kill(host)


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
