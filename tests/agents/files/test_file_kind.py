"""A file that is no checkpoint is named for what it is, and nothing in it is carried out."""

from __future__ import annotations

import gzip
import io
import pickle
import sqlite3
import zipfile

import pytest
import torch

from flow_rag_vla.agents.files.file_kind import kind_of_file
from flow_rag_vla.agents.policy.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
from flow_rag_vla.agents.vision.checkpoint import DEFAULT_VISION, load_vision


class Bomb:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, mark: str) -> None:
        self._mark = mark

    def __reduce__(self):
        return (open, (self._mark, "w"))


def saved(save) -> bytes:
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()


def empty_zip(buffer) -> None:
    zipfile.ZipFile(buffer, "w").close()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "an empty file"),
        (b"name: dock\n", "a text file"),
        ("größer, 大きい, ".encode() * 400, "a text file"),
        (gzip.compress(b"x", mtime=0), "a gzip archive"),
        (saved(empty_zip), "an empty zip archive"),
        (saved(lambda buffer: torch.save(torch.zeros(2), buffer)), "a zip archive, as torch.save writes it"),
        (pickle.dumps([1]), "a Python pickle"),
        (saved(lambda b: torch.save({}, b, _use_new_zipfile_serialization=False)), "a Python pickle"),
        (b"\x89HDF\r\n\x1a\n\x00", "an HDF5 file"),
        (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
        (b"\x7fELF\x02", "a program"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    ],
    ids=lambda value: value if type(value) is str else "bytes",  # which may differ from one process to another
)
def test_a_file_is_known_by_its_first_bytes_and_a_checkpoint_names_it_in_one_line(tmp_path, content, kind):
    path = tmp_path / "policy.safetensors"
    path.write_bytes(content)
    assert str(kind_of_file(path)).startswith(kind)
    with pytest.raises(ValueError, match="not a readable safetensors file") as error:
        load_checkpoint(path)
    assert str(error.value).startswith(f"checkpoint {path}: not a readable safetensors file (it is {kind}")
    assert "\n" not in str(error.value)


def test_a_folder_and_a_database_are_known_and_bytes_that_say_nothing_are_not(tmp_path):
    assert kind_of_file(tmp_path) == "a folder"
    database = sqlite3.connect(tmp_path / "memory.sqlite")
    database.execute("create table cases (id)")
    database.close()
    assert kind_of_file(tmp_path / "memory.sqlite") == "an SQLite database"
    (tmp_path / "noise").write_bytes(b"\x00\xff\x01" * 9)
    assert kind_of_file(tmp_path / "noise") is None
    assert kind_of_file(DEFAULT_CHECKPOINT) is None


def test_a_pickle_is_named_and_not_run(tmp_path):
    path = tmp_path / "policy.pt"
    path.write_bytes(pickle.dumps(Bomb(str(tmp_path / "ran"))))
    with pytest.raises(ValueError, match="it is a Python pickle"):
        load_checkpoint(path)
    assert not (tmp_path / "ran").exists()


def test_another_checkpoint_of_this_project_is_named_too():
    with pytest.raises(ValueError, match="is another file of this project, with a vision header; expected one with"):
        load_checkpoint(DEFAULT_VISION)
    with pytest.raises(ValueError, match="with a policy header; expected one with 'vision'"):
        load_vision(DEFAULT_CHECKPOINT)
