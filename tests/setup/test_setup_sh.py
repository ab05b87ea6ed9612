"""scripts/setup.sh sets the environment up, then fetches models, and stops where the first fails."""

from __future__ import annotations

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
    result = run(root, "--obs", "rgb")
    assert result.returncode == 0
    first, second = result.stdout.splitlines()
    assert first.startswith("-p -c import flow_rag_vla.tasks")
    assert second == f"-p {root}/scripts/download_models.py --obs rgb"


def test_nothing_is_downloaded_where_the_set_up_fails(root: Path) -> None:
    result = run(root, code="2")
    assert result.returncode == 2
    assert "download_models" not in result.stdout
