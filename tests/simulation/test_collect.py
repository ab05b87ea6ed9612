"""Recorded demonstrations: the files of two tasks become one training set with the texts that the episodes spoke."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from flow_rag_vla.agents.policy.demonstration_set import DemonstrationSet, load_demonstrations
from flow_rag_vla.agents.policy.instruction_encoder import shared_instruction_encoder
from flow_rag_vla.benchmark.datasets.collect_demonstrations import DemonstrationRequest, collect_task
from flow_rag_vla.benchmark.episodes.seeds import split_of
from flow_rag_vla.tasks.catalogue.registry import get_task

pytestmark = pytest.mark.sim

TASKS = ("lift", "stack")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DemonstrationSet:
    """Four episodes of each task."""
    folders: list[Path] = []
    for slug in TASKS:
        folders.append(tmp_path_factory.mktemp(slug))
        request = DemonstrationRequest(
            task=slug, num_demonstrations=4, num_envs=4, seed=3, out=folders[-1], physics="newton_mujoco", device="cpu"
        )
        recorded, kept = collect_task(request, io.StringIO())
        assert (recorded, kept > 0) == (4, True)
    return load_demonstrations(folders)


def test_each_step_carries_a_wording_of_its_own_task(data):
    assert data.tasks == tuple(get_task(slug).name for slug in TASKS)
    for task, text in {(int(t), int(i)) for t, i in zip(data.task, data.instruction, strict=True)}:
        assert data.instruction_texts[text] in get_task(data.tasks[task]).instructions


def test_held_out_wordings_are_never_demonstrated(data):
    held_out = {text for slug in TASKS for text in get_task(slug).held_out_instructions}
    assert not held_out & set(data.instruction_texts)


def test_demonstrations_come_from_training_seeds_alone(data):
    assert {split_of(seed) for seed in data.layout_seeds} == {"train"}


def test_the_stored_embeddings_are_those_of_the_texts(data):
    for text, embedding in zip(data.instruction_texts, data.instruction_embeddings, strict=True):
        assert embedding.equal(shared_instruction_encoder().encode(text))
