"""Runs one small real run in one process, by workers, in shards and on a cluster; run by hand, not collected as a test.

    python tests/faults/whoever_runs.py [--out DIR] [--only workers-2,shards,cluster]

By 1, 2 and 4 workers; in shards 1/3 to 3/3, merged after E1 and after the round; and on two Ray nodes on this machine,
one of which is killed when a third of the units is done (needs the extra ``[cluster]``).  Table, summary, memories and
report must be the same bytes (the report when it is told the same clocks), and ``scripts/verify_run.py`` find nothing.
Exit code 1 where that does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from run_evidence import differences
from started import ROOT, started

from flow_rag_vla.benchmark.scoring import run_files

SETTINGS = (
    *("--scenarios", "16", "--num_envs", "4", "--seed", "2", "--device", "cpu"),
    *("max_steps=32", "split=development", "threads=1"),
)
"""18 units: 4 of E1, then 7 of each arm."""
SHARDS = 3


def _run(out: Path, *arguments: str) -> Path:
    """The directory of a run in ``out`` that ``arguments`` ask for."""
    out.mkdir(parents=True, exist_ok=True)
    given = arguments if "--resume" in arguments else (*SETTINGS, "--out", str(out), *arguments)
    process = started(given, out / "console.txt")
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{' '.join(arguments)} ended with exit code {process.exitcode}: {out / 'console.txt'}")
    return _made_in(out)


def _made_in(out: Path) -> Path:
    (manifest,) = out.glob(f"*/{run_files.MANIFEST}")
    return manifest.parent


def _by_workers(number: int) -> Callable[[Path], tuple[Path, str]]:
    return lambda out: (_run(out, "--workers", str(number)), "")


def _in_shards(out: Path) -> tuple[Path, str]:
    """Two passes: E1, then the round that needs its memory."""
    names = [f"{number}/{SHARDS}" for number in range(1, SHARDS + 1)]
    shards = [_run(out / f"e1-{i}", "--shard", name) for i, name in enumerate(names)]
    between = _merge(shards, out / "between")
    copies = [shutil.copytree(between, out / f"round-{i}" / "run") for i in range(SHARDS)]
    for copy, name in zip(copies, names, strict=True):
        _run(copy.parent, "--resume", str(copy), "--shard", name)
    shares = [sum(1 for _ in shard.glob(f"units/*/{run_files.DONE}")) for shard in (*shards, *copies)]
    return _merge(copies, out / "merged"), f"units done in each: {shares}"


def _merge(shards: list[Path], target: Path) -> Path:
    subprocess.run(
        [sys.executable, str(ROOT / "scripts/merge.py"), *map(str, shards), "--out", str(target)], check=True
    )
    return target


def _on_a_cluster(out: Path) -> tuple[Path, str]:
    """One of two nodes is killed midway; its unit is tried again on the other."""
    with _two_nodes() as lose_one:
        out.mkdir(parents=True)
        ended = threading.Event()
        lost: list[int] = []

        def lose_midway() -> None:
            while not ended.wait(0.05):
                done = len(list(out.glob(f"*/units/*/{run_files.DONE}")))
                if done >= 6:
                    lost.append(done)
                    lose_one()
                    return

        watcher = threading.Thread(target=lose_midway)
        watcher.start()
        command = [
            sys.executable,
            str(ROOT / "scripts/benchmark.py"),
            *SETTINGS,
            "--out",
            str(out),
            "--cluster",
            "auto",
        ]
        try:
            with (out / "console.txt").open("wb") as console:
                subprocess.run(command, stdout=console, stderr=console, check=True)
        finally:
            ended.set()
            watcher.join()
    run_dir = _made_in(out)
    incidents = json.loads((run_dir / run_files.INCIDENTS).read_text(encoding="utf-8"))["incidents"]
    told = [f"{incident['task']}: {incident['what']}, {incident['answer']}" for incident in incidents]
    return run_dir, f"a node was killed when {lost[0]} units were done; incidents: {told}"


@contextmanager
def _two_nodes() -> Iterator[Callable[[], None]]:
    """A Ray cluster of two nodes with a CPU each, on this machine; yields what kills the second."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster as Nodes  # pyright: ignore[reportMissingImports]

    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = nodes.add_node(num_cpus=1)
    os.environ["RAY_ADDRESS"] = str(nodes.address)
    try:
        yield lambda: nodes.remove_node(second, allow_graceful=False)
    finally:
        nodes.shutdown()


WAYS: dict[str, Callable[[Path], tuple[Path, str]]] = {
    "workers-1": _by_workers(1),
    "workers-2": _by_workers(2),
    "workers-4": _by_workers(4),
    "shards": _in_shards,
    "cluster": _on_a_cluster,
}
"""The first is what the others are compared with."""


def main() -> int:
    """Run all; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", default=",".join(WAYS), help="of these; what --out has already is compared, too")
    arguments = parser.parse_args()
    out: Path = arguments.out or Path(tempfile.mkdtemp(prefix="flow_rag_vla_whoever_"))
    wanted, reference, code = arguments.only.split(","), out / "workers-1.run", 0
    for name, way in WAYS.items():
        if name not in wanted:
            continue
        since = time.monotonic()
        run_dir, told = way(out / name)
        if name == "workers-1":
            reference.symlink_to(run_dir)
        found = [] if name == "workers-1" else list(differences(run_dir, reference, out / "scratch"))
        verify = [sys.executable, str(ROOT / "scripts/verify_run.py"), str(run_dir)]
        verified = subprocess.run(verify, capture_output=True, text=True, check=False)
        code |= bool(found or verified.returncode)
        sound = verified.stdout.strip().removeprefix(f"{run_dir}: ")
        same = "the reference" if name == "workers-1" else f"differs in {found}" if found else "the same bytes"
        print(f"{name}: {same}; {sound}; {time.monotonic() - since:.0f} s; {told}", flush=True)
    return code


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
