"""What a run has acknowledged, whether all of it is still there and counted once, and whether results are the same."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from flow_rag_vla.agents.files.file_hash import file_sha256
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.reports.build import build_report

CLOCKS = (run_files.MANIFEST, run_files.STARTS, run_files.INCIDENTS, run_files.TIMING, run_files.LATENCY_PROBE)
"""What may differ between equal runs: when, where and how long, and what went wrong on the way."""
ASIDE = ".interrupted-"
"""In the name of what an attempt left that did not finish."""


@dataclass(frozen=True)
class Evidence:
    """The rows and units of a run that have reached the disk."""

    rows: frozenset[bytes]
    """Whole lines, of all attempts at all units."""
    done: Mapping[str, tuple[str, str]]
    """Unit id to the hashes of its ``DONE.json`` and of its rows."""

    @classmethod
    def of(cls, run_dir: Path) -> Evidence:
        """What there is now."""
        done = {}
        for path in run_dir.glob(f"units/*/{run_files.DONE}"):
            if ASIDE not in path.parent.name:
                done[path.parent.name] = (file_sha256(path), file_sha256(path.with_name(run_files.EPISODES)))
        rows = [line for path in run_dir.glob(f"units/*/{run_files.EPISODES}") for line in _lines(path)]
        return cls(frozenset(rows), done)

    def __or__(self, other: Evidence) -> Evidence:
        """Of this and of ``other``, which was found later."""
        return Evidence(self.rows | other.rows, {**self.done, **other.done})

    def lost_in(self, run_dir: Path) -> Iterator[str]:
        """A line for whatever of it is not there any more."""
        now = Evidence.of(run_dir)
        if missing := self.rows - now.rows:
            yield f"{len(missing)} acknowledged rows are gone, such as {min(missing)!r:.200}"
        for unit, hashes in self.done.items():
            if now.done.get(unit) != hashes:
                yield f"{unit} was done, and is not what it was"


def counted_wrongly(run_dir: Path, acknowledged: frozenset[bytes]) -> Iterator[str]:
    """A line for what of ``acknowledged`` rows a finished run does not count exactly once."""
    logs = [path for path in run_dir.glob(f"units/*/{run_files.EPISODES}") if ASIDE not in path.parent.name]
    counted = Counter(line for path in logs for line in _lines(path))
    wrong = {line: counted[line] for line in acknowledged if counted[line] != 1}
    if wrong:
        line, times = next(iter(wrong.items()))
        yield f"{len(wrong)} acknowledged rows are not counted once; {times} times: {line!r:.200}"


def differences(run_dir: Path, reference: Path, scratch: Path) -> Iterator[str]:
    """A line for each file of results in which ``run_dir`` differs from ``reference``.

    Reports are compared byte by byte with what ``reference`` gives when it is told the clocks of ``run_dir``, for which
    ``scratch`` is a folder.
    """
    memories = [str(path.relative_to(reference)) for path in reference.glob(f"{run_files.MEMORIES}/*/*.sqlite")]
    for name in (run_files.PLAN, run_files.MERGED_EPISODES, run_files.SUMMARY, *memories):
        if (run_dir / name).read_bytes() != (reference / name).read_bytes():
            yield f"{name} is another one"
    twin = scratch / run_dir.name
    shutil.copytree(reference, twin)
    for name in CLOCKS:
        (twin / name).unlink(missing_ok=True)
        if (run_dir / name).is_file():
            shutil.copy2(run_dir / name, twin / name)
    build_report(twin)
    names = {path.name for folder in (twin, run_dir) for path in (folder / run_files.FIGURES).iterdir()}
    shown = [run_files.REPORT_HTML, run_files.REPORT_MARKDOWN, *(f"{run_files.FIGURES}/{name}" for name in names)]
    for name in shown:
        if not all((folder / name).is_file() for folder in (twin, run_dir)):
            yield f"{name} is not in both"
        elif (twin / name).read_bytes() != (run_dir / name).read_bytes():
            yield f"{name} is another one"
    shutil.rmtree(twin)


def leftovers(run_dir: Path) -> list[str]:
    """Files that a killed process was at: nobody reads them."""
    return sorted(str(path.relative_to(run_dir)) for path in run_dir.rglob(".*") if path.is_file())


def _lines(path: Path) -> list[bytes]:
    """Whole lines alone: what a killed write left without an end was never acknowledged."""
    return path.read_bytes().split(b"\n")[:-1]
