from __future__ import annotations

import dataclasses
import json
import shutil
from functools import partial

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from flow_rag_vla.agents.policy.model_files import record
from flow_rag_vla.agents.vision.checkpoint import (
    NeededBackbone,
    VisionCheckpoint,
    load_vision,
    needed_backbone,
    save_vision,
)
from flow_rag_vla.agents.vision.networks.dinov2 import DinoV2Encoder, DinoV2EncoderCfg
from flow_rag_vla.agents.vision.networks.dinov2_backbone import MODEL, load_dinov2
from flow_rag_vla.agents.vision.networks.network import GOAL, OBJECT
from flow_rag_vla.agents.vision.training import VisionTrainingCfg, train_vision

SMALL = DinoV2EncoderCfg(height=28, width=42)

# Pictures of 16 x 24 pixels become 4 x 6 patches, of 4 camera pixels each.
DOTS = DinoV2EncoderCfg(height=56, width=84)


@pytest.fixture
def encoder(backbone):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DinoV2Encoder(backbone, SMALL).eval().requires_grad_(False)


@pytest.fixture
def seen(observe):
    rgb = torch.arange(2 * 80 * 128 * 3).remainder(255).to(torch.uint8).reshape(2, 80, 128, 3)
    return dataclasses.replace(observe(2), rgb=rgb)


def test_a_local_folder_gives_state_embeddings(encoder, seen):
    embedding = encoder.encode(seen)
    assert embedding.shape == (2, encoder.embedding_dim) == (2, 512)
    assert not embedding.requires_grad
    sighting, same = encoder.look(seen)
    torch.testing.assert_close(same, embedding)
    assert sighting.object_pos_b.shape == (2, 3)


def test_the_embedding_depends_on_picture_and_arm(encoder, seen):
    embedding = encoder.encode(seen)
    assert not torch.equal(embedding, encoder.encode(dataclasses.replace(seen, rgb=255 - seen.rgb)))
    assert not torch.equal(embedding, encoder.encode(dataclasses.replace(seen, ee_pos_b=seen.ee_pos_b + 0.1)))


def test_where_all_heat_is_on_one_patch_the_object_is_in_its_middle(encoder, monkeypatch):
    """The heat of a patch is its first feature here, and all tokens are zero but one."""
    tokens = torch.zeros(1, 1 + 2 * 3, 32)
    tokens[0, 1 + 5, 0] = 1.0
    answer = type("Answer", (), {"last_hidden_state": tokens})
    monkeypatch.setattr(encoder.backbone, "forward", lambda pixel_values: answer)
    encoder.localiser.weight.zero_()
    encoder.localiser.bias.zero_()
    encoder.localiser.weight[OBJECT, 0] = 50.0
    look = encoder(torch.zeros(1, 3, 16, 24), torch.zeros(1, 12))
    # Patch 5 of 2 rows and 3 columns is the last: the middle of the right third and of the lower half.
    assert look.centre[0].tolist() == pytest.approx([2 / 3, 1 / 2], abs=1e-4)
    assert look.heat[0, GOAL].tolist() == [[0.0] * 3] * 2
    assert encoder.reach == (2 / 3, 2 / 2)


@pytest.fixture(scope="module")
def training():
    return VisionTrainingCfg(epochs=12, batch_size=32, learning_rate=1e-2, warm_up=2)


def test_a_trained_head_finds_a_square_that_an_untrained_one_does_not(backbone, dots, pixels_off, training):
    red = (220, 40, 40)
    frozen = {name: value.clone() for name, value in backbone.model.state_dict().items()}
    data = dots(256, red)
    untrained = pixels_off(DinoV2Encoder(backbone, DOTS).eval(), data)
    net = train_vision(data, training, new_network=partial(DinoV2Encoder, backbone, DOTS))
    trained = pixels_off(net, data)
    # A patch is 4 pixels wide: less than half of one is more than the heat map alone can tell.
    assert trained < 2.0
    assert trained < untrained / 3
    assert all(torch.equal(value, frozen[name]) for name, value in backbone.model.state_dict().items())


def test_training_twice_gives_the_same_weights(backbone, dots, training):
    cfg = dataclasses.replace(training, epochs=1)
    new = partial(DinoV2Encoder, backbone, DOTS)
    first, second = (train_vision(dots(64), cfg, new_network=new).trained_state() for _ in range(2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_the_backbone_is_neither_trained_nor_saved_nor_ever_in_training_mode(backbone):
    encoder = DinoV2Encoder(backbone, SMALL).train()
    assert encoder.embed.training
    assert not encoder.backbone.training
    trainable = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert trainable == set(encoder.trained_state())
    assert {name.split(".")[0] for name in trainable} == {"localiser", "embed", "head"}


@pytest.fixture
def saved(tmp_path, encoder):
    path = tmp_path / "vision.safetensors"
    sha = save_vision(path, VisionCheckpoint(encoder, {"pictures": 3}))
    return path, sha


def test_a_head_survives_saving_and_loading(saved, encoder, seen, dinov2_folder):
    path, sha = saved
    loaded = load_vision(path, backbone=dinov2_folder)
    assert (loaded.sha256, loaded.training) == (sha, {"pictures": 3})
    assert torch.equal(loaded.encoder.encode(seen), encoder.encode(seen))
    assert not any(p.requires_grad or p.is_meta for p in loaded.encoder.parameters())


def test_the_file_decides_and_names_its_backbone(saved, dinov2_folder, encoder, seen, tmp_path, monkeypatch):
    path, _ = saved
    monkeypatch.setenv("FLOW_RAG_VLA_MODELS", str(tmp_path / "models"))
    shutil.copytree(dinov2_folder, tmp_path / "models" / MODEL)
    assert torch.equal(load_vision(path).encoder.encode(seen), encoder.encode(seen))
    assert needed_backbone(path) == NeededBackbone(MODEL, {"model.safetensors": encoder.source.sha256})


def refusal(path, folder):
    with pytest.raises(ValueError, match=f"vision checkpoint {path}") as caught:
        load_vision(path, backbone=folder)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_another_backbone_is_refused_by_its_hash_or_its_sizes(saved, save_tiny_dinov2, tmp_path, encoder):
    path, _ = saved
    other = save_tiny_dinov2(tmp_path / "other", seed=1)
    message = refusal(path, other)
    assert f"was trained on a backbone with sha256 {encoder.source.sha256}, the one in {other} has " in message
    deeper = save_tiny_dinov2(tmp_path / "deeper", num_hidden_layers=3)
    assert f"with num_hidden_layers 2, the one in {deeper} has 3" in refusal(path, deeper)
    finer = save_tiny_dinov2(tmp_path / "finer", patch_size=7)
    assert f"with patch_size 14, the one in {finer} has 7" in refusal(path, finer)


def test_a_missing_backbone_is_refused_with_where_it_belongs(saved, tmp_path):
    path, _ = saved
    message = refusal(path, tmp_path / "none")
    assert "no DINOv2 weights here: put config.json and model.safetensors of " in message
    assert f"into {tmp_path / 'none'}" in message


def test_a_file_cut_short_is_refused(saved, dinov2_folder):
    path, _ = saved
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "not a readable safetensors file" in refusal(path, dinov2_folder)


def test_headers_that_do_not_fit_are_refused(saved, dinov2_folder):
    path, _ = saved
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["vision"])
    assert header["backbone"]["hidden_size"] == 32

    def refused(**changes):
        save_file(tensors, path, metadata={"vision": json.dumps(header | changes)})
        return refusal(path, dinov2_folder)

    assert "its kind is 'resnet'; available: cnn, dinov2" in refused(kind="resnet")
    assert "encoder.width is 10000, expected 1 to 2048" in refused(encoder=header["encoder"] | {"width": 10_000})
    assert "encoder.height is 30, expected a multiple of the patch size 14" in refused(
        encoder=header["encoder"] | {"height": 30}
    )
    assert "tensor embed.0.bias is torch.float32" in refused(encoder=header["encoder"] | {"embedding_dim": 64})
    assert "its backbone is None, expected the fields" in refused(backbone=None)
    assert "backbone.sha256 is 7, expected 64" in refused(backbone=header["backbone"] | {"sha256": 7})
    assert "its encoder is {" in refused(kind="cnn")
    tensors["backbone.extra"] = torch.zeros(1)
    assert "unexpected ['backbone.extra']" in refused()


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


def test_the_hubs_cache_will_do(dinov2_folder, backbone, tmp_path, monkeypatch):
    monkeypatch.setenv("FLOW_RAG_VLA_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--facebook--dinov2-small"
    shutil.copytree(dinov2_folder, repository / "snapshots" / "abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    assert load_dinov2().sha256 == backbone.sha256


def test_a_flipped_byte_in_the_projects_folder_is_noticed(dinov2_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("FLOW_RAG_VLA_MODELS", str(tmp_path))
    shutil.copytree(dinov2_folder, tmp_path / MODEL)
    record(MODEL, "hand-made")
    load_dinov2()
    weights = tmp_path / MODEL / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.safetensors has sha256 .*, expected"):
        load_dinov2()


def test_a_folder_that_is_not_whole_is_no_model(dinov2_folder, tmp_path):
    with pytest.raises(ValueError, match=f"into {tmp_path}"):
        load_dinov2(tmp_path)
    lacking = shutil.copytree(dinov2_folder, tmp_path / "lacking")
    tensors = load_file(lacking / "model.safetensors")
    del tensors["layernorm.weight"]
    save_file(tensors, lacking / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"model\.safetensors lacks layernorm\.weight of what its config\.json says"):
        load_dinov2(lacking)
    cut = shutil.copytree(dinov2_folder, tmp_path / "cut")
    content = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="no DINOv2 weights here") as caught:
        load_dinov2(cut)
    assert "\n" not in str(caught.value)


def test_pictures_must_fit_the_patches(backbone, encoder, observe):
    with pytest.raises(ValueError, match="width is 30, expected a multiple of the patch size 14"):
        DinoV2Encoder(backbone, DinoV2EncoderCfg(28, 30))
    with pytest.raises(ValueError, match="holds no pictures"):
        encoder.encode(observe())
