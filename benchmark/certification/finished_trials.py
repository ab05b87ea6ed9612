"""How trials ended, kept in a file until the certificate is there: a certification that was cut goes on."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_rag_vla.benchmark.certification.certify import Ended, Trial, run_trials
from flow_rag_vla.benchmark.command.atomic_files import to_json_bytes
from flow_rag_vla.benchmark.command.provenance import code_sha256

if TYPE_CHECKING:
    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv


class _Episode(NamedTuple):
    """What decides how a trial ends; under which key it is counted does not."""

    scenario: str
    actor: str
    num_substeps: int | None


class FinishedTrials:
    """Runs the trials that have not ended yet and remembers how all did."""

    def __init__(self, path: Path, world: Mapping[str, object]) -> None:
        """Reads what ``path`` holds, if it is there.

        Args:
            path: One JSON object a line: what outcomes hang on, then an episode each.
            world: What outcomes hang on beside scenario, actor and time step: JSON-able.

        Raises:
            ValueError: the file was made in another world, or a line of it is none of ours.
        """
        self.path = path
        self._world = json.loads(to_json_bytes(world))
        self._code = code_sha256()
        self.by_other_code = False
        """Some of what it holds was played by other code, which may play the same."""
        self._ended: dict[_Episode, dict[str, Any]] = {}
        if path.is_file():
            self._read()

    def __len__(self) -> int:
        """Episodes that have ended."""
        return len(self._ended)

    def run(
        self,
        trials: Sequence[Trial],
        fleet: Callable[[int], ManipulationEnv],
        on_trials: Callable[[int], None],
        num_substeps: int | None = None,
    ) -> list[Ended]:
        """How each of ``trials`` ended; an episode of two trials, or one that ended before, runs once.

        Args:
            trials: In any order.
            fleet: Makes one for so many trials; not asked for where none is missing.
            on_trials: Called with how many have ended.
            num_substeps: Of ``fleet``, where they are not the usual ones.
        """
        episodes = [_Episode(trial.scenario.id, str(trial.actor), num_substeps) for trial in trials]
        missing = {
            episode: trial for episode, trial in zip(episodes, trials, strict=True) if episode not in self._ended
        }
        if missing:
            before = len(trials) - len(missing)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(fleet(len(missing))) as env, self.path.open("a", encoding="utf-8") as file:
                if not file.tell():
                    file.write(json.dumps({**self._world, "code": self._code}) + "\n")
                ends = run_trials(env, list(missing.values()), lambda n: on_trials(before + n))
                for episode, end in zip(missing, ends, strict=True):
                    how = {name: value for name, value in vars(end).items() if name != "trial"}
                    self._ended[episode] = how
                    file.write(json.dumps(episode._asdict() | _finite(how)) + "\n")
                    file.flush()
        on_trials(len(trials))
        return [Ended(trial, **self._ended[episode]) for trial, episode in zip(trials, episodes, strict=True)]

    def forget(self) -> None:
        """Remove the file: its outcomes have gone into a certificate."""
        self.path.unlink(missing_ok=True)

    def _read(self) -> None:
        names = {field.name for field in dataclasses.fields(Ended)} - {"trial"}
        head, *lines = self.path.read_bytes().split(b"\n")
        made_in = _object(head, f"{self.path}:1") if lines else self._world
        self.by_other_code = bool(lines) and made_in.get("code") != self._code
        if different := [name for name, value in self._world.items() if made_in.get(name) != value]:
            theirs, ours = made_in.get(different[0]), self._world[different[0]]
            raise ValueError(f"{self.path} was made with {different[0]} {theirs}, got {ours}; remove it to start anew")
        for number, line in enumerate(lines[:-1], start=2):
            row = _object(line, f"{self.path}:{number}")
            if row.keys() != {*_Episode._fields, *names}:
                expected = ", ".join(sorted({*_Episode._fields, *names}))
                raise ValueError(f"{self.path}:{number}: expected {expected}; got {', '.join(sorted(row))}")
            how = {name: math.nan if row[name] is None else row[name] for name in names}
            self._ended[_Episode(*(row[name] for name in _Episode._fields))] = how
        # An interrupted write left a last line without an end: its episode runs again.
        unfinished = len(lines[-1] if lines else head)
        if unfinished:
            with self.path.open("r+b") as file:
                file.truncate(self.path.stat().st_size - unfinished)


def _finite(how: Mapping[str, Any]) -> dict[str, Any]:
    """JSON knows no NaN: what the physics gave no number for is null."""
    return {name: value if math.isfinite(value) else None for name, value in how.items()}


def _object(line: bytes, place: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{place}: not valid JSON: {error}; remove the file to start anew") from None
    if not isinstance(value, dict):
        raise ValueError(f"{place}: holds a JSON {type(value).__name__}, expected an object")
    return value
