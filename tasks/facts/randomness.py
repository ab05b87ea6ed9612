"""Counter-based randomness: every draw is named by what it is for, never by when it is drawn."""

from __future__ import annotations

import hashlib

import numpy as np


def keyed_generator(*key: str | int) -> np.random.Generator:
    """A Philox generator that depends on ``key`` alone.

    The key is hashed (sha256), so that neighbouring seeds give unrelated streams and neither the number of
    environments nor their order changes a draw.
    """
    digest = hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
