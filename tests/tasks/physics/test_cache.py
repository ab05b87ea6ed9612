"""Generated assets: built once, complete or absent, in a folder that can be written."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flow_rag_vla.tasks.assets.cache import built_once, cache_dir

BUILDER = """
import sys, time, os
from pathlib import Path
from flow_rag_vla.tasks.assets.cache import built_once
def build(path):
    with open(os.environ["BUILD_LOG"], "a") as log:
        log.write("built\\n")
    path.write_text("first half, ")
    time.sleep(0.3)
    path.write_text("first half, second half")
print(built_once("asset.txt", build).read_text())
"""


def test_two_processes_build_an_asset_once_and_both_see_it_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOW_RAG_VLA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BUILD_LOG", str(tmp_path / "log"))

    def build() -> str:
        done = subprocess.run([sys.executable, "-c", BUILDER], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    with ThreadPoolExecutor(2) as pool:
        seen = list(pool.map(lambda _: build(), range(2)))
    assert seen == ["first half, second half"] * 2
    assert (tmp_path / "log").read_text() == "built\n"


def test_a_failed_build_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOW_RAG_VLA_CACHE", str(tmp_path))

    def fail(path: Path) -> None:
        path.write_text("half")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        built_once("asset.txt", fail)
    assert [path.name for path in tmp_path.iterdir()] == [".asset.txt.lock"]


def test_the_cache_falls_back_to_a_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("FLOW_RAG_VLA_CACHE", str(blocked))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cache_dir().parent == tmp_path
