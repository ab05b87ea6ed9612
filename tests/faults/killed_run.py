"""One small real run as its user sees it: started, watched, killed at an instant that was drawn, resumed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from multiprocessing.process import BaseProcess
from pathlib import Path

from processes import family, kill, mentioning, seconds_until_gone, workers
from run_evidence import ASIDE, Evidence
from started import started

from flow_rag_vla.benchmark.scoring import run_files

SETTINGS = (
    *("scenarios=24", "num_envs=8", "block=16", "max_steps=48"),
    *("seed=1", "split=development", "device=cpu", "threads=1"),
)
GONE_WITHIN_S = 10.0
"""All that a killed process had started."""
_LOOK_S = 0.001
_STILLS = "playing the commonest repeated failure"
"""What a run says when all units are done."""


class Kind(StrEnum):
    """Who or what is hit."""

    WORKER = "worker"
    PARENT = "parent"
    GROUP = "group"
    """The parent and all that it has started, at once."""
    BARRIER = "barrier"
    """While a round's lessons are merged into a memory."""
    TABLE = "table"
    """While rows are merged into the table, and scored."""
    STILLS = "stills"
    """From the end of the last unit to the end of the first report."""
    REPORT = "report"
    """While figures and pages are written."""


@dataclass(frozen=True)
class Pace:
    """How long the parts of an uninterrupted run take, s."""

    begin: float
    """From its directory's making to its first unit's end."""
    units: float
    """From there to the last unit's end."""
    stills: float
    """From the last merge to the report's page."""
    report: float
    """From the scores to the report's page."""


@dataclass
class KilledRun:
    """A run in a folder of its own, and what it has acknowledged."""

    out: Path
    pace: Pace
    rng: random.Random
    tell: Callable[[str], None]
    faults: list[str] = field(default_factory=list)
    kept: Evidence = field(default_factory=lambda: Evidence(frozenset(), {}))
    """All that was on disk at any kill."""
    slowest_end_s: float = 0.0
    """Of what a killed process had started."""
    _num_workers: int = 2
    _said: int = 0
    """Bytes of the console that earlier starts had said."""
    _process: BaseProcess | None = None

    @property
    def run_dir(self) -> Path | None:
        """Where it lies; None before it has begun."""
        begun = sorted(self.out.glob(f"*/{run_files.MANIFEST}"))
        return begun[0].parent if begun else None

    @property
    def is_merged(self) -> bool:
        """Whether its last memory has been merged, so that no barrier is ahead."""
        return bool(list(self.out.glob(f"*/{run_files.MEMORIES}/r1-*/{run_files.MERGED}")))

    @property
    def is_over(self) -> bool:
        """Whether its report has been written."""
        return bool(list(self.out.glob(f"*/{run_files.REPORT_HTML}")))

    @property
    def console(self) -> Path:
        """What it has said."""
        return self.out / "console.txt"

    def start(self, num_workers: int) -> None:
        """Start it, or resume it."""
        self.out.mkdir(parents=True, exist_ok=True)
        launch = ["--workers", str(num_workers)]
        if self.run_dir is None:
            launch += ["--out", str(self.out), "--ablation", "parallel", *SETTINGS]
        else:
            launch += ["--resume", str(self.run_dir)]
        self._said = self.console.stat().st_size if self.console.exists() else 0
        self._process = started(launch, self.console)
        self._num_workers = num_workers

    def finish(self, within_s: float = 900.0) -> int:
        """Wait for its end, which is ended where it does not come; returns the exit code."""
        if self._process is None:
            raise RuntimeError("it has not been started")
        self._process.join(within_s)
        if self._process.exitcode is None:
            self.faults.append(f"had not ended after {within_s:.0f} s")
            kill(family(self._pid))
            self._process.join()
        return self._process.exitcode or 0

    def hit(self, kind: Kind) -> bool:
        """Kill it as ``kind`` says, at an instant that is drawn; False where it has ended before that came."""
        if not self._wait_for(kind):
            return False
        processes = family(self._pid)
        if kind is Kind.WORKER:
            return self._hit_worker()
        alone = kind is Kind.PARENT or (kind is not Kind.GROUP and self.rng.random() < 0.5)
        before = self._evidence()
        kill(processes[:1] if alone else processes)
        self.finish()
        try:
            all_of_it = [*processes, *mentioning(str(self.out))]
            self.slowest_end_s = max(self.slowest_end_s, seconds_until_gone(all_of_it, GONE_WITHIN_S))
        except TimeoutError as error:
            self.faults.append(f"{kind}: {error}")
        self._check(kind, before)
        return True

    def _hit_worker(self) -> bool:
        there = workers(family(self._pid))
        if not there:
            return False
        before = self._evidence()
        kill([self.rng.choice(there)])
        self._check(Kind.WORKER, before)
        return True

    def _check(self, kind: Kind, before: Evidence | None) -> None:
        """Nothing that was there before the kill is gone; what is there now is acknowledged, too."""
        if self.run_dir is None or before is None:
            return
        self.faults += [f"{kind}: {lost}" for lost in before.lost_in(self.run_dir)]
        self.kept = self.kept | before | (self._evidence() or before)

    def _evidence(self) -> Evidence | None:
        """None before the run has begun; a unit that is set aside meanwhile is looked for again."""
        while (run_dir := self.run_dir) is not None:
            try:
                return Evidence.of(run_dir)
            except FileNotFoundError:
                continue
        return None

    def _wait_for(self, kind: Kind) -> bool:
        """Wait until the instant to hit; False where the process has ended before."""
        draw, units_s = self.rng.uniform, self.pace.units * self._share_left()
        match kind:
            case Kind.PARENT | Kind.GROUP if not units_s or draw(0.0, 1.0) < 0.5:
                return self._sleep(draw(0.0, self.pace.begin + units_s))
            case Kind.PARENT | Kind.GROUP | Kind.WORKER:
                return self._until(self._touched("units/*")) and self._sleep(draw(0.0, units_s))
            case Kind.BARRIER:
                return self._until(self._touched("memories/*")) and self._sleep(draw(0.0, 0.05))
            case Kind.STILLS:
                return self._until(self._stills, look_s=0.02) and self._sleep(draw(0.0, 0.8 * self.pace.stills))
            case Kind.TABLE:
                return self._until(self._touched("merged")) and self._sleep(draw(0.0, 0.06))
            case Kind.REPORT:
                return self._until(self._touched(run_files.TIMING)) and self._sleep(draw(0.0, 0.8 * self.pace.report))

    def _touched(self, pattern: str) -> Callable[[], bool]:
        """Whether a file or folder called ``pattern`` is new or has changed; setting units aside does not count."""
        before = self._stamps(pattern)
        return lambda: any(stamp != before.get(path) for path, stamp in self._stamps(pattern).items())

    def _stamps(self, pattern: str) -> dict[Path, int]:
        stamps = {}
        for path in self.out.glob(f"*/{pattern}"):
            with suppress(FileNotFoundError):
                if ASIDE not in path.name:
                    stamps[path] = path.stat().st_mtime_ns
        return stamps

    def _stills(self) -> bool:
        with self.console.open("rb") as console:
            console.seek(self._said)
            return _STILLS.encode() in console.read()

    def _until(self, came: Callable[[], bool], look_s: float = _LOOK_S) -> bool:
        while not came():
            if self._process is None or not self._process.is_alive():
                return False
            time.sleep(look_s)
        return True

    def _sleep(self, seconds: float) -> bool:
        if self._process is None:
            return False
        self._process.join(seconds)
        return self._process.is_alive()

    def _share_left(self) -> float:
        """Of its units, those that are not done."""
        run_dir = self.run_dir
        if run_dir is None:
            return 1.0
        planned = (run_dir / run_files.PLAN).read_text(encoding="utf-8").count('"unit": ')
        done = len(list(run_dir.glob(f"units/*/{run_files.DONE}")))
        return 1.0 - done / planned if planned else 1.0

    @property
    def _pid(self) -> int:
        return -1 if self._process is None else self._process.pid or -1
