"""Draws are named by what they are for: the streams that every recorded result hangs on."""

from __future__ import annotations

import hashlib

import numpy as np

from flow_rag_vla.tasks.facts.randomness import keyed_generator


def test_a_key_names_the_philox_stream_of_its_sha256():
    digest = hashlib.sha256(b"layout\x1f42").digest()
    expected = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
    found = keyed_generator("layout", 42)
    assert found.standard_normal(5).tolist() == expected.standard_normal(5).tolist()
    assert found.integers(1000, size=5).tolist() == expected.integers(1000, size=5).tolist()
