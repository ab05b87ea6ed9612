"""scripts/setup.sh sets the environment up, then fetches models, and stops where the first fails."""

from __future__ import annotations

import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]

FAKE_ISAACLAB_SH = """#!/usr/bin/env bash
echo "$*"
[[ "$2" != -c ]] || exit "${FAKE_SET_UP_CODE:-0}"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "checkout with space"
    (root / "scripts").mkdir(parents=True)
    shutil.copy(CHECKOUT / "scripts" / "setup.sh", root / "scripts")
    launcher = root / "isaaclab.sh"
    launcher.write_text(FAKE_ISAACLAB_SH)
    launcher.chmod(0o755)
    return root


def run(root: Path, *arguments: str, code: str = "0") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(root / "scripts" / "setup.sh"), *arguments],
        env={"PATH": "/usr/bin:/bin", "FAKE_SET_UP_CODE": code},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_imports_the_project_and_then_downloads_what_it_is_told(root: Path) -> None:
    result = run(root, "--model", "minilm")
    assert result.returncode == 0
    first, second = result.stdout.splitlines()
    assert first.startswith("-p -c import flow_rag_vla.tasks")
    assert second == f"-p {root}/scripts/download_models.py --model minilm"


@pytest.mark.parametrize("arguments", [[], ["--model", "minilm"]])
def test_the_downloads_take_these_arguments_and_need_no_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str]
) -> None:
    monkeypatch.setenv("FLOW_RAG_VLA_MODELS", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert runpy.run_path(str(CHECKOUT / "scripts" / "download_models.py"))["main"](arguments) == 0


def test_nothing_is_downloaded_where_the_set_up_fails(root: Path) -> None:
    result = run(root, code="2")
    assert result.returncode == 2
    assert "download_models" not in result.stdout
