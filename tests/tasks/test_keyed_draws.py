"""Draws of many streams at once are those of ``keyed_generator``."""

from __future__ import annotations

import numpy as np
import pytest

from flow_rag_vla.tasks.facts.keyed_draws import KeyedDraws
from flow_rag_vla.tasks.facts.randomness import keyed_generator

NUM_STREAMS = 400
DRAWS = {
    "numbers alone": (("uniform", -0.3, 0.7),) * 9,
    "choices alone": (("integers", 5), ("integers", 7), ("integers", 1), ("integers", 3), ("integers", 2)),
    "choices and numbers": (("integers", 5), ("uniform", 0.0, 2.0), ("integers", 11), ("uniform", 1.0, 3.0)),
    "a number that is often drawn again": (
        ("uniform", 0.0, 1.0),
        ("integers", 2**31 + 12_345),
        ("integers", 2**31 + 5),
        ("uniform", 1.0, 2.0),
    ),
    "the other half of a word that is often drawn again": (
        ("integers", 9),
        ("uniform", 0.0, 1.0),
        ("integers", 2**31 + 1),
        ("integers", 7),
        ("uniform", 0.0, 1.0),
    ),
}


@pytest.mark.parametrize("draws", DRAWS.values(), ids=DRAWS)
@pytest.mark.parametrize("num_streams", [2, NUM_STREAMS])
def test_each_stream_gives_what_its_own_generator_gives(num_streams: int, draws: tuple):
    together = KeyedDraws(("cue", 3, seed) for seed in range(num_streams))
    alone = [keyed_generator("cue", 3, seed) for seed in range(num_streams)]
    for name, *arguments in draws:
        expected = [getattr(rng, name)(*arguments) for rng in alone]
        assert getattr(together, name)(*arguments).tolist() == expected


def test_each_stream_may_have_as_much_to_choose_from_as_it_likes():
    bounds = np.arange(NUM_STREAMS) % 6 + 1
    together = KeyedDraws((seed,) for seed in range(NUM_STREAMS))
    assert together.integers(bounds).tolist() == [keyed_generator(i).integers(b) for i, b in enumerate(bounds)]
    with pytest.raises(ValueError, match="unequal numbers of words"):
        together.uniform(0.0, 1.0)


def test_no_stream_draws_nothing():
    assert KeyedDraws([]).uniform(0.0, 1.0).shape == (0,)
