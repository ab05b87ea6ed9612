"""Finished runs that differ in the number of their scenarios alone."""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flow_rag_vla.benchmark.command.atomic_files import read_json_object
from flow_rag_vla.benchmark.command.errors import UsageError, usage_errors
from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.results import RunResults, read_run
from flow_rag_vla.benchmark.scoring.score import require_run
from flow_rag_vla.benchmark.scoring.summary import HARM_EXPOSURES, SCHEMA_VERSION

_MAY_DIFFER = {"scenarios", "num_envs", "block", "threads", "device", "out", "quick", "ablation", "exposures"}
"""Settings that decide how many episodes are played, and where; arms and FAR are compared by what was played."""


@dataclass(frozen=True)
class SizedRun:
    """A run by the number of scenarios in its E1."""

    scenarios: int
    results: RunResults

    @property
    def commit(self) -> str:
        """Of the code that ran, shortened."""
        commit = _part(self.results.manifest, "code", "commit")
        return commit[:7] if isinstance(commit, str) else "not recorded"


def read_sized_runs(folders: Sequence[Path]) -> list[SizedRun]:
    """The runs in ``folders``, the smallest first.

    Raises:
        UsageError: fewer than two runs, one that is not finished, damaged or of an older schema version, two of one
            size, or runs that differ in what makes numbers comparable: a line for each setting, with both values.
    """
    if len(folders) < 2:
        raise UsageError(f"got {len(folders)} run, expected two or more to put beside one another")
    runs = sorted((_read(folder) for folder in folders), key=lambda run: run.scenarios)
    if differing := list(_differing(runs)):
        raise UsageError("\n".join(differing))
    for one, other in itertools.pairwise(runs):
        if one.scenarios == other.scenarios:
            raise UsageError(
                f"{one.results.run_dir} and {other.results.run_dir} have {one.scenarios} scenarios each, "
                "expected each number once"
            )
    return runs


def _read(folder: Path) -> SizedRun:
    require_run(folder)
    if not (folder / run_files.SUMMARY).is_file():
        raise UsageError(
            f"{folder}: no {run_files.SUMMARY} there, so the run is not finished; --resume of scripts/benchmark.py "
            "finishes it"
        )
    with usage_errors(OSError):
        version = read_json_object(folder / run_files.SUMMARY).get("schema_version")
        if isinstance(version, int) and version < SCHEMA_VERSION:
            raise UsageError(
                f"{folder / run_files.SUMMARY}: schema version {version}, expected {SCHEMA_VERSION}; "
                f"{shlex.join(['scripts/report.py', str(folder)])} makes it anew"
            )
        results = read_run(folder)
    return SizedRun(results.summary.e1.n, results)


def _differing(runs: Sequence[SizedRun]) -> Iterator[str]:
    first, comparable = runs[0], [_comparable(run.results) for run in runs]
    for name in sorted({name for settings in comparable for name in settings}):
        for run, settings in zip(runs[1:], comparable[1:], strict=True):
            ours, theirs = (_said(s.get(name)) for s in (comparable[0], settings))
            if ours != theirs:
                yield (
                    f"{name} is {ours} in {first.results.run_dir} and {theirs} in {run.results.run_dir}; expected runs "
                    "that differ in --scenarios alone"
                )
                break
    yield from _differing_harm(runs)


def _differing_harm(runs: Sequence[SizedRun]) -> Iterator[str]:
    """Harm over CLEAN alone is another quantity than harm over CLEAN and CONTROL; a run without pairs has none."""
    met = [
        (run, _harm_exposures(run)) for run in runs if any(a.harm.n_pairs for a in run.results.summary.arms.values())
    ]
    for run, exposures in met[1:]:
        first, expected = met[0]
        if exposures != expected:
            yield (
                f"harm is over {expected} in {first.results.run_dir} and over "
                f"{exposures} in {run.results.run_dir}; expected the same exposures in all runs that "
                "measure it"
            )
            return


def _harm_exposures(run: SizedRun) -> str:
    arms = run.results.summary.arms.values()
    return ", ".join(e.upper() for e in HARM_EXPOSURES if any(arm.exposure(e).n > 0 for arm in arms))


def _comparable(results: RunResults) -> dict[str, object]:
    """What must be the same, dotted name to value."""
    manifest, summary = results.manifest, results.summary
    settings = manifest.get("settings")
    given = settings if isinstance(settings, dict) else {}
    flat = dict(_flattened({name: value for name, value in given.items() if name not in _MAY_DIFFER}))
    hashes = {name: value for name, value in manifest.items() if name.endswith("_sha256")}
    hashes.pop("plan_sha256", None)
    own = manifest.get("scenario_file")
    return {
        **flat,
        **hashes,
        "scenario_file.sha256": own.get("sha256") if isinstance(own, dict) else None,
        "task": summary.task,
        "physics": summary.physics,
        "arms": ",".join(sorted(summary.arms)),
        # With FAR, CLEAN and CONTROL come on new layouts, too.
        "plays FAR": any(arm.exposure(Exposure.FAR).n > 0 for arm in summary.arms.values()),
    }


def _flattened(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _said(value: object) -> str:
    if value is None or value == "":
        return "not set"
    return value if isinstance(value, str) else json.dumps(value)


def differences_to_know(runs: Sequence[SizedRun]) -> list[str]:
    """What differs between comparable runs, and may yet have its part in their numbers; a sentence each."""
    manifests = [run.results.manifest for run in runs]
    found = []
    if len({_said(_part(manifest, "code", "sha256")) for manifest in manifests}) > 1:
        found.append(f"The runs were made by different code: {_by_value(runs, [run.commit for run in runs])}.")
    versions = [_part(manifest, "versions") or {} for manifest in manifests]
    for name in sorted({name for known in versions for name in known}):
        found += _unless_same(runs, f"version of {name}", [_said(known.get(name)) for known in versions])
    return found + _unless_same(
        runs, "device", [_said(_part(manifest, "settings", "device")) for manifest in manifests]
    )


def _unless_same(runs: Sequence[SizedRun], name: str, values: Sequence[str]) -> list[str]:
    return [] if len(set(values)) == 1 else [f"The runs differ in the {name}: {_by_value(runs, values)}."]


def _by_value(runs: Sequence[SizedRun], values: Sequence[str]) -> str:
    sizes: dict[str, list[str]] = {}
    for run, value in zip(runs, values, strict=True):
        sizes.setdefault(value, []).append(str(run.scenarios))
    return ", ".join(f"{value} ({', '.join(of)} scenarios)" for value, of in sizes.items())


def _part(manifest: Mapping[str, Any], *names: str) -> Any:
    value: Any = manifest
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
