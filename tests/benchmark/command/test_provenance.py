"""What a manifest says of the machine."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

import pytest
import torch

from flow_rag_vla.benchmark.command import provenance


def test_the_processor_is_named_as_linux_names_it(tmp_path):
    described = tmp_path / "cpuinfo"
    described.write_text("processor\t: 0\nmodel name\t: Toy 9000 @ 3 GHz\n\nprocessor\t: 1\nmodel name\t: Toy 9000\n")
    assert provenance._cpu_model(described) == "Toy 9000 @ 3 GHz"


def test_a_processor_without_a_name_is_none_or_what_python_says(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(provenance.platform, "processor", lambda: "")
    assert provenance._cpu_model(tmp_path / "missing") is None
    monkeypatch.setattr(provenance.platform, "processor", lambda: "toy")
    assert provenance._cpu_model(tmp_path / "missing") == "toy"


def test_on_the_cpu_no_gpu_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(provenance.os, "sched_getaffinity", lambda pid: {0, 3, 5})
    monkeypatch.setattr(provenance.os, "getloadavg", lambda: (2.0, 1.5, 1.0))
    state = provenance.hardware_state("cpu")
    assert (state["cores"], state["load"]) == (3, [2.0, 1.5, 1.0])
    assert state["memory_bytes"] > 1 << 28
    assert "gpu" not in state


@pytest.mark.parametrize(("said", "driver"), [("580.95\n580.95", "580.95"), (None, None)])
def test_on_cuda_gpu_and_driver_are_named(said: str | None, driver: str | None, monkeypatch: pytest.MonkeyPatch):
    properties = {"cuda:1": SimpleNamespace(name="Toy GPU", total_memory=80)}
    monkeypatch.setattr(torch.cuda, "get_device_properties", properties.__getitem__)
    monkeypatch.setattr(provenance, "_said", lambda *command: said)
    state = provenance.hardware_state("cuda:1")
    assert (state["gpu"], state["gpu_memory_bytes"], state["driver"]) == ("Toy GPU", 80, driver)


def test_the_code_hash_is_of_what_decides_rows_and_of_names_and_contents(tmp_path):
    world, run, films = (tmp_path / "tasks", tmp_path / "benchmark" / "run", tmp_path / "benchmark" / "films")
    for folder in (world, run, films):
        folder.mkdir(parents=True)
        (folder / "a.py").write_text("1")
    first = provenance.code_sha256(tmp_path)
    (films / "a.py").write_text("2")
    (world / "notes.txt").write_text("2")
    assert provenance.code_sha256(tmp_path) == first
    (world / "a.py").rename(world / "z.py")
    renamed = provenance.code_sha256(tmp_path)
    (world / "z.py").write_text("2")
    assert len({first, renamed, provenance.code_sha256(tmp_path)}) == 3


def test_this_codes_hash_sees_all_its_folders():
    folders = {provenance.Path(provenance.__file__).resolve().parents[2] / name for name in provenance.DECIDING}
    assert all(any(folder.rglob("*.py")) for folder in folders)
    assert provenance.code_state()["sha256"] == provenance.code_sha256()


def test_in_an_image_the_commit_is_the_one_that_it_was_built_from(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(provenance, "_said", lambda *command: None)
    monkeypatch.setenv("FLOW_RAG_VLA_COMMIT", "0123abcd")
    assert provenance.code_state()["commit"] == "0123abcd"
    monkeypatch.setenv("FLOW_RAG_VLA_COMMIT", "")
    assert provenance.code_state()["commit"] is None


def test_the_code_is_named_with_the_lock_that_its_packages_came_from(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(provenance, "_root", lambda: tmp_path)
    assert provenance.code_state()["lock_sha256"] is None
    (tmp_path / "requirements.lock").write_bytes(b"torch==2.11.0\n")
    assert provenance.code_state()["lock_sha256"] == hashlib.sha256(b"torch==2.11.0\n").hexdigest()


def test_how_torch_computes_and_what_is_said_of_threads_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = torch.are_deterministic_algorithms_enabled()
    try:
        torch.use_deterministic_algorithms(not before)
        state = provenance.arithmetic_state()
    finally:
        torch.use_deterministic_algorithms(before)
    assert state["deterministic_algorithms"] is not before
    assert (state["thread_variables"]["OMP_NUM_THREADS"], state["thread_variables"]["MKL_NUM_THREADS"]) == ("7", None)
