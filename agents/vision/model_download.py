"""Fetches weights from the Hugging Face hub and holds them to the hashes that are known of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_rag_vla.agents.policy.model_files import (
    LOCK_FILE,
    MODELS,
    known_sha256,
    local_folder,
    missing_files,
    record,
    verify,
)
from flow_rag_vla.agents.vision.networks.image_encoder import DINOV2
from flow_rag_vla.tasks.contract import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DEFAULT_MODELS: tuple[str, ...] = ("minilm",)
"""All that the default configuration needs."""


class ModelMissingError(Exception):
    """Files are missing and cannot be fetched; the message says which, and where they belong."""


def needed_models(model: str | None, encoder: str | None, vision: str | Path | None) -> dict[str, dict[str, str]]:
    """Models that a configuration needs, each with the sha256 that it asks of some of its files.

    Args:
        model: A model of ``MODELS``, or ``all``; None for those that the default configuration needs.
        encoder: Kind of a vision encoder that is to be trained or run.
        vision: Vision checkpoint, or ``default``; a network on a frozen backbone needs just that backbone.

    Raises:
        ValueError: the vision checkpoint is not readable.
    """
    named = DEFAULT_MODELS if model is None else tuple(MODELS) if model == "all" else (model,)
    needed: dict[str, dict[str, str]] = {name: {} for name in named}
    if encoder is None and vision is None:
        return needed
    # Imported late: torch takes a second.
    from flow_rag_vla.agents.vision.checkpoint import needed_backbone
    from flow_rag_vla.agents.vision.networks.dinov2_backbone import MODEL

    if encoder == DINOV2:
        needed.setdefault(MODEL, {})
    if vision is None or vision == "default":
        return needed
    backbone = needed_backbone(vision)
    if backbone is not None:
        needed[backbone.model] = backbone.sha256
    return needed


def fetch(model: str, asked: Mapping[str, str] | None = None) -> str:
    """Make sure that ``model`` is here and right; returns a line on what was found.

    Args:
        model: A model of ``MODELS``.
        asked: File to the sha256 that the configuration asks of it, beside what is known.

    Raises:
        UnknownNameError: an unknown model.
        ValueError: a file is here, but is the wrong one.
        ModelMissingError: files are missing and the hub cannot be reached.
    """
    entry, folder = MODELS.get(model), local_folder(model)
    if entry is None:
        raise UnknownNameError(f"unknown model {model!r}; available: {', '.join(MODELS)}")
    if entry.package:
        verify(model)
        return f"{model}: {len(entry.needed)} files of package {entry.repo} have their pinned sha256 ({folder})"
    commit = "local files"
    if missing_files(model):
        commit = _download(model, folder)
    known = known_sha256(model)
    found = verify(model)
    for name, sha in (asked or {}).items():
        if found[name] != sha:
            raise ValueError(f"{model}: {folder / name} has sha256 {found[name]}, the checkpoint asks for {sha}")
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
