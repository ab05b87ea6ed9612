"""States on disk: whole or passed over, the newest two, and nothing unpickled."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from flow_rag_vla.agents.training.state import SavedState, StateFolder


def state(number: int) -> SavedState:
    return SavedState({"iteration": number}, {"weight": torch.full((2,), float(number))})


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    folder = StateFolder(tmp_path / "states")
    for number in (1, 2, 3):
        folder.save(number, state(number))
    return folder


def test_the_newest_state_is_read_and_the_two_newest_are_kept(folder):
    heard: list[str] = []
    found = folder.newest(heard.append)
    assert found is not None
    assert found.header == {"iteration": 3}
    assert torch.equal(found.tensors["weight"], torch.tensor([3.0, 3.0]))
    assert [path.name[:15] for path in folder.files()] == ["state-000000003", "state-000000002"]
    assert heard == []


def test_no_folder_is_no_state(tmp_path):
    assert StateFolder(tmp_path / "none").newest(print) is None


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def _replace_by_a_pickle(path: Path) -> None:
    content = b"\x80\x04cos\nsystem\n(S'touch /tmp/owned'\ntR."
    path.unlink()
    digest = hashlib.sha256(content).hexdigest()[:16]
    path.with_name(f"{path.name[:15]}-{digest}.safetensors").write_bytes(content)


@pytest.mark.parametrize("damage", [_cut, _flip, _replace_by_a_pickle])
def test_a_damaged_newest_state_falls_back_to_the_one_before_and_says_so(folder, damage):
    damage(folder.files()[0])
    heard: list[str] = []
    found = folder.newest(heard.append)
    assert found is not None
    assert found.header["iteration"] == 2
    assert len(heard) == 1
    assert "state-000000003" in heard[0]
    assert "falling back to the one before" in heard[0]
    assert "\n" not in heard[0]


def test_a_write_that_was_cut_short_is_never_read_and_is_cleared_away(folder):
    left_over = folder.path / ".state-000000009-0000000000000000.safetensors.partial"
    left_over.write_bytes(b"half")
    found = folder.newest(print)
    assert found is not None
    assert found.header["iteration"] == 3
    folder.save(4, state(4))
    assert not left_over.exists()


def test_of_two_states_at_one_iteration_the_later_counts(folder):
    folder.save(3, SavedState({"iteration": 3, "results": ["validated"]}, {"weight": torch.zeros(2)}))
    found = folder.newest(print)
    assert found is not None
    assert found.header["results"] == ["validated"]
