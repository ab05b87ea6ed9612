"""Presets, flags and overrides of the training command: what a typo gets told."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from flow_rag_vla.agents.policy.flow_matching import FlowMatching
from flow_rag_vla.benchmark.training.cli import main
from flow_rag_vla.benchmark.training.run import TrainingRun
from flow_rag_vla.benchmark.training.settings import PRESETS, compose_training, settings_from_json


def test_overrides_apply_to_the_preset_wherever_it_is_named():
    settings = compose_training(["training.iterations=77", "preset=tiny", "tasks=[lift]"])
    assert (settings.name, settings.tasks, settings.training.iterations) == ("tiny", ["lift"], 77)
    assert settings.network == PRESETS["tiny"]().network


def test_the_help_needs_no_torch():
    code = (
        "import sys; from flow_rag_vla.benchmark.training import cli\n"
        "try: cli.main(['--help'], None)\n"
        "except SystemExit: print(sorted({'torch', 'torchdiffeq', 'scipy'} & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "[]"


def test_the_default_knows_every_task():
    assert compose_training([]).tasks == ["pick_place", "stack", "lift", "bin_transport"]


def test_spaces_around_the_commas_of_a_list_of_tasks_do_not_count(capsys):
    with pytest.raises(SystemExit):
        main(["--tasks", "lift , stack", "--logger", "none_such"], Path("scripts"))
    assert "unknown logger 'none_such'" in capsys.readouterr().err


def test_the_guides_preset_has_the_guides_network():
    with torch.device("meta"):
        flow = FlowMatching(compose_training(["preset=guide"]).network.flow_cfg())
    assert 70e6 < sum(p.numel() for p in flow.parameters()) < 85e6
    assert (flow.horizon, flow.evaluations, flow.cfg.prediction) == (1, 5, "velocity")


@pytest.mark.parametrize("preset", PRESETS)
def test_settings_survive_their_file(preset):
    settings = compose_training([f"preset={preset}"])
    assert settings_from_json(asdict(settings)) == settings


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--preset", "huge"], "unknown preset 'huge'; available: default, guide, tiny"),
        (["--tasks", "pick_place,juggle"], "unknown task 'juggle'; available: pick_place"),
        (["--logger", "mlflow"], "unknown logger 'mlflow'; available: tensorboard, wandb"),
        (["--iterations", "many"], "many"),
        (["--iterations", "0"], "training.iterations is 0, expected 1 to 100000000"),
        (["validation.num_envs=0"], "validation.num_envs is 0, expected 1 to 262144"),
        (["validation.split=evaluation"], "validation.split"),
        (["validation.seed=500"], "validation.seed is 500, expected 0 to 499"),
        (["training.itrations=5"], "training.itrations"),
        (["network.kind=lstm"], "unknown velocity network 'lstm'"),
        (["network.solver=rk9"], "unknown solver 'rk9'"),
        (["--bogus"], "--bogus"),
        (["--iterations", "5", "training.iterations=6"], "training.iterations is given twice, training.iterations=5"),
        (["bogus"], "bogus"),
        (["--name", "a/b"], "expected the name of a folder"),
        (["--out", "outputs/policy.safetensors"], "expected the folder that gets a folder a run"),
        (["--out", "/proc/nowhere"], "cannot write to /proc/nowhere"),
        (["--resume", "no/such/run"], "it is no training run"),
        (["--resume", "no/such/run", "--iterations", "5"], "--resume takes the run's own settings"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(arguments, complaint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(arguments, Path("scripts"))
    assert stop.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("train.py: error: ")
    assert complaint in last
    assert not list(tmp_path.iterdir())


def test_the_folder_of_one_task_is_not_taken_for_that_of_all(tmp_path):
    (tmp_path / "wave-000.safetensors").touch()
    with pytest.raises(
        ValueError, match="holds demonstrations itself; expected the folder that holds one folder a task"
    ):
        compose_training([f"demonstrations='{tmp_path}'"])


def test_a_missing_tracker_package_is_one_line(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"logger=wandb needs the package wandb: .*\[wandb\]"):
        compose_training(["logger=wandb"])


def test_a_folder_with_another_programs_config_is_not_overwritten(tmp_path):
    settings = compose_training(["preset=tiny", f"out={tmp_path}"])
    folder = tmp_path / "tiny"
    TrainingRun.create(settings, tmp_path)
    TrainingRun.create(settings, tmp_path, overwrite=True)
    for foreign in ('{"model_type": "bert"}', "[]", "no JSON"):
        (folder / "config.json").write_text(foreign)
        (folder / "precious").touch()
        with pytest.raises(ValueError, match="holds something else than a training run"):
            TrainingRun.create(settings, tmp_path, overwrite=True)
        assert (folder / "precious").exists()
