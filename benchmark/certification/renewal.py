"""Certifies some faults of a task anew and keeps the rest of its certificate."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from flow_rag_vla.benchmark.certification.certificate import certificate_path, load_certificate
from flow_rag_vla.benchmark.certification.certify import STRATEGIES, conditions, worst_site
from flow_rag_vla.benchmark.command.atomic_files import to_json_bytes
from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.faults.registry import all_faults, get_fault


def certificate_to_renew(
    task: str, physics: str, folder: Path, faults: Collection[str], sizes: Mapping[str, int]
) -> dict[str, Any]:
    """The certificate of ``task`` in ``folder``, into which what is shown about ``faults`` may go.

    Raises:
        ValueError: a fault that ``task`` does not offer; nothing to run; no certificate, or one of other contacts,
            limits of commands, versions or sizes.
    """
    offered = [fault.name for fault in all_faults(task)]
    if unknown := [name for name in faults if name not in offered]:
        raise ValueError(f"fault {unknown[0]!r} is not offered by {task}; available: {', '.join(offered)}")
    if not sizes["dose_n"] and all(get_fault(name).fault_class is not FaultClass.AVOIDABLE for name in faults):
        raise ValueError(f"{', '.join(faults)}: only severities say something of these; expected a dose_n above 0")
    path, certificate = certificate_path(task, physics, folder), load_certificate(task, physics, folder)
    if certificate is None:
        raise ValueError(f"{path} is not there; certify all faults first")
    now = json.loads(to_json_bytes({**conditions(), **sizes}))
    for name, value in now.items():
        if certificate.get(name) != value:
            raise ValueError(f"{path} was made with {name} {certificate.get(name)}, got {value}; certify all faults")
    return certificate


def renewed(old: Mapping[str, Any], new: Mapping[str, Any], faults: Collection[str]) -> dict[str, Any]:
    """``old`` with what ``new`` says of ``faults``; what a constant strategy solves is put together from both."""
    solved = {
        strategy: {name for name in old["constant_strategies"][str(strategy)] if name not in faults}
        | {name for name in new["constant_strategies"][str(strategy)] if name in faults}
        for strategy in STRATEGIES
    }
    return {
        **old,
        "faults": {**old["faults"], **{name: new["faults"][name] for name in faults}},
        "constant_strategies": {str(strategy): sorted(names) for strategy, names in solved.items()},
        "worst_site": worst_site(get_task(old["task"]).slug, solved) if old["grid_n"] else None,
    }
