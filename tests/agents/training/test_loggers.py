"""Logs: a resumed run overrules what an interrupted one noted; a tracker that fails costs one warning."""

from __future__ import annotations

import importlib.machinery
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from flow_rag_vla.agents.training.loggers import SeveralLoggers, TensorBoardLogger, WandbLogger
from flow_rag_vla.benchmark.training.training_curve import read_scalars


def test_a_resumed_log_overrules_what_was_noted_past_its_beginning(tmp_path):
    interrupted = TensorBoardLogger(tmp_path, 0)
    for iteration in (1, 2, 3):
        interrupted.log(iteration, {"loss": iteration / 2})
    interrupted.close()
    resumed = TensorBoardLogger(tmp_path, 2)
    resumed.log(4, {"loss": 8.0})
    resumed.close()
    assert read_scalars(tmp_path) == {"loss": {1: 0.5, 4: 8.0}}


class FakeWandb(ModuleType):
    """As much of the package as is used; ``broken`` makes its runs fail."""

    def __init__(self, *, logged_in: bool = False, broken: bool = False) -> None:
        super().__init__("wandb")
        self.__spec__ = importlib.machinery.ModuleSpec("wandb", None)
        self.errors = SimpleNamespace(Error=type("Error", (Exception,), {}))
        self.inits: list[dict[str, Any]] = []
        self.logged: list[tuple[int, dict[str, float]]] = []
        self._logged_in, self._broken = logged_in, broken

    def login(self, *, prompt: bool) -> bool:
        assert not prompt
        return self._logged_in

    def init(self, **settings: Any) -> FakeWandb:
        self.inits.append(settings)
        return self

    def log(self, scalars: dict[str, float], step: int) -> None:
        if self._broken:
            raise self.errors.Error("500\nInternal")
        self.logged.append((step, scalars))

    def finish(self) -> None:
        pass


@pytest.mark.parametrize(
    ("logged_in", "variable", "mode"),
    [(False, None, "offline"), (True, None, "online"), (True, "disabled", "disabled")],
)
def test_runs_are_offline_unless_the_user_is_logged_in_or_says_otherwise(
    tmp_path, monkeypatch, logged_in, variable, mode
):
    fake = FakeWandb(logged_in=logged_in)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    if variable:
        monkeypatch.setenv("WANDB_MODE", variable)
    for _ in range(2):  # begun, then resumed
        WandbLogger(tmp_path, "run", {}, print).close()
    assert [init["mode"] for init in fake.inits] == [mode, mode]
    assert fake.inits[0]["id"] == fake.inits[1]["id"]


def test_a_tracker_that_fails_costs_one_warning_and_no_scalar_of_the_tensorboard_log(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", FakeWandb(broken=True))
    heard: list[str] = []
    logger = SeveralLoggers([TensorBoardLogger(tmp_path, 0), WandbLogger(tmp_path, "run", {}, heard.append)])
    logger.log(1, {"loss": 1.0})
    logger.log(2, {"loss": 2.0})
    logger.close()
    assert heard == ["Weights & Biases failed (500); training goes on, the TensorBoard log is complete"]
    assert read_scalars(tmp_path) == {"loss": {1: 1.0, 2: 2.0}}
