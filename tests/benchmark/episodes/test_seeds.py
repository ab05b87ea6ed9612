"""The three seed ranges never meet, and tuning cannot touch the evaluation range."""

from __future__ import annotations

import itertools

import pytest

from flow_rag_vla.benchmark.episodes import seeds


def test_the_splits_are_disjoint():
    for a, b in itertools.combinations([*seeds.SPLITS.values(), *seeds.FURTHER.values()], 2):
        assert max(a.start, b.start) >= min(a.stop, b.stop)


@pytest.mark.parametrize("part", [seeds.SPLITS, seeds.FURTHER], ids=["block", "further"])
@pytest.mark.parametrize("name", seeds.SPLITS)
def test_both_ends_of_a_split_belong_to_it(name: str, part: dict[str, range]):
    split = part[name]
    assert seeds.split_of(split[0]) == name
    assert seeds.split_of(split[-1]) == name


@pytest.mark.parametrize("seed", [-1, seeds.CALIBRATION.stop])
def test_a_seed_outside_every_split_is_refused(seed: int):
    with pytest.raises(ValueError, match=f"layout seed {seed} belongs to no split"):
        seeds.split_of(seed)


def test_training_refuses_an_evaluation_seed_and_names_it():
    bad = seeds.EVALUATION.start
    with pytest.raises(ValueError, match=f"{bad} is in the evaluation range, only train or dev"):
        seeds.require_split([0, 1, bad], allowed=("train", "development"))


def test_allowed_seeds_pass():
    seeds.require_split(range(100), allowed="train")
    seeds.require_split(seeds.DEVELOPMENT.start, allowed="development")


def test_an_unknown_split_lists_the_known_ones():
    with pytest.raises(ValueError, match="splits are train, development, evaluation"):
        seeds.require_split(0, allowed="test")


def test_blocks_of_different_run_seeds_do_not_overlap():
    first = seeds.seed_block("evaluation", 0, seeds.BLOCK_SIZE)
    second = seeds.seed_block("evaluation", 1, seeds.BLOCK_SIZE)
    assert first[-1] + 1 == second[0]
    assert {seeds.split_of(s) for s in (first[0], second[-1])} == {"evaluation"}


def test_a_seed_offers_more_layouts_than_its_block_and_keeps_the_first():
    many = seeds.seed_block("development", 7, 32_768)
    assert len(set(many)) == 32_768
    assert list(many[:20_000]) == list(range(10_140_000, 10_160_000))
    assert {seeds.split_of(seed) for seed in many} == {"development"}


def test_further_layouts_of_different_run_seeds_do_not_overlap():
    first = seeds.seed_block("evaluation", 0, seeds.MAX_LAYOUTS)
    second = seeds.seed_block("evaluation", 1, seeds.BLOCK_SIZE + 1)
    assert first[-1] + 1 == second[-1]
    last = seeds.seed_block("evaluation", 499, seeds.MAX_LAYOUTS)[-1]
    assert last == seeds.FURTHER["evaluation"][-1]


@pytest.mark.parametrize(("run_seed", "count"), [(-1, 1), (500, 1), (0, seeds.MAX_LAYOUTS + 1)])
def test_a_block_that_does_not_fit_is_refused(run_seed: int, count: int):
    with pytest.raises(ValueError, match=r"expected 0 to|offers 0 to"):
        seeds.seed_block("evaluation", run_seed, count)
