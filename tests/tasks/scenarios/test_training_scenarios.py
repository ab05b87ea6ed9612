"""What environments that reset themselves are given."""

from __future__ import annotations

from flow_rag_vla.benchmark.episodes.seeds import split_of
from flow_rag_vla.tasks.scenarios.training_scenarios import TrainingScenarios


def test_every_reset_brings_a_clean_training_layout_that_was_not_there_before():
    training = TrainingScenarios("stack", 0, 3)
    scenarios = [s for _ in range(4) for s in training.draw([0, 1, 2], seed=5)]
    assert {(s.task, s.fault, split_of(s.layout_seed)) for s in scenarios} == {
        ("FlowRAG-Stack-Franka", "none", "train")
    }
    assert len({s.layout_seed for s in scenarios}) == 12


def test_a_layout_depends_on_seed_environment_and_reset_count_alone():
    together, apart = TrainingScenarios("lift", 0, 3), TrainingScenarios("lift", 0, 3)
    first, second = together.draw([0, 1, 2], seed=5), together.draw([0, 1, 2], seed=5)
    assert [apart.draw([2], seed=5)[0], apart.draw([2], seed=5)[0]] == [first[2], second[2]]
    assert apart.draw([0], seed=6)[0] != first[0]
