"""A run whose units go to a cluster: refused before anything is written, its own networks at hand on a node."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flow_rag_vla.agents.policy.checkpoint import DEFAULT_CHECKPOINT
from flow_rag_vla.agents.policy.demonstration_bank import bank_path
from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.run.resume import reopened
from flow_rag_vla.benchmark.workers.launch import Launch


def test_without_ray_nothing_is_written(start_fake: Callable[..., Path], tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match="--cluster needs Ray; install it with "):
        start_fake(out=tmp_path / "out", launch=Launch(cluster="auto"))
    assert not (tmp_path / "out").exists()


def test_a_node_finds_the_runs_own_networks_where_they_were_put(start_fake: Callable[..., Path], tmp_path: Path):
    own, weights = tmp_path / "mine" / "my policy.safetensors", tmp_path / "node" / "weights"
    for folder in (own.parent, weights):
        folder.mkdir(parents=True)
    shutil.copy(DEFAULT_CHECKPOINT, own)
    shutil.copy(bank_path(DEFAULT_CHECKPOINT), bank_path(own))
    run = start_fake(f"checkpoint='{own}'", "ablation=rag_only")
    cargo = reopened(str(run)).networks.cargo()
    assert [file.source for file in cargo] == [own, bank_path(own)]
    for file in cargo:
        (weights.parent / file.name).write_bytes(file.read())
    shutil.rmtree(own.parent)
    with pytest.raises(ValueError, match=r"my policy\.safetensors"):
        reopened(str(run))
    again = reopened(str(run), weights=weights)
    assert again.settings.checkpoint == str(own)
    assert [file.source for file in again.networks.cargo()] == [weights / Path(file.name).name for file in cargo]
