"""What decides a run's rows, by hash: rows made under one binding are never mixed with rows made under another."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flow_rag_vla.agents.files.file_hash import file_sha256
from flow_rag_vla.benchmark.command.atomic_files import read_json_object, to_json_bytes
from flow_rag_vla.benchmark.command.errors import UsageError, resume_flag
from flow_rag_vla.benchmark.command.provenance import code_state, package_versions
from flow_rag_vla.benchmark.scoring import run_files

Flat = dict[str, Any]

NOT_BOUND = ("settings.out", "settings.scenario_file")
"""Where files lie; what is in them is bound."""


def deciding(settings: Mapping[str, Any], plan_sha256: str, files: Mapping[str, str]) -> dict[str, Any]:
    """The part of a manifest that decides the rows, as this code and this machine have it.

    Args:
        settings: Resolved.
        plan_sha256: Of ``plan.jsonl``.
        files: Weights and contacts, ``NAME_sha256`` to hash.
    """
    return {
        "schema_version": run_files.MANIFEST_VERSION,
        "settings": settings,
        "plan_sha256": plan_sha256,
        "code": code_state(),
        "versions": package_versions(),
        **files,
    }


def bound(manifest: Mapping[str, Any]) -> Flat:
    """What of ``manifest`` a resume must find again, dotted name to value.

    Commit, machine and time are not in it: ``starts.json`` tells them of each start.

    Raises:
        ValueError: it is no benchmark's manifest.
    """
    hashes = {name: value for name, value in manifest.items() if name.endswith("_sha256")}
    parts = {name: manifest.get(name) for name in ("schema_version", "settings", "versions")}
    try:
        parts["code"] = {"sha256": manifest["code"]["sha256"]}
        if "scenario_file" in manifest:
            parts["scenario_file"] = {"sha256": manifest["scenario_file"]["sha256"]}
    except (KeyError, TypeError) as error:
        raise ValueError(f"is no benchmark's manifest, {error} is missing or wrong") from None
    flat = {name: value for name, value in flattened(hashes | parts).items() if name not in NOT_BOUND}
    return json.loads(to_json_bytes(flat))


def flattened(tree: Mapping[str, Any], prefix: str = "") -> Flat:
    """Dotted names to the leaves of ``tree``."""
    flat: Flat = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def require_same(run_dir: Path, now: Mapping[str, Any], unit_ids: Sequence[str]) -> None:
    """Refuse to go on with the run in ``run_dir`` where ``now`` (see ``deciding``) is not what its rows were made with.

    Raises:
        UsageError: names what differs, and how; or lessons that their unit did not leave.
        ValueError: the manifest is damaged.
    """
    again, manifest = resume_flag(run_dir), run_dir / run_files.MANIFEST
    try:
        wanted, started = bound(now), bound(read_json_object(manifest))
    except ValueError as error:
        raise ValueError(f"{manifest}: {error}" if str(manifest) not in str(error) else str(error)) from None
    if differences := _differences(started, wanted):
        raise UsageError(f"{again}: the run was started with {differences}; start a new run")
    for unit_id in unit_ids:
        folder = run_files.unit_folder(run_dir, unit_id)
        done = _readable(folder / run_files.DONE)
        then = done.get("bound", wanted)
        if differences := _differences(then if isinstance(then, dict) else {}, wanted):
            raise UsageError(f"{again}: {unit_id} was run with {differences}; start a new run")
        lessons, sha256 = folder / run_files.LESSONS, done.get("lessons_sha256")
        if sha256 is not None and lessons.is_file() and file_sha256(lessons) != sha256:
            raise UsageError(
                f"{again}: {lessons} is not what its unit has learned ({_short(sha256)}); "
                "put that back, or delete the file, and the unit runs again"
            )


def require_one_run(run_dirs: Sequence[Path]) -> None:
    """Refuse run directories that were not started with the same code, settings, plan and weights.

    Raises:
        UsageError: names the first two that differ, and in what.
        ValueError: a manifest is damaged.
    """
    first, *others = [(run_dir, bound(read_json_object(run_dir / run_files.MANIFEST))) for run_dir in run_dirs]
    for run_dir, started in others:
        if differences := _differences(started, first[1]):
            raise UsageError(f"{run_dir}: was started with {differences.replace('(now ', f'({first[0]}: ')}")


def _readable(done: Path) -> dict[str, Any]:
    """Empty for a unit that is not done, or whose end is damaged: it runs again."""
    try:
        return read_json_object(done) if done.is_file() else {}
    except ValueError:
        return {}


def _differences(then: Flat, now: Flat) -> str:
    names = [name for name in sorted(then.keys() | now.keys()) if then.get(name) != now.get(name)]
    return ", ".join(f"{name} {_short(then.get(name))} (now {_short(now.get(name))})" for name in names)


def _short(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) < 40 else f"{text[:12]}…"
