"""Kills small real runs again and again at random instants, and resumes them; run by hand, not collected as a test.

    python tests/faults/kill_runs.py [--rounds 5] [--seed 0] [--out DIR] [--undisturbed DIR]

Each of ``--rounds`` runs is killed twenty times (a kind that finds nothing to hit has its turn in a later run): parent
and whole group three times each, at instants drawn evenly (a coin decides) from the start, or from the first new unit,
to the end of what is left of its units; one of two workers twice; once while lessons are merged into a memory and once
between the last merge and the report; five times each while rows are merged and scored, and while figures and pages
are written (of these four the parent alone or the whole group is hit).  A start has one process, or (all that workers
are killed in, and a quarter of the others) two workers.
Then it is resumed to its end and compared with a run that nobody disturbed: every row that was on disk at a kill is
there and counted exactly once, what was done is not run again, no process outlives a killed parent by 10 s, table,
summary, memories and report are the same bytes (the report when it is told the same clocks), and
``scripts/verify_run.py`` finds nothing.  Exit code 1 where any of that does not hold.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from killed_run import KilledRun, Kind, Pace
from run_evidence import Evidence, counted_wrongly, differences, leftovers
from started import ROOT

from flow_rag_vla.benchmark.scoring import run_files

EACH_RUN = {
    Kind.PARENT: 3,
    Kind.GROUP: 3,
    Kind.WORKER: 2,
    Kind.BARRIER: 1,
    Kind.STILLS: 1,
    Kind.TABLE: 5,
    Kind.REPORT: 5,
}
_ANYWHERE = (Kind.PARENT, Kind.GROUP)


def tell(line: str) -> None:
    """A line, with the time."""
    print(time.strftime("%H:%M:%S"), line, flush=True)


def undisturbed(out: Path) -> tuple[Path, Pace]:
    """A whole run in ``out``, made where there is none, and how long its parts take."""
    run = KilledRun(out, Pace(0.0, 0.0, 0.0, 0.0), random.Random(), tell)
    code = 0
    if not run.is_over:
        run.start(1)
        code = run.finish()
    if code or (run_dir := run.run_dir) is None:
        raise RuntimeError(f"a run that nobody disturbs ends with {code}: {run.console}")

    def written(name: str) -> float:
        return max(path.stat().st_mtime for path in run_dir.glob(name))

    units = [path.stat().st_mtime for path in run_dir.glob(f"units/*/{run_files.DONE}")]
    merged, scored, shown = map(written, (f"memories/*/{run_files.MERGED}", run_files.TIMING, run_files.REPORT_HTML))
    begun = written(run_files.MANIFEST)
    return run_dir, Pace(min(units) - begun, max(units) - min(units), shown - merged, shown - scored)


def torment(run: KilledRun, left: Counter[Kind]) -> Counter[Kind]:
    """Kill and resume ``run`` until it has had its share of what is ``left``; returns how often it was hit."""
    share = [kind for kind, most in EACH_RUN.items() for _ in range(min(most, left[kind]))]
    first = [kind for kind in share if kind in _ANYWHERE]
    run.rng.shuffle(first)
    if Kind.BARRIER in share:
        first.insert(run.rng.randint(0, len(first)), Kind.BARRIER)
    then = [kind for kind in share if kind in (Kind.STILLS, Kind.TABLE, Kind.REPORT)]
    waiting, hits = share.count(Kind.WORKER), Counter[Kind]()
    for kind in [*first, *then]:
        if run.is_over or (kind is Kind.BARRIER and run.is_merged):
            continue
        run.start(2 if kind is Kind.BARRIER or (kind in _ANYWHERE and run.rng.random() < 0.25) else 1)
        while kind is Kind.BARRIER and waiting and run.hit(Kind.WORKER):
            waiting -= 1
            hits[Kind.WORKER] += 1
            tell("  worker")
        if run.hit(kind):
            hits[kind] += 1
            tell(f"  {kind}: {_state(run)}")
        elif code := run.finish():
            run.faults.append(f"{kind}: ended by itself with exit code {code}")
        else:
            tell(f"  {kind}: it had ended before")
    return hits


def _state(run: KilledRun) -> str:
    if (run_dir := run.run_dir) is None:
        return "not yet begun"
    evidence = Evidence.of(run_dir)
    results = (run_files.MERGED_EPISODES, run_files.SUMMARY, run_files.REPORT_HTML)
    there = [name for name in results if (run_dir / name).is_file()]
    return f"{len(evidence.rows)} rows on disk, {len(evidence.done)} units done, {', '.join(there) or 'no results'}"


def conclude(run: KilledRun, reference: Path, scratch: Path) -> None:
    """Resume ``run`` to its end and note what does not hold."""
    run.start(1)
    code, run_dir = run.finish(), run.run_dir
    if code or run_dir is None:
        run.faults.append(f"the last resume ended with {code}: {run.console}")
        return
    run.faults += [*run.kept.lost_in(run_dir), *counted_wrongly(run_dir, run.kept.rows)]
    run.faults += differences(run_dir, reference, scratch)
    verify = [sys.executable, str(ROOT / "scripts/verify_run.py"), str(run_dir)]
    verified = subprocess.run(verify, capture_output=True, text=True, check=False)
    if verified.returncode:
        run.faults.append(f"verify_run ends with {verified.returncode}: {verified.stdout}{verified.stderr}")
    tell(f"  {verified.stdout.strip()}; left behind: {leftovers(run_dir)}; slowest end {run.slowest_end_s:.3f} s")


def main() -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--undisturbed", type=Path, help="where the run that nobody disturbs is, or is to be made")
    arguments = parser.parse_args()
    out: Path = arguments.out or Path(tempfile.mkdtemp(prefix="flow_rag_vla_kills_"))
    since = time.monotonic()
    reference, pace = undisturbed(arguments.undisturbed or out / "undisturbed")
    tell(f"undisturbed: {reference}, {pace}")
    left = Counter({kind: count * arguments.rounds for kind, count in EACH_RUN.items()})
    hits, faults, number, rows = Counter[Kind](), [], 0, 0
    while left.total() and number < 2 * arguments.rounds:
        number += 1
        run = KilledRun(out / f"run-{number}", pace, random.Random(f"{arguments.seed}/{number}"), tell)
        tell(f"run {number}")
        now = torment(run, left)
        conclude(run, reference, out / "scratch")
        left, hits, rows = left - now, hits + now, rows + len(run.kept.rows)
        faults += [f"run {number}: {fault}" for fault in run.faults]
        tell(f"{hits.total()} kills {dict(hits)}, {rows} rows were acknowledged before one, faults: {faults or 'none'}")
    tell(f"{hits.total()} kills in {number} runs, {len(faults)} faults, {(time.monotonic() - since) / 60:.0f} minutes")
    return 1 if faults or left.total() else 0


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
