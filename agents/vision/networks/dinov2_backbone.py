"""Weights of DINOv2 (Oquab et al. 2023), from a local folder or the hub's cache, never from the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from logging import CRITICAL
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow_rag_vla.agents.files.file_hash import file_sha256
from flow_rag_vla.agents.policy.model_files import MODELS, local_folder, missing_files, verify

if TYPE_CHECKING:
    from transformers import Dinov2Model

MODEL = "dinov2-small"
WEIGHTS, CONFIG = "model.safetensors", "config.json"

DIMENSIONS: tuple[str, ...] = ("hidden_size", "num_hidden_layers", "num_attention_heads", "patch_size")
"""Of the architecture; what a checkpoint of something trained on a backbone remembers, beside its sha256."""


@dataclass(frozen=True)
class Backbone:
    """A pretrained network, and which one it is."""

    model: Dinov2Model
    """In evaluation mode, without gradients."""
    sha256: str
    """Of its ``model.safetensors``."""
    folder: Path

    @property
    def dimensions(self) -> dict[str, int]:
        """Those of ``DIMENSIONS``."""
        return {name: int(getattr(self.model.config, name)) for name in DIMENSIONS}


def load_dinov2(source: str | Path | None = None) -> Backbone:
    """The backbone of a folder with ``config.json`` and ``model.safetensors``.

    Args:
        source: A folder; by default the project's model folder, and where that holds none the hub's local cache.

    Raises:
        ValueError: one line: no weights here, and which files belong into which folder; or files in the project's
            folder that are not those whose sha256 was recorded when they were fetched.
    """
    verified = verify(MODEL) if source is None and not missing_files(MODEL) else {}
    entry = MODELS[MODEL]
    wanted = local_folder(MODEL) if source is None else Path(source)
    folder = _cached_folder() if source is None and not (wanted / WEIGHTS).is_file() else wanted
    problem = ""
    if folder is not None and folder.is_dir():
        try:
            return Backbone(_read(folder), verified.get(WEIGHTS) or file_sha256(folder / WEIGHTS), folder)
        except (OSError, ValueError) as error:
            problem = f" ({str(error).strip().splitlines()[0]})"
    files = " and ".join(entry.needed)
    raise ValueError(
        f"no DINOv2 weights here{problem}: put {files} of https://huggingface.co/{entry.repo} into {wanted}, "
        f"or run scripts/download_models.py --model {MODEL} where there is a network"
    )


def _cached_folder() -> Path | None:
    """Where the hub's cache has the files, if it does."""
    from huggingface_hub import try_to_load_from_cache

    found = [try_to_load_from_cache(MODELS[MODEL].repo, name) for name in MODELS[MODEL].needed]
    return Path(found[0]).parent if all(isinstance(path, str) for path in found) and isinstance(found[0], str) else None


@contextmanager
def _quietly() -> Iterator[None]:
    """Without transformers' bar and its pages on weights that do not fit: that is said in one line here."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def _read(folder: Path) -> Dinov2Model:
    # Imported late: it costs seconds.
    from safetensors import SafetensorError
    from transformers import Dinov2Model

    try:
        with _quietly():
            loaded: Any = Dinov2Model.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{folder / WEIGHTS}: {error}") from None
    model, report = loaded
    # Left alone, what the file lacks would be made up at random.
    if lacking := sorted(report["missing_keys"]):
        raise ValueError(f"{folder / WEIGHTS} lacks {', '.join(lacking[:2])} of what its config.json says")
    return model.eval().requires_grad_(False)
