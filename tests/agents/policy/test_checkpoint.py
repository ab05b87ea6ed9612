from __future__ import annotations

import dataclasses
import json
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from flow_rag_vla.agents.files.file_hash import file_sha256
from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint, load_checkpoint, save_checkpoint
from flow_rag_vla.agents.policy.encoders import LearnedStateEncoder
from flow_rag_vla.agents.policy.flow_matching import FlowMatching, FlowMatchingCfg
from flow_rag_vla.agents.policy.velocity_network import VelocityNetworkCfg


@pytest.fixture
def saved(tmp_path, instructions):
    flow = FlowMatching(FlowMatchingCfg(VelocityNetworkCfg(hidden_dim=16, num_layers=1), "midpoint", 2))
    torch.nn.init.normal_(flow.get_parameter("velocity_net.net.output.weight"))
    flow.set_action_statistics(torch.arange(7.0), torch.full((7,), 2.0))
    checkpoint = PolicyCheckpoint(LearnedStateEncoder(instructions=instructions), flow, {"command": "scripts/train.py"})
    path = tmp_path / "policy.safetensors"
    save_checkpoint(path, checkpoint)
    return path, checkpoint


def rewritten(path, tensors=None, **changes):
    """The checkpoint at ``path`` with parts of its header or tensors exchanged."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["policy"])
    for name, value in changes.items():
        header[name] = value(header[name]) if callable(value) else value
    save_file(load_file(path) if tensors is None else tensors, path, metadata={"policy": json.dumps(header)})
    return path


def test_a_policy_survives_saving_and_loading(saved, observe):
    path, original = saved
    loaded = load_checkpoint(path)
    noise = torch.randn(3, 8, 7)
    state = original.encoder.encode(observe(3))
    assert torch.equal(
        loaded.flow.generate(loaded.encoder.encode(observe(3)), noise), original.flow.generate(state, noise)
    )
    assert loaded.flow.cfg == original.flow.cfg
    assert loaded.training == {"command": "scripts/train.py"}
    assert loaded.sha256 == file_sha256(path)


def test_a_checkpoint_brings_the_instructions_that_it_knows_and_their_tasks(saved, instructions):
    path, _ = saved
    loaded = load_checkpoint(path)
    assert loaded.tasks == instructions.tasks
    known = loaded.encoder.instructions
    assert (known.texts, known.text_tasks) == (instructions.texts, instructions.text_tasks)
    assert torch.equal(known.embeddings, instructions.embeddings)


def test_a_task_that_a_policy_was_not_trained_on_is_refused_by_name(saved):
    path, _ = saved
    loaded = load_checkpoint(path)
    loaded.require_task("Stack", path)
    with pytest.raises(ValueError, match=r"policy\.safetensors knows PickPlace, Stack, not Lift; train one") as error:
        loaded.require_task("Lift", path)
    assert "\n" not in str(error.value)


def test_the_expected_hash_is_checked(saved):
    path, _ = saved
    assert load_checkpoint(path, sha256=file_sha256(path)).sha256 == file_sha256(path)
    with pytest.raises(ValueError, match="expected 00"):
        load_checkpoint(path, sha256="00")


def refused(path, message):
    with pytest.raises(ValueError, match=message) as error:
        load_checkpoint(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_a_missing_file_gives_one_line(tmp_path):
    refused(tmp_path / "none.safetensors", "no such file")


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, -1])
def test_a_truncated_file_gives_one_line(saved, keep):
    path, _ = saved
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    refused(path, "not a readable safetensors file")


@pytest.mark.parametrize("name", ["policy.pt", "policy.safetensors"])
def test_a_pickle_is_refused_and_not_executed_whatever_it_is_called(tmp_path, name):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    path = tmp_path / name
    path.write_bytes(pickle.dumps(Bomb()))
    refused(path, "not a readable safetensors file")
    for legacy in (False, True):
        torch.save({"weights": torch.zeros(3), "bomb": Bomb()}, path, _use_new_zipfile_serialization=not legacy)
        refused(path, "not a readable safetensors file")
    assert not (tmp_path / "executed").exists()
    torch.load(path, weights_only=False)  # the bomb is real
    assert (tmp_path / "executed").exists()


def test_a_directory_gives_one_line(tmp_path):
    refused(tmp_path, "not a readable safetensors file")


def test_foreign_safetensors_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weights": torch.zeros(3)}, path)
    refused(path, "no policy header")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "does not say format"),
        ({"version": 99}, "version 99"),
        ({"version": 1}, "version 1, this program reads 2"),
        ({"instructions": None}, "names no instructions"),
        ({"instructions": {"texts": ["lift"], "tasks": [3]}}, "tasks are not a list of texts"),
        ({"instructions": {"texts": ["lift"], "tasks": ["Lift"]}}, "got 1 texts, 1 tasks and embeddings"),
        ({"encoder": lambda encoder: {**encoder, "instruction_dim": 8}}, "instructions of 8 numbers"),
        ({"encoder": lambda encoder: {**encoder, "hidden_dim": 8}}, "expected torch.float32"),
        ({"encoder": None}, "holds no LearnedStateEncoderCfg"),
        ({"flow": lambda flow: {**flow, "solver": "rk45"}}, "unknown solver"),
        ({"flow": None}, "holds no FlowMatchingCfg"),
        ({"flow": lambda flow: {**flow, "bf16_min_batch": 64}}, "has fields"),
        ({"flow": lambda flow: {**flow, "ode_steps": "5"}}, "expected a int"),
        ({"flow": lambda flow: {**flow, "velocity": {**flow["velocity"], "hidden_dim": 32}}}, "expected torch.float32"),
        ({"flow": lambda flow: {**flow, "velocity": {**flow["velocity"], "hidden_dim": 10**9}}}, "expected 0 to"),
        ({"flow": lambda flow: {**flow, "velocity": {**flow["velocity"], "state_dim": 64}}}, "reads 64 numbers"),
        ({"flow": lambda flow: {**flow, "velocity": {**flow["velocity"], "num_layers": 2}}}, "missing"),
        ({"encoder": lambda encoder: {**encoder, "num_features": 3}}, "expects 3 policy features"),
        ({"encoder": lambda encoder: {**encoder, "colour": 3}}, "has fields"),
    ],
)
def test_a_header_that_does_not_fit_gives_one_line(saved, changes, message):
    refused(rewritten(saved[0], **changes), message)


def test_a_file_from_before_a_setting_was_removed_loads_where_the_setting_was_off(saved):
    path, checkpoint = saved
    older = load_checkpoint(rewritten(path, flow=lambda flow: {**flow, "bf16_min_batch": 0}))
    assert older.flow.cfg == checkpoint.flow.cfg


def test_instructions_without_embeddings_are_refused(saved):
    path, _ = saved
    tensors = load_file(path)
    embeddings = tensors.pop("instruction_embeddings")
    refused(rewritten(path, tensors), "names no instructions")
    tensors["instruction_embeddings"] = embeddings.half()
    refused(rewritten(path, tensors), "not finite float32")
    tensors["instruction_embeddings"] = embeddings[:, :9].contiguous()
    refused(rewritten(path, tensors), "expected as many of each")


def test_weights_that_are_not_finite_are_refused(saved):
    path, _ = saved
    tensors = load_file(path)
    tensors["flow.action_std"][3] = float("nan")
    refused(rewritten(path, tensors), "flow.action_std holds values that are not finite")


def test_every_velocity_option_is_in_the_header(saved):
    path, checkpoint = saved
    assert dataclasses.asdict(load_checkpoint(path).flow.cfg) == dataclasses.asdict(checkpoint.flow.cfg)
