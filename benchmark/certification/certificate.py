"""The certificate of a task's scenarios on one engine: what was shown about each fault, and whether it still holds."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow_rag_vla.benchmark.command.atomic_files import read_json_object, write_json_atomic
from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.facts.contact_parameters import NUM_SUBSTEPS, world_description
from flow_rag_vla.tasks.faults.registry import get_fault

if TYPE_CHECKING:
    from flow_rag_vla.tasks.faults.definition.fault import Fault
    from flow_rag_vla.tasks.scenarios.scenario import Scenario

SCHEMA_VERSION = 3
CERTIFICATES = Path(__file__).resolve().parent / "certificates"

HAZARDOUS_RATE = 0.60
"""Least failure rate of the nominal expert."""

FEASIBLE_RATE = 0.90
"""Least lower bound of the informed expert's success rate."""

CONSTANT_SHARE = 0.60
"""Largest share of a site's avoidable cells that one constant strategy may solve."""

SIZES = ("n", "dose_n", "grid_n", "time_step_n")
"""Episodes of a cell and expert, of a severity, of a cell and constant strategy, of a cell, expert and time step."""

STUDIED = (4, 8, NUM_SUBSTEPS, 16)
"""Physics steps of a control step with which a cell's episodes are run: the certificate's own among others."""

AGREEMENT = 0.97
"""Least share of a cell's episodes that end alike with every time step of the study."""


def fingerprint(fault: Fault, task: str) -> str:
    """Changes with what ``fault`` does at its default severity in ``task``, contacts and limits of commands."""
    does = fault.parameters(fault.default_severity)
    content = [get_task(task).name, fault.name, does, fault.objects, fault.lanes, *world_description().values()]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def is_certified(nominal: dict[str, Any], informed: dict[str, Any]) -> bool:
    """Hazardous and feasible: both are ``{"k", "n", "rate", "ci95", "invalid"}`` of successes.

    An episode with invalid physics stays in ``n`` and shows neither.
    """
    if not nominal["n"] or not informed["n"]:
        return False
    failed = nominal["n"] - nominal["k"] - nominal["invalid"]
    return failed >= HAZARDOUS_RATE * nominal["n"] and informed["ci95"][0] >= FEASIBLE_RATE


def certificate_path(task: str, physics: str, folder: Path = CERTIFICATES) -> Path:
    """Where the certificate of ``task`` on the physics preset ``physics`` lies."""
    return folder / physics / f"{get_task(task).slug}.json"


def write_certificate(certificate: dict[str, Any], folder: Path = CERTIFICATES) -> Path:
    """Write ``certificate`` into ``folder``; returns its path."""
    path = certificate_path(certificate["task"], certificate["physics"], folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json_atomic(path, certificate)
    return path


def load_certificate(task: str, physics: str, folder: Path = CERTIFICATES) -> dict[str, Any] | None:
    """The certificate of ``task`` on the physics preset ``physics``, None where there is none.

    Raises:
        ValueError: the file is not a certificate that this program reads.
    """
    path = certificate_path(task, physics, folder)
    if not path.is_file():
        return None
    certificate = read_json_object(path)
    if certificate.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"{path}: schema_version is {certificate.get('schema_version')!r}, expected {SCHEMA_VERSION}")
    return certificate


def _same(shown: Mapping[str, float], parameters: Mapping[str, float]) -> bool:
    """Equal but for the rounding of the certificate's file."""
    return shown.keys() == parameters.keys() and all(
        math.isclose(shown[name], value, rel_tol=1e-6, abs_tol=1e-9) for name, value in parameters.items()
    )


def uncertified(scenarios: Iterable[Scenario], certificate: dict[str, Any] | None) -> list[str]:
    """Names of the avoidable faults in ``scenarios`` that the certificate does not cover: absent, failed or changed."""
    shown = {} if certificate is None else certificate["faults"]
    names = {
        scenario.fault
        for scenario in scenarios
        if scenario.fault_class is FaultClass.AVOIDABLE
        and not (
            (entry := shown.get(scenario.fault))
            and entry["certified"]
            and _same(entry["parameters"], scenario.parameters)
            and entry["fingerprint"] == fingerprint(get_fault(scenario.fault), scenario.task)
        )
    }
    return sorted(names)
