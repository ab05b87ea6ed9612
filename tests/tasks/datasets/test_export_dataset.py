"""scripts/export_dataset.py: one line and exit code 2 for bad input; what is exported is training data."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import h5py
import pytest

from flow_rag_vla.benchmark.datasets.export import export_scenarios, make_writer
from flow_rag_vla.benchmark.episodes.seeds import split_of

TASK = "FlowRAG-PickPlace-Franka"
SCRIPT = Path(__file__).parents[3] / "scripts" / "export_dataset.py"


@pytest.fixture(scope="module")
def main() -> Callable[[list[str]], int]:
    return runpy.run_path(str(SCRIPT))["main"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fault", "gremlin"], "unknown fault 'gremlin'; available: action_hold"),
        (["--task", "FlowRAG-Juggle-Franka"], "unknown task 'FlowRAG-Juggle-Franka'; available: pick_place (FlowRAG"),
        (["--seed", "-1"], "--seed is -1, expected 0 to 499"),
        (["--num_episodes", "1100000"], "--num_episodes is 1100000, expected 1 to 1020000"),
        (["--num_envs", "0"], "--num_envs is 0, expected 1 to 262144"),
        (["--format", "zarr"], "invalid choice: 'zarr'"),
        (["--expert", "clairvoyant"], "invalid choice: 'clairvoyant'"),
    ],
)
def test_bad_input_gives_one_line_and_leaves_no_folder(main, tmp_path: Path, capsys, arguments, message: str):
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_left_alone(main, tmp_path: Path, capsys):
    (tmp_path / "precious").write_text("data")
    with pytest.raises(SystemExit) as stop:
        main(["--out", str(tmp_path)])
    assert stop.value.code == 2
    assert f"{tmp_path} is not empty" in capsys.readouterr().err.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


@pytest.mark.parametrize("flag", ["--out", "--log"])
def test_a_place_that_cannot_be_written_to_is_named(main, tmp_path: Path, capsys, flag: str):
    (tmp_path / "file").write_text("")
    places = {"--out": tmp_path / "out", "--log": tmp_path / "log"} | {flag: tmp_path / "file" / "below"}
    with pytest.raises(SystemExit) as stop:
        main([word for name, path in places.items() for word in (name, str(path))])
    assert stop.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"{flag} {tmp_path / 'file' / 'below'} cannot be written" in line


def test_exported_scenarios_are_training_scenarios_with_the_fault():
    scenarios = export_scenarios(TASK, "beam", seed=2, num_episodes=20)
    assert {s.fault for s in scenarios} == {"beam"}
    assert {split_of(s.layout_seed) for s in scenarios} == {"train"}
    assert len({s.id for s in scenarios}) == 20
    assert {s.fault for s in export_scenarios(TASK, "none", 2, 20)} == {"none"}


def test_an_unknown_format_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="unknown format 'zarr'; available: lerobot, hdf5"):
        make_writer("zarr", tmp_path, TASK)


@pytest.mark.parametrize("task", ["pick_place", TASK])
def test_an_hdf5_file_names_the_environment_as_gym_knows_it(tmp_path: Path, task: str):
    writer = make_writer("hdf5", tmp_path, task)
    writer.close()
    with h5py.File(tmp_path / "trajectories.hdf5") as file:
        env_name = json.loads(str(file["data"].attrs["env_args"]))["env_name"]
    assert env_name == TASK
    assert gym.spec(env_name).id == TASK
