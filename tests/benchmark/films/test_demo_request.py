"""What a demo is asked for: names, numbers, and what the command line answers to bad ones."""

from __future__ import annotations

import dataclasses
import runpy
from pathlib import Path

import pytest
import torch

from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint, save_checkpoint
from flow_rag_vla.agents.policy.encoders import LearnedStateEncoder
from flow_rag_vla.agents.policy.flow_matching import FlowMatching, FlowMatchingCfg
from flow_rag_vla.agents.policy.instruction_encoder import INSTRUCTION_DIM
from flow_rag_vla.agents.policy.instructions import InstructionTable
from flow_rag_vla.agents.policy.velocity_network import VelocityNetworkCfg
from flow_rag_vla.benchmark.episodes.seeds import split_of
from flow_rag_vla.benchmark.films.captions import Tone
from flow_rag_vla.benchmark.films.demo import DemoRequest, prepare_demo
from flow_rag_vla.benchmark.films.film import event_of
from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.contract import FAILURE_TYPES, PHASES, EpisodeTruth

SCRIPT = Path(__file__).parents[3] / "scripts" / "demo.py"
REQUEST = DemoRequest(
    task="pick_place", fault="post", arm="experts", attempts=2, seed=0, out=Path("unused"), format="mp4", width=64
)


def test_tasks_answer_to_short_names_and_gym_ids():
    gym_id = "FlowRAG-PickPlace-Franka"
    assert {get_task(name).name for name in ("pick_place", "pick_and_place", gym_id)} == {gym_id}
    assert get_task("FlowRAG-BinTransport-Franka").slug == "bin_transport"


def test_a_demo_shows_the_fault_on_a_development_layout():
    scenario = prepare_demo(REQUEST).scenario
    assert scenario.fault == "post"
    assert split_of(scenario.layout_seed) == split_of(scenario.site) == "development"


def test_seeds_name_different_layouts_and_the_same_seed_the_same():
    again, other = prepare_demo(REQUEST), prepare_demo(dataclasses.replace(REQUEST, seed=1))
    assert again.scenario == prepare_demo(REQUEST).scenario
    assert other.scenario.layout != again.scenario.layout


def test_the_file_is_named_after_task_fault_and_arm():
    assert prepare_demo(REQUEST).stem == Path("unused/pick_place-post-experts")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "juggle"}, "unknown task 'juggle'; available: .*pick_place"),
        ({"fault": "gremlin"}, "unknown fault 'gremlin'; available: .*post"),
        ({"arm": "octopus"}, "unknown arm 'octopus'; available: .*parallel.*nominal_expert"),
        ({"format": "avi"}, "unknown format 'avi'; available: mp4, gif"),
        ({"width": 100}, "width is 100, expected a multiple of 64"),
        ({"width": 0}, "width is 0"),
        ({"attempts": 0}, "attempts is 0, expected at least 1"),
        ({"seed": -1}, "seed -1 is out of range"),
        ({"arm": "parallel", "checkpoint": "/nowhere"}, "checkpoint /nowhere"),
    ],
)
def test_a_bad_request_is_refused_with_what_is_available(change: dict, message: str):
    with pytest.raises((ValueError, KeyError), match=message):
        prepare_demo(dataclasses.replace(REQUEST, **change))


def test_a_policy_that_was_not_trained_on_the_task_is_refused(tmp_path):
    texts = InstructionTable(["lift it"], ["FlowRAG-Lift-Franka"], torch.eye(1, INSTRUCTION_DIM))
    flow = FlowMatching(FlowMatchingCfg(VelocityNetworkCfg(horizon=4, hidden_dim=16, num_layers=1)))
    save_checkpoint(tmp_path / "lift.safetensors", PolicyCheckpoint(LearnedStateEncoder(instructions=texts), flow))
    request = dataclasses.replace(REQUEST, arm="flow_only", checkpoint=str(tmp_path / "lift.safetensors"))
    with pytest.raises(ValueError, match="knows FlowRAG-Lift-Franka, not FlowRAG-PickPlace-Franka"):
        prepare_demo(request)


def test_the_command_line_answers_a_bad_fault_with_one_line_and_code_2_and_leaves_nothing_behind(tmp_path, capfd):
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(SCRIPT))["main"](["--fault", "gremlin", "--out", str(out)])
    assert stop.value.code == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert "unknown fault 'gremlin'" in printed.err
    assert not out.exists()


def truth(**changes: float) -> EpisodeTruth:
    """One episode in which nothing has happened yet, but for ``changes``."""
    whole = {"failure_type": -1, "failure_phase": -1, "failure_step": -1, "invalid_reason": -1, "steps": 5}
    flags = {"done": False, "success": False, "invalid": False, "fault_fired": False}
    columns = {name: torch.tensor([changes.get(name, value)]) for name, value in {**whole, **flags}.items()}
    extremes = {
        n: torch.zeros(1) for n in ("peak_obstacle_force_n", "peak_grip_force_n", "penetration_m", "peak_penetration_m")
    }
    return EpisodeTruth(**columns, **extremes, failure_pos_b=torch.zeros(1, 3))


COLLISION = {
    "failure_type": FAILURE_TYPES.index("collision"), "failure_phase": PHASES.index("carry"), "failure_step": 4,
}  # fmt: skip


@pytest.mark.parametrize(
    ("happened", "event"),
    [
        ({}, ("", Tone.HAZARD)),
        ({"fault_fired": True}, ("the hazard acts", Tone.HAZARD)),
        ({"fault_fired": True, **COLLISION}, ("collision (carry)", Tone.FAILURE)),
        ({"success": True}, ("success", Tone.SUCCESS)),
        ({"success": True, "fault_fired": True, **COLLISION}, ("success", Tone.SUCCESS)),
        ({"invalid": True, **COLLISION}, ("invalid physics", Tone.FAILURE)),
    ],
)
def test_the_event_names_what_matters_most_so_far(happened: dict, event: tuple[str, Tone]):
    assert event_of(truth(**happened)) == event
