"""Commands refuse bad input in one line and with exit code 2, before they measure or train anything."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.command.output_path import refuse_unwritable, refuse_unwritable_folder

SCRIPTS = Path(__file__).parents[3] / "scripts"
NETWORK = ("--networks", "a=b.safetensors")


def refused(capsys, script, *arguments):
    """The one line that ``script`` answers to ``arguments``."""
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(SCRIPTS / script))["main"]([*map(str, arguments)])
    assert stop.value.code == 2
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert sum("error:" in line for line in lines) == 1
    assert captured.out == ""
    return lines[-1]


@pytest.mark.parametrize(
    ("script", "flag"),
    [
        ("train_detector.py", "--threads"),
        ("evaluate_detector.py", "--threads"),
        ("train_vision.py", "--threads"),
        ("optimize_tensorrt.py", "--threads"),
        ("quantize_model.py", "--threads"),
        ("evaluate.py", "--num_envs"),
        ("evaluate.py", "--ode_steps"),
        ("evaluate.py", "--execute"),
        ("certify_scenarios.py", "--n"),
        ("compare_engines.py", "--n"),
        ("compare_engines.py", "--num_envs"),
        ("collect_demos.py", "--num_demonstrations"),
        ("collect_failures.py", "--num_episodes"),
        ("collect_renders.py", "--num_pictures"),
        ("train_detector.py", "--iterations"),
        ("train_detector.py", "--novelty_iterations"),
        ("train_detector.py", "--batch_size"),
        ("train_vision.py", "--epochs"),
        ("train_vision.py", "--batch_size"),
        ("train_vision.py", "--channels"),
    ],
)
def test_numbers_below_one_are_refused(capsys, script, flag):
    assert f"{flag} is 0, expected 1 to " in refused(capsys, script, flag, 0)


def test_a_size_that_only_the_cnn_has_is_refused_for_dinov2(capsys):
    line = refused(capsys, "train_vision.py", "--encoder", "dinov2", "--channels", 8)
    assert line.endswith("--channels is for --encoder cnn, got --encoder dinov2")


def test_failures_are_recorded_of_a_policy_that_knows_the_task(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(PolicyCheckpoint, "tasks", ("FlowRAG-Lift-Franka",))
    monkeypatch.setattr(
        "flow_rag_vla.benchmark.detectors.collect_failures.make_fleet",
        lambda *_, **__: pytest.fail("a fleet was built"),
    )
    outputs = ("--out", tmp_path / "out.safetensors", "--log", tmp_path / "log")
    line = refused(capsys, "collect_failures.py", "--task", "stack", *outputs)
    assert "knows FlowRAG-Lift-Franka, not FlowRAG-Stack-Franka" in line


@pytest.mark.parametrize(
    ("script", "flag", "others"),
    [
        ("evaluate.py", "--json", ()),
        ("evaluate.py", "--log", ()),
        ("policy_table.py", "--json", NETWORK),
        ("policy_table.py", "--log", NETWORK),
        ("optimize_tensorrt.py", "--json", ()),
        ("quantize_model.py", "--json", ()),
        ("evaluate_detector.py", "--json", ()),
        ("train_detector.py", "--out", ()),
        ("train_vision.py", "--out", ()),
        ("collect_failures.py", "--out", ()),
        ("collect_failures.py", "--log", ()),
        ("throughput.py", "--json", ()),
        ("throughput.py", "--log", ()),
        ("audit_labels.py", "--json", ()),
        ("audit_labels.py", "--log", ()),
        ("certify_scenarios.py", "--json", ()),
        ("certify_scenarios.py", "--log", ()),
        ("compare_engines.py", "--json", ()),
        ("compare_engines.py", "--log", ()),
        ("measure_contacts.py", "--json", ()),
        ("measure_contacts.py", "--log", ()),
        ("training_curve.py", "--json", ("run",)),
        ("export_dataset.py", "--log", ("--out", "new")),
    ],
)
def test_outputs_that_cannot_be_written_are_refused_first(capsys, tmp_path, monkeypatch, script, flag, others):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "result"
    assert refused(capsys, script, flag, path, *others).endswith(
        f"{flag} {path} cannot be written: its folder is a file"
    )


@pytest.mark.parametrize(
    ("script", "flag"),
    [
        ("certify_scenarios.py", "--out"),
        ("collect_demos.py", "--out"),
        ("collect_renders.py", "--out"),
        ("demo.py", "--out"),
        ("evaluate_detector.py", "--figures"),
        ("export_dataset.py", "--out"),
    ],
)
def test_folders_that_cannot_be_written_are_refused_first(capsys, tmp_path, monkeypatch, script, flag):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "file"
    path.write_text("precious")
    assert refused(capsys, script, flag, path).endswith(f"{flag} {path} cannot be written: it is a file")
    below = path / "below"
    assert refused(capsys, script, flag, below).endswith(f"{flag} {below} cannot be written: Not a directory")
    assert path.read_text() == "precious"


def test_a_learning_curve_is_drawn_into_a_folder(capsys, tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "curve.svg"
    assert refused(capsys, "training_curve.py", tmp_path, "--out", path).endswith("its folder is a file")


def test_a_writable_output_is_left_as_it_is(tmp_path):
    old, new = tmp_path / "old.json", tmp_path / "folder" / "new.json"
    old.write_text("{}")
    refuse_unwritable(json=old, log=new, out=None)
    assert old.read_text() == "{}"
    assert not new.exists()
    with pytest.raises(UsageError, match="cannot be written: Is a directory"):
        refuse_unwritable(json=tmp_path)


def test_a_writable_folder_keeps_what_it_holds_and_gets_nothing(tmp_path):
    (tmp_path / "old.json").write_text("{}")
    refuse_unwritable_folder(out=tmp_path, figures=None)
    refuse_unwritable_folder(out=tmp_path / "new" / "folder")
    assert (tmp_path / "old.json").read_text() == "{}"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder", "new", "old.json"]


def test_a_throughput_of_an_unknown_task_is_refused(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "unknown task 'juggle'; available: pick_place" in refused(capsys, "throughput.py", "--task", "juggle")


def test_an_evaluation_executes_no_more_than_a_chunk_and_says_so_before_it_builds_a_fleet(
    capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "flow_rag_vla.benchmark.policies.evaluate.make_fleet", lambda *_, **__: pytest.fail("a fleet was built")
    )
    line = refused(capsys, "evaluate.py", "--execute", 17, "--num_envs", 1)
    assert line.endswith("execute is 17, expected at most the policy's horizon of 16")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--physics", "a", "b", "c"), "--physics a b c: expected one or two presets"),
        (("--physics", "a", "a"), "--physics a a: expected each name once"),
        (("--physics", "a"), "--physics a alone: nothing to compare; expected --json FILE, too"),
        (("--physics", "a", "newton_mjwarp"), "unknown physics preset 'a'; available: newton_mujoco, newton_mjwarp"),
        (("--arms", "parallel"), "invalid choice: 'parallel'"),
        (("--split", "evaluation"), "unrecognized arguments: --split evaluation"),
        (("--task", "juggle"), "unknown task 'juggle'; available: pick_place"),
        (("--fault", "earthquake"), "fault 'earthquake' is not offered by pick_place"),
        (("--reuse", "none.json"), "none.json cannot be read: No such file or directory"),
    ],
)
def test_engines_are_compared_two_at_a_time_by_names_that_exist(capsys, tmp_path, monkeypatch, arguments, complaint):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "flow_rag_vla.benchmark.engines.compare.make_fleet", lambda *_, **__: pytest.fail("a fleet was built")
    )
    assert complaint in refused(capsys, "compare_engines.py", *arguments)


def test_pictures_come_late_only_where_there_are_some(capsys):
    line = refused(capsys, "evaluate.py", "--vision_async")
    assert line.endswith("--vision_async looks at pictures, got --obs state; expected --obs rgb")


@pytest.mark.parametrize("flag", ["--backbone", "--height", "--width"])
def test_what_only_dinov2_has_is_refused_for_the_cnn(capsys, flag):
    line = refused(capsys, "train_vision.py", flag, 28)
    assert line.endswith(f"{flag} is for --encoder dinov2, got --encoder cnn")


@pytest.mark.parametrize("flag", ["--renders", "--validation"])
def test_damaged_pictures_are_named_before_training(capsys, tmp_path, flag):
    (tmp_path / "a.safetensors").write_bytes(b"cut short")
    line = refused(capsys, "train_vision.py", flag, tmp_path, "--out", tmp_path / "out" / "net.safetensors")
    assert f"{tmp_path / 'a.safetensors'}: not a readable safetensors file" in line
    save_file({"rgb": torch.zeros(1)}, tmp_path / "a.safetensors")
    line = refused(capsys, "train_vision.py", flag, tmp_path, "--out", tmp_path / "out" / "net.safetensors")
    assert "a.safetensors lacks camera_shift_m" in line


@pytest.mark.parametrize("flag", ["--forces", "--ratios"])
@pytest.mark.parametrize("numbers", ["heavy", "0.9,0.9", "0"])
def test_contacts_are_measured_with_different_positive_numbers(capsys, tmp_path, monkeypatch, flag, numbers):
    monkeypatch.chdir(tmp_path)
    line = refused(capsys, "measure_contacts.py", flag, numbers)
    assert f"{flag}: expected" in line
    assert line.endswith(f"got {numbers!r}")


def test_validation_on_training_layouts_is_refused_before_training(capsys, tmp_path):
    widths = {"ee_pos_b": 3, "ee_quat_b": 4, "gripper_width_m": 1, "grip_force_n": 1, "previous_action": 7}
    widths |= {"object_pos_b": 3, "object_quat_b": 4, "object_size_m": 3, "object_rgb": 3, "goal_pos_b": 3}
    rows = {name: torch.ones(1, width) for name, width in (widths | {"camera_shift_m": 3}).items()}
    rows |= {"rgb": torch.zeros(1, 8, 8, 3, dtype=torch.uint8), "goal_shown": torch.ones(1, dtype=torch.bool)}
    save_file(rows | {"layout_seed": torch.tensor([5])}, tmp_path / "a.safetensors")
    # The pictures to train on do not exist: that would be said if validation were looked at later.
    line = refused(
        capsys, "train_vision.py", "--validation", tmp_path, "--renders", tmp_path / "none", "--out", tmp_path / "net"
    )
    assert "development" in line
