"""Who runs a run's units: nothing of it changes a result, so it is no setting of the run."""

from __future__ import annotations

import os
from dataclasses import dataclass

from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.workers.shard import Shard

LOCAL = "local"
"""A Ray cluster of this machine alone, for as long as the run goes on."""


@dataclass(frozen=True)
class Launch:
    """Flags as they were given."""

    workers: str = "1"
    """A number or ``auto``."""
    devices: tuple[str, ...] = ()
    """One worker each; empty for ``workers`` on the run's device."""
    cluster: str | None = None
    """``local``, ``auto`` or ``ray://HOST:PORT``: workers run where Ray finds room."""
    shard: Shard | None = None
    """The only units to run; None for all."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: naming what was got and what is expected.
        """
        digits = self.workers.isascii() and self.workers.isdigit() and 0 < len(self.workers) <= 4
        if self.workers != "auto" and not (digits and int(self.workers) > 0):
            raise UsageError(f"--workers got {self.workers!r}, expected a number from 1 to 9999 or auto")
        if self.devices and self.workers not in ("1", "auto", str(len(self.devices))):
            raise UsageError(f"--workers {self.workers} with {len(self.devices)} --devices: expected one worker each")
        if self.cluster is not None and self.devices:
            raise UsageError("--devices names devices of this machine; with --cluster, Ray gives each worker its own")
        address = self.cluster in (None, LOCAL, "auto") or str(self.cluster).startswith("ray://")
        if not address:
            raise UsageError(f"--cluster got {self.cluster!r}, expected local, auto or ray://HOST:PORT")
        if len(set(self.devices)) < len(self.devices):
            raise UsageError(f"--devices {','.join(self.devices)}: expected each once")

    @property
    def in_this_process(self) -> bool:
        """Whether no other process is asked for."""
        return self.workers == "1" and not self.devices and self.cluster is None

    def require_shardable(self, latency: str, *, measured: bool) -> None:
        """Refuse shards that would each simulate a latency of their own, of a run with that ``latency``.

        Raises:
            UsageError: it is to be measured, and nobody has ``measured`` it yet.
        """
        if self.shard is not None and latency == "measured" and not measured:
            raise UsageError(
                f"--shard {self.shard} with latency=measured: every shard would measure and simulate its own; "
                "give milliseconds, seed or off"
            )

    def devices_of_workers(self, device: str, threads: int) -> list[str]:
        """The device of each worker of a run on ``device`` whose torch has ``threads``.

        Raises:
            UsageError: a device is not there.
        """
        if self.devices:
            import torch  # late: the flags of a run in one process need it not

            there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
            for name in self.devices:
                if name not in there:
                    raise UsageError(f"--devices {name}: no such device here; available: {', '.join(there)}")
            if any(name.partition(":")[0] != device.partition(":")[0] for name in self.devices):
                raise UsageError(
                    f"--devices {','.join(self.devices)}: expected devices like the run's, which is {device}"
                )
            return list(self.devices)
        if self.workers != "auto":
            return [device] * int(self.workers)
        if device.startswith("cuda"):
            return [device]
        return [device] * max(1, len(os.sched_getaffinity(0)) // threads)
