from __future__ import annotations

import dataclasses
import shutil

import pytest
import torch

from flow_rag_vla.agents.model_files import record
from flow_rag_vla.agents.vision.asynchronous import AsynchronousEncoder
from flow_rag_vla.agents.vision.dinov2 import MODEL, DinoV2Encoder, load_dinov2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A DINOv2 of two narrow layers with random weights, as the real one is stored."""
    from transformers import Dinov2Config, Dinov2Model

    path = tmp_path_factory.mktemp("dinov2")
    config = Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=28, patch_size=14
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Dinov2Model(config).save_pretrained(path)
    return path


@pytest.fixture
def seen(observe):
    rgb = torch.arange(2 * 80 * 128 * 3).remainder(255).to(torch.uint8).reshape(2, 80, 128, 3)
    return dataclasses.replace(observe(2), rgb=rgb)


def test_a_local_folder_gives_state_embeddings(folder, seen):
    encoder = DinoV2Encoder(load_dinov2(folder), side_px=28)
    embedding = encoder.encode(seen)
    assert embedding.shape == (2, encoder.embedding_dim) == (2, 512)
    assert not embedding.requires_grad
    assert torch.equal(embedding, DinoV2Encoder(load_dinov2(folder), side_px=28).encode(seen))


def test_the_embedding_depends_on_picture_and_arm(folder, seen):
    encoder = DinoV2Encoder(load_dinov2(folder), side_px=28)
    embedding = encoder.encode(seen)
    assert not torch.equal(embedding, encoder.encode(dataclasses.replace(seen, rgb=255 - seen.rgb)))
    assert not torch.equal(embedding, encoder.encode(dataclasses.replace(seen, ee_pos_b=seen.ee_pos_b + 0.1)))


def test_only_the_projection_is_left_to_train(folder):
    encoder = DinoV2Encoder(load_dinov2(folder), side_px=28)
    trainable = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert trainable == {name for name, _ in encoder.named_parameters() if name.startswith("projection.")}


def test_it_runs_asynchronously(folder, seen):
    encoder = DinoV2Encoder(load_dinov2(folder), side_px=28)
    with AsynchronousEncoder(encoder) as asynchronous:
        assert torch.equal(asynchronous.encode(seen), encoder.encode(seen))


def test_without_weights_the_message_says_which_files_belong_where(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOW_RAG_VLA_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(ValueError, match="no DINOv2 weights") as caught:
        load_dinov2()
    message = str(caught.value)
    assert "\n" not in message
    assert "put config.json and model.safetensors of https://huggingface.co/facebook/dinov2-small into " in message
    assert str(tmp_path / "models" / "dinov2-small") in message


def test_a_flipped_byte_in_the_projects_folder_is_noticed(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("FLOW_RAG_VLA_MODELS", str(tmp_path))
    shutil.copytree(folder, tmp_path / MODEL)
    record(MODEL, "hand-made")
    load_dinov2()
    weights = tmp_path / MODEL / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.safetensors has sha256 .*, expected"):
        load_dinov2()


def test_an_empty_folder_is_no_model(tmp_path):
    with pytest.raises(ValueError, match=f"into {tmp_path}"):
        load_dinov2(tmp_path)


def test_pictures_must_fit_the_patches(folder, observe):
    backbone = load_dinov2(folder)
    with pytest.raises(ValueError, match="side_px is 30, expected a multiple of the patch size 14"):
        DinoV2Encoder(backbone, side_px=30)
    with pytest.raises(ValueError, match="holds no pictures"):
        DinoV2Encoder(backbone, side_px=28).encode(observe())
