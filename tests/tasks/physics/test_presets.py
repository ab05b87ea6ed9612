"""Physics presets, the Panda asset and the gripper law, without a running simulation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from flow_rag_vla.tasks.assets.gripper import GripperForce
from flow_rag_vla.tasks.assets.panda import panda_usd_path
from flow_rag_vla.tasks.facts import contact_parameters
from flow_rag_vla.tasks.facts.contact_parameters import CLOSING_SPEED_M_S, FINGER_STIFFNESS_N_M
from flow_rag_vla.tasks.physics.native_solver import physics_threads
from flow_rag_vla.tasks.physics.presets import default_physics, physics_cfg


def test_an_unknown_preset_names_those_that_exist() -> None:
    with pytest.raises(ValueError, match=r"'bullet'.*newton_mujoco, newton_mjwarp, isaacsim_physx"):
        physics_cfg("bullet")


def test_isaac_sim_is_asked_for_only_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="Isaac Sim"):
        physics_cfg("isaacsim_physx")


def test_the_device_decides_the_default() -> None:
    assert default_physics("cpu") == "newton_mujoco"
    assert default_physics("cuda:0") == "newton_mjwarp"


def test_the_engine_of_the_cpu_is_refused_on_a_gpu() -> None:
    with pytest.raises(ValueError, match="'newton_mujoco' runs on the CPU, got device 'cuda:0'; there it"):
        physics_cfg("newton_mujoco", "cuda:0")


@pytest.mark.parametrize("text", ["0", "-1", "many", ""])
def test_a_senseless_number_of_threads_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("FLOW_RAG_VLA_PHYSICS_THREADS", text)
    with pytest.raises(ValueError, match="positive whole number"):
        physics_threads()


def test_the_panda_is_converted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOW_RAG_VLA_CACHE", str(tmp_path))
    path = Path(panda_usd_path())
    first = path.stat().st_mtime_ns
    assert path.parent == tmp_path
    assert Path(panda_usd_path()).stat().st_mtime_ns == first
    # Contacts are written into the file: others need another.
    monkeypatch.setattr(contact_parameters, "CONTACT_SOLREF", (0.02, 1.0))
    assert Path(panda_usd_path()) != path


def test_a_closed_grip_presses_with_the_commanded_force_on_what_stops_it() -> None:
    gripper = GripperForce(2, "cpu")
    fingers = torch.full((2, 2), 0.025)
    for _ in range(30):
        gripper.targets(torch.tensor([-0.25, -1.0]), fingers)
    target = gripper.targets(torch.tensor([-0.25, -1.0]), fingers)
    force = FINGER_STIFFNESS_N_M * (fingers - target)
    assert force == pytest.approx(torch.tensor([[10.0, 10.0], [40.0, 40.0]]), rel=1e-4)


def test_closing_is_no_faster_than_its_limit() -> None:
    gripper = GripperForce(1, "cpu")
    target = gripper.targets(torch.tensor([-1.0]), torch.full((1, 2), 0.04))
    assert target[0, 0].item() == pytest.approx(0.04 - CLOSING_SPEED_M_S / 30)


def test_a_command_in_the_deadband_keeps_the_last_one_and_reset_opens() -> None:
    gripper = GripperForce(2, "cpu")
    fingers = torch.full((2, 2), 0.025)
    for command in (*[-0.25] * 7, 0.0):
        gripper.targets(torch.full((2,), command), fingers)
    target = gripper.targets(torch.full((2,), 0.04), fingers)
    assert target[0, 0].item() == pytest.approx(0.025 - 10.0 / FINGER_STIFFNESS_N_M)
    gripper.reset(torch.tensor([1]))
    target = gripper.targets(torch.zeros(2), fingers)
    assert target[1, 0].item() == pytest.approx(0.04)
    assert target[0, 0].item() < 0.025
