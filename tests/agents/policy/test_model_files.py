from __future__ import annotations

import hashlib
import json
import runpy
import shutil
from pathlib import Path

import pytest

from flow_rag_vla.agents.policy.model_files import LOCK_FILE, MODELS, local_folder, missing_files, record, verify
from flow_rag_vla.agents.vision.model_download import ModelMissingError, fetch

DOWNLOAD = Path(__file__).parents[3] / "scripts" / "download_models.py"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """The hub's own switch: it refuses at once instead of waiting for the network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOW_RAG_VLA_MODELS", str(tmp_path))
    return tmp_path / "dinov2-small"


def fill(folder):
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")


def test_offline_it_is_said_which_files_are_missing_and_where_they_belong(folder):
    with pytest.raises(ModelMissingError) as caught:
        fetch("dinov2-small")
    message = str(caught.value)
    assert "\n" not in message
    assert "missing config.json, model.safetensors" in message
    assert message.endswith(f"https://huggingface.co/facebook/dinov2-small into {folder}")


def test_unknown_files_are_trusted_once_and_then_held_to_it(folder):
    fill(folder)
    assert "trusted at first use" in fetch("dinov2-small")
    lock = json.loads((folder / LOCK_FILE).read_text())
    assert lock["sha256"]["model.safetensors"] == hashlib.sha256(b"weights").hexdigest()
    assert "have their recorded sha256" in fetch("dinov2-small")
    (folder / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(ValueError, match=r"model\.safetensors has sha256 .*, expected"):
        fetch("dinov2-small")


def test_a_broken_record_is_not_taken_for_none(folder):
    fill(folder)
    (folder / LOCK_FILE).write_text("[]")
    with pytest.raises(ValueError, match="is not a lock file"):
        fetch("dinov2-small")


def test_files_that_are_missing_cannot_be_verified_or_recorded(folder):
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    assert missing_files("dinov2-small") == ["model.safetensors"]
    for act in (verify, lambda model: record(model, "none")):
        with pytest.raises(ValueError, match=r"lacks model\.safetensors"):
            act("dinov2-small")


def test_the_packaged_model_has_its_pinned_hashes():
    assert set(MODELS["minilm"].sha256) == set(MODELS["minilm"].needed)
    assert "pinned sha256" in fetch("minilm")


def test_unknown_models_are_refused():
    with pytest.raises(KeyError, match="unknown model 'bert'; available: dinov2-small, minilm"):
        local_folder("bert")


def run(*arguments):
    return runpy.run_path(str(DOWNLOAD))["main"](list(arguments))


def refused(*arguments):
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    return stop.value.code == 2


def test_the_script_tells_missing_from_wrong_by_its_exit_code(folder, capsys):
    assert run("--model", "minilm") == 0
    assert run("--model", "all") == 3
    assert str(folder) in capsys.readouterr().err
    fill(folder)
    assert run("--model", "dinov2-small") == 0
    (folder / "config.json").write_text("[]")
    assert refused("--model", "all")


@pytest.fixture
def head(tmp_path, save_tiny_dinov2):
    """A vision checkpoint, and the folder of the backbone that it was trained on."""
    from flow_rag_vla.agents.vision.checkpoint import VisionCheckpoint, save_vision
    from flow_rag_vla.agents.vision.networks.dinov2 import DinoV2Encoder, DinoV2EncoderCfg
    from flow_rag_vla.agents.vision.networks.dinov2_backbone import load_dinov2

    backbone = save_tiny_dinov2(tmp_path / "trained-on")
    path = tmp_path / "vision.safetensors"
    save_vision(path, VisionCheckpoint(DinoV2Encoder(load_dinov2(backbone), DinoV2EncoderCfg(28, 42))))
    return path, backbone


def test_a_configuration_names_what_it_needs(folder, capsys):
    assert run("--encoder", "cnn") == run("--vision", "default") == 0
    assert "dinov2" not in capsys.readouterr().out
    assert run("--encoder", "dinov2") == 3
    captured = capsys.readouterr()
    assert "minilm: 5 files" in captured.out
    assert str(folder) in captured.err


def test_a_vision_checkpoint_needs_the_backbone_that_it_was_trained_on(folder, head, capsys):
    path, backbone = head
    assert run("--vision", str(path)) == 3
    fill(folder)
    assert refused("--vision", str(path))
    assert "model.safetensors has sha256 " in capsys.readouterr().err
    assert not (folder / LOCK_FILE).exists()
    shutil.rmtree(folder)
    shutil.copytree(backbone, folder)
    assert run("--vision", str(path)) == 0
    assert "trusted at first use" in capsys.readouterr().out


def test_an_unreadable_vision_checkpoint_is_bad_usage(tmp_path, capsys):
    assert refused("--vision", str(tmp_path / "none"))
    assert "no such file" in capsys.readouterr().err.splitlines()[-1]
