"""Fetches weights from the Hugging Face hub and holds them to the hashes that are known of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_rag_vla.agents.model_files import LOCK_FILE, MODELS, known_sha256, local_folder, missing_files, record, verify

if TYPE_CHECKING:
    from pathlib import Path


class ModelMissingError(Exception):
    """Files are missing and cannot be fetched; the message says which, and where they belong."""


def fetch(model: str) -> str:
    """Make sure that ``model`` is here and right; returns a line on what was found.

    Raises:
        KeyError: an unknown model.
        ValueError: a file is here, but is the wrong one.
        ModelMissingError: files are missing and the hub cannot be reached.
    """
    entry, folder = MODELS.get(model), local_folder(model)
    if entry is None:
        raise KeyError(f"unknown model {model!r}; available: {', '.join(MODELS)}")
    if entry.package:
        verify(model)
        return f"{model}: {len(entry.needed)} files of package {entry.repo} have their pinned sha256 ({folder})"
    commit = "local files"
    if missing_files(model):
        commit = _download(model, folder)
    known = known_sha256(model)
    verify(model)
    if known:
        return f"{model}: {len(entry.needed)} files have their recorded sha256 ({folder})"
    record(model, commit)
    return (
        f"{model}: trusted at first use, since the project knows no hash of it; recorded in {folder / LOCK_FILE} "
        f"and checked from now on"
    )


def _download(model: str, folder: Path) -> str:
    """Fetch what is missing; returns the commit that the hub says it is."""
    # Imported late: it costs a second and nothing else needs it.
    from httpx import HTTPError
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    entry = MODELS[model]
    missing = missing_files(model)
    try:
        commit = HfApi().model_info(entry.repo, revision=entry.revision, timeout=10.0).sha or entry.revision
        for name in missing:
            hf_hub_download(entry.repo, name, revision=commit, local_dir=folder)
    except (HfHubHTTPError, OfflineModeIsEnabled, HTTPError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelMissingError(
            f"{model}: missing {', '.join(missing)}; the hub cannot be reached ({reason}). "
            f"Put these files of https://huggingface.co/{entry.repo} into {folder}"
        ) from None
    return commit
