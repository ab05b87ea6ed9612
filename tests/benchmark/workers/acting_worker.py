"""A worker without a simulator, which does to each unit what its name asks for; started by ``test_pool``.

Arguments: folder, number of environments, process id of the parent if it is not ``attached`` to it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from flow_rag_vla.benchmark.command.attached import end_with


def say(**message: object) -> None:
    print(json.dumps(message), flush=True)


def main(folder: Path, num_envs: int, parent: int | None = None) -> None:
    if parent is not None:
        end_with(parent)
    say(ready=True)
    for line in iter(sys.stdin.readline, ""):
        task = line.strip()
        tried = folder / task
        first = not tried.exists()
        with tried.open("a") as file:
            file.write(f"{os.getpid()} {num_envs}\n")
        if "crash" in task or ("once" in task and first):
            os.kill(os.getpid(), 9)
        if "hang" in task:
            time.sleep(100.0)
        if "slow" in task:
            time.sleep(float(os.environ["ACTING_SLOW_S"]))
        if "large" in task and num_envs > 2:
            say(failed="OutOfMemoryError: CUDA out of memory", out_of_memory=True)
            return
        say(ended=1)
        say(done=task)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
