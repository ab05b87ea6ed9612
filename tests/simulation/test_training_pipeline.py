"""scripts/train.py from nothing, with the simulator: demonstrations, a policy, its success in simulation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flow_rag_vla.agents.policy.checkpoint import load_checkpoint

SCRIPT = Path(__file__).parents[2] / "scripts" / "train.py"


@pytest.mark.sim
@pytest.mark.slow
def test_one_command_records_trains_and_validates(tmp_path: Path) -> None:
    settings = ("collection.num_demonstrations=16", "collection.num_envs=16", "validation.every=20")
    result = subprocess.run(
        [sys.executable, str(SCRIPT), "--preset", "tiny", "--tasks", "lift", "validation.num_envs=4", *settings],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    folder = tmp_path / "outputs" / "train" / "tiny"
    checkpoint = load_checkpoint(folder / "policy.safetensors")
    assert checkpoint.tasks == ("FlowRAG-Lift-Franka",)
    found = [result["tasks"]["FlowRAG-Lift-Franka"]["n"] for result in checkpoint.training["validation"]]
    assert found == [4, 4]
    parts = json.loads((folder / "timing.json").read_text())["parts_s"]
    assert set(parts) == {"collect lift", "load demonstrations", "train", "validate lift", "save"}
    assert {path.name for path in (tmp_path / "demonstrations" / "lift").iterdir()} == {"wave-000.safetensors"}
