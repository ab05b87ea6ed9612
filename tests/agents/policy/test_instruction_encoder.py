"""MiniLM with its real weights: one encoding a text, tasks apart, and nothing loaded that was tampered with."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
import torch

from flow_rag_vla.agents.policy.instruction_encoder import (
    INSTRUCTION_DIM,
    SHA256,
    InstructionEncoder,
    packaged_weights,
    shared_instruction_encoder,
    verify_weights,
)
from flow_rag_vla.tasks.catalogue.registry import all_tasks


@pytest.fixture(scope="module")
def encoder():
    return shared_instruction_encoder()


def wordings():
    return [(task.slug, text) for task in all_tasks() for text in (*task.instructions, *task.held_out_instructions)]


def test_embeddings_have_384_numbers_and_length_one(encoder):
    embedding = encoder.encode("stack the cube")
    assert embedding.shape == (INSTRUCTION_DIM,)
    assert embedding.dtype == torch.float32
    assert embedding.norm().item() == pytest.approx(1.0, abs=1e-6)


def test_wordings_of_a_task_lie_nearer_to_each_other_than_to_another_tasks(encoder):
    slugs, texts = zip(*wordings(), strict=True)
    embeddings = torch.stack([encoder.encode(text) for text in texts])
    likeness = embeddings @ embeddings.T
    same = torch.tensor([[a == b for b in slugs] for a in slugs])
    apart = ~torch.eye(len(texts), dtype=torch.bool)
    assert likeness[same & apart].mean() > likeness[~same].mean() + 0.15


@pytest.mark.parametrize("task", all_tasks(), ids=lambda task: task.slug)
def test_a_held_out_wording_lies_nearest_to_a_trained_one_of_its_task(encoder, task):
    trained = [(other.slug, text) for other in all_tasks() for text in other.instructions]
    table = torch.stack([encoder.encode(text) for _, text in trained])
    for text in task.held_out_instructions:
        assert trained[int((table @ encoder.encode(text)).argmax())][0] == task.slug, text


def test_no_wording_is_used_twice():
    texts = [text for _, text in wordings()]
    assert len(set(texts)) == len(texts)


def test_a_text_is_encoded_once(encoder, monkeypatch):
    calls = []
    monkeypatch.setattr(encoder, "_loaded", lambda: pytest.fail("encoded again") if calls else _Model(calls))
    first = encoder.encode("something that nobody has said before")
    assert encoder.encode("something that nobody has said before") is first
    assert len(calls) == 1
    del encoder._known["something that nobody has said before"]


class _Model:
    def __init__(self, calls):
        self._calls = calls

    def encode(self, text, **options):
        self._calls.append(text)
        return torch.ones(INSTRUCTION_DIM)


def test_a_new_encoder_has_loaded_nothing():
    assert InstructionEncoder()._model is None


def test_known_texts_load_no_transformer():
    program = """
import sys
import torch
from flow_rag_vla.agents.policy.instructions import InstructionTable
table = InstructionTable(["lift"], ["Lift"], torch.zeros(1, 384))
table.look_up(("lift",) * 1024)
print("transformers" in sys.modules, "sentence_transformers" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "False"]


def test_the_installed_weights_are_the_pinned_ones():
    verify_weights(packaged_weights())


def test_changed_weights_are_refused_before_they_are_loaded(tmp_path):
    for name in SHA256:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(packaged_weights() / name, tmp_path / name)
    with (tmp_path / "model.safetensors").open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"\x00\x01")
    encoder = InstructionEncoder(tmp_path)
    with pytest.raises(ValueError, match=r"model\.safetensors has sha256 .*, expected 53aa"):
        encoder.encode("lift")
    assert encoder._model is None


def test_missing_weights_give_one_line(tmp_path):
    with pytest.raises(ValueError, match=r"cannot read .*model\.safetensors: No such file") as error:
        InstructionEncoder(tmp_path).encode("lift")
    assert "\n" not in str(error.value)
