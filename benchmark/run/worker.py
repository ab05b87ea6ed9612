"""A worker process of a run: builds the simulator once, then runs the units that its parent names, a line each.

Started by ``attached``, so that it ends with its parent.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.workers.pool import failure_message
from flow_rag_vla.benchmark.workers.unit_queue import PROBE
from flow_rag_vla.tasks.physics.quiet import quiet_console

HEARTBEAT_S = 0.5


class _Voice:
    """What the parent hears."""

    def __init__(self, pipe: TextIO) -> None:
        self._pipe, self._last = pipe, 0.0

    def say(self, **message: object) -> None:
        self._pipe.write(json.dumps(message) + "\n")
        self._pipe.flush()

    def heartbeat(self, ended: int) -> None:
        """``ended`` episodes of the unit have ended; said now and then only."""
        now = time.monotonic()
        if now - self._last > HEARTBEAT_S:
            self._last = now
            self.say(ended=ended)


def main(argv: Sequence[str]) -> int:
    """Serve the parent until it closes the pipe; returns 0 then, 1 after an error, which has been said."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--device", required=True)
    parser.add_argument("--num_envs", type=int, required=True)
    parser.add_argument("--weights", help="folder in the run's that holds its networks, where their own paths do not")
    arguments = parser.parse_args(argv)
    with quiet_console(arguments.run / run_files.LOG) as pipe:
        voice = _Voice(pipe)
        try:
            _serve(arguments, voice)
        except Exception as error:
            traceback.print_exc()
            voice.say(**failure_message(error))
            return 1
    return 0


def _serve(arguments: argparse.Namespace, voice: _Voice) -> None:
    # Late: these load torch and the simulator, whose words belong into the log.
    from flow_rag_vla.benchmark.run.resume import reopened
    from flow_rag_vla.benchmark.run.waiting_units import opened_bench

    weights = None if arguments.weights is None else arguments.run / arguments.weights
    run = reopened(str(arguments.run), arguments.device, weights)
    units = {unit.id: unit for unit in run.plan.units}
    with open(os.devnull, "w") as nowhere, opened_bench(run, run.barriers(), nowhere, arguments.num_envs) as bench:
        voice.say(ready=True)
        for line in iter(sys.stdin.readline, ""):
            task = line.strip()
            if task == PROBE:
                bench.time_decisions()
            else:
                bench.run(units[task], voice.heartbeat)
            voice.say(done=task)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
