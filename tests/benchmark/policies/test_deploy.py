"""The deployment scripts: what they measure, and one line with exit code 2 for what they cannot use."""

from __future__ import annotations

import io
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from flow_rag_vla.agents.deployment.runtimes import RUNTIMES, OnnxFiles
from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint, save_checkpoint
from flow_rag_vla.agents.policy.demonstration_bank import bank_path
from flow_rag_vla.agents.policy.encoders import LearnedStateEncoder
from flow_rag_vla.agents.policy.features import NUM_POLICY_FEATURES
from flow_rag_vla.agents.policy.flow_matching import FlowMatching, FlowMatchingCfg
from flow_rag_vla.agents.policy.instruction_encoder import INSTRUCTION_DIM
from flow_rag_vla.agents.policy.instructions import InstructionTable
from flow_rag_vla.agents.policy.velocity_network import VelocityNetworkCfg
from flow_rag_vla.benchmark.policies.runtimes import (
    STEPS,
    ActionDifference,
    RuntimeRow,
    action_difference,
    compare_runtimes,
    demonstrated_inputs,
    prepare_runtime,
    runtime_table,
)

SCRIPTS = Path(__file__).parents[3] / "scripts"


@pytest.fixture
def saved(tmp_path):
    """A small policy of two tasks and its bank: states of the first are all 1, of the second all 2."""
    texts = InstructionTable(["pick it", "stack it"], ["PickPlace", "Stack"], torch.eye(2, INSTRUCTION_DIM))
    flow = FlowMatching(FlowMatchingCfg(VelocityNetworkCfg(horizon=4, hidden_dim=16, num_layers=1), "euler", 2))
    path = tmp_path / "policy.safetensors"
    policy = PolicyCheckpoint(LearnedStateEncoder(instructions=texts), flow)
    save_checkpoint(path, policy)
    task = torch.tensor([0, 1, 0])
    rows = {
        "features": (1.0 + task).unsqueeze(1).expand(3, NUM_POLICY_FEATURES).half().contiguous(),
        "chunks": torch.zeros(3, 4, 7).half(),
        "task": task,
    }
    save_file(rows, bank_path(path), metadata={"tasks": json.dumps(["PickPlace", "Stack"])})
    return path, policy


def test_the_difference_is_the_worst_one_in_each_unit():
    chunks, reference = torch.zeros(2, 3, 7), torch.zeros(2, 3, 7)
    chunks[0, 1, 1], chunks[1, 2, 2] = -0.25, 0.125
    chunks[1, 0, 4] = 0.5
    chunks[0, 0, 6], reference[0, 0, 6] = -1.0, 1.0
    assert action_difference(chunks, reference) == ActionDifference(0.25, 0.5, 2.0)


def test_demonstrated_inputs_pair_states_with_texts_of_their_task(saved):
    path, policy = saved
    features, instruction, noise = demonstrated_inputs(policy, bank_path(path), 20)
    assert noise.shape == (20, 4, 7)
    assert set(features[:, 0].tolist()) == {1.0, 2.0}
    assert torch.equal(instruction.argmax(dim=1), features[:, 0].long() - 1)


def test_torch_beside_itself_differs_by_nothing(saved, tmp_path):
    path, policy = saved
    inputs = demonstrated_inputs(policy, bank_path(path), 3)
    steps = []
    prepared = prepare_runtime("torch", policy, OnnxFiles(policy, tmp_path), 3)
    rows = compare_runtimes(policy, [prepared], inputs, steps.append)
    assert [(row.runtime, row.device) for row in rows] == [("torch", "cpu")]
    assert rows[0].difference == ActionDifference(0.0, 0.0, 0.0)
    assert 0.0 < rows[0].p50_ms <= rows[0].p95_ms
    assert steps == list(range(1, STEPS + 1))


@pytest.mark.parametrize(
    ("device", "single", "fleet", "heads"),
    [
        ("cpu", "x5.00", "x10.00", ["batch 1: CPU ms", "batch 1: speed by CPU time", "batch 64: speed by CPU time"]),
        ("cuda:0", "x2.00", "x4.00", ["batch 1: speed by the clock", "batch 64: speed by the clock"]),
    ],
)
def test_speed_is_by_processor_time_on_the_cpu_and_by_the_clock_on_a_gpu(device, single, fleet, heads):
    none = ActionDifference(0.0, 0.0, 0.0)
    slow = RuntimeRow("torch", device, 4.0, 5.0, 10.0, 8.0, 20.0, 10**6, none, "")
    fast = RuntimeRow("compile", device, 2.0, 3.0, 2.0, 2.0, 2.0, 10**6, none, "")
    head, _, first, second = runtime_table([slow, fast], 64, device).splitlines()
    assert [cell for cell in first.split() if cell.startswith("x")] == ["x1.00", "x1.00"]
    assert [cell for cell in second.split() if cell.startswith("x")] == [single, fleet]
    assert all(name in head for name in heads)
    assert ("CPU" in head) == (device == "cpu")


def refused(capsys, script, *arguments):
    """The last line that the script answers to ``arguments``; run in this process, since importing takes seconds."""
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(SCRIPTS / script))["main"]([*map(str, arguments)])
    assert stop.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_unknown_runtimes_get_the_list(capsys):
    line = refused(capsys, "optimize_tensorrt.py", "--runtimes", "torch,tflite")
    assert line.endswith(f"unknown runtime 'tflite'; available: {', '.join(RUNTIMES)}")


@pytest.mark.parametrize("script", ["optimize_tensorrt.py", "quantize_model.py"])
def test_a_missing_checkpoint_gets_one_line(capsys, script, tmp_path):
    line = refused(capsys, script, "--checkpoint", tmp_path / "none.safetensors", "--out", tmp_path / "out")
    assert line.endswith("none.safetensors: no such file")
    assert not (tmp_path / "out").exists()


def test_evaluation_knows_the_same_runtimes(capsys):
    assert refused(capsys, "evaluate.py", "--runtime", "tflite").endswith(
        f"invalid choice: 'tflite' (choose from {', '.join(map(repr, RUNTIMES))})"
    )


def test_other_runtimes_are_for_the_flow_alone(capsys):
    line = refused(capsys, "evaluate.py", "--runtime", "onnx", "--arm", "expert")
    assert line.endswith("--runtime onnx runs the policy of flow_only, got --arm expert")


def test_numbers_that_do_not_serve_get_one_line(saved, tmp_path):
    from flow_rag_vla.benchmark.policies.deploy import DeploymentRequest, quantize

    path, _ = saved
    for request, message in (
        (DeploymentRequest(str(path), tmp_path / "out", 0, 8), "ode_steps is 0, expected at least 1"),
        (DeploymentRequest(str(path), tmp_path / "out", None, 0), "the fleet has 0 rows, expected at least 1"),
        (DeploymentRequest(str(path), path / "out", None, 8), "cannot write to"),
    ):
        with pytest.raises(ValueError, match=message):
            quantize(request, sys.stdout)


def test_an_engine_too_small_for_the_fleet_is_refused_before_anything_is_built(saved, tmp_path):
    from flow_rag_vla.benchmark.policies.deploy import DeploymentRequest, optimize

    request = DeploymentRequest(str(saved[0]), tmp_path / "out", None, 1024, ("cpu", "cuda:0"))
    with pytest.raises(ValueError, match=r"takes 16 rows \(--max_batch\), expected at least the 1024 of --fleet"):
        optimize(request, ("torch", "tensorrt"), fp16=True, max_batch=16, console=io.StringIO())
    assert not (tmp_path / "out").exists()


def test_a_device_that_no_named_runtime_is_for_gets_a_line(saved, tmp_path):
    from flow_rag_vla.benchmark.policies import deploy

    path, policy = saved
    console, files = io.StringIO(), OnnxFiles(policy, tmp_path)
    inputs = demonstrated_inputs(policy, bank_path(path), 3)
    assert deploy._compare(policy, ("tensorrt",), files, inputs, ("cpu",), console) == []
    assert console.getvalue() == "cpu: nothing is timed, none of tensorrt is for it\n"


@pytest.mark.slow
def test_the_scripts_write_the_files_and_say_what_they_found(saved, tmp_path):
    path, _ = saved
    for script, runtimes in (("optimize_tensorrt.py", ["torch", "onnx"]), ("quantize_model.py", None)):
        report = tmp_path / f"{script}.json"
        extra = ["--runtimes", ",".join(runtimes)] if runtimes else []
        command = [sys.executable, SCRIPTS / script, "--checkpoint", path, "--out", tmp_path / script, "--json", report]
        result = subprocess.run([*command, "--fleet", "8", *extra], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        written = json.loads(report.read_text())
        assert [row["runtime"] for row in written["rows"]] == (runtimes or ["torch", "onnx", "int8"])
        suffixes = ("", "_fp16") if runtimes else ("", "_int8")
        assert all((tmp_path / script / f"policy{suffix}.onnx").exists() for suffix in suffixes)
