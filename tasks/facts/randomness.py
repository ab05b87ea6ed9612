"""Counter-based randomness: every draw is named by what it is for, never by when; and names for states by hash."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from numpy.random.bit_generator import ISeedSequence

if TYPE_CHECKING:
    import torch


class _Words(ISeedSequence):
    """Hands a Philox generator its key; seeding it first and setting the key then takes three times as long."""

    def __init__(self, key: npt.NDArray[np.uint64]) -> None:
        self._key = key

    def generate_state(self, n_words: int, dtype: npt.DTypeLike = np.uint32) -> npt.NDArray[np.uint64]:
        """The key: two words of 64 bits is what Philox asks for."""
        del n_words, dtype
        return self._key


def row_hashes(table: torch.Tensor) -> list[str]:
    """The first 16 hexadecimal digits of each row's sha256; ``table`` is (n, k)."""
    return [hashlib.sha256(row.tobytes()).hexdigest()[:16] for row in table.cpu().contiguous().numpy()]


def keyed_generator(*key: str | int) -> np.random.Generator:
    """A Philox generator that depends on ``key`` alone.

    The key is hashed (sha256), so that neighbouring seeds give unrelated streams and neither the number of
    environments nor their order changes a draw.
    """
    digest = hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()
    words = _Words(np.frombuffer(digest, dtype="<u8", count=2))
    # numpy takes any ISeedSequence; its stubs say SeedSequence.
    return np.random.Generator(np.random.Philox(words))  # pyright: ignore[reportArgumentType]
