"""Units run on the nodes of a Ray cluster, one of which may be lost; files travel, for nodes share no directory."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from flow_rag_vla.benchmark.command.atomic_files import read_json_object
from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.workers.cargo import weight_cargo
from flow_rag_vla.benchmark.workers.cluster import Cluster, Errand, RemoteWorker, Stowed
from flow_rag_vla.benchmark.workers.cluster_host import Host
from flow_rag_vla.benchmark.workers.incidents import Incidents
from flow_rag_vla.benchmark.workers.launch import Launch
from flow_rag_vla.benchmark.workers.pool import Limits, Pool

from .test_pool import queue_of, unit

HERE = str(Path(__file__).parent)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([HERE, os.environ.get("PYTHONPATH", "")]))
    made = Host()
    made.take({"plan.jsonl": b"a plan", "memories/r0/failures.sqlite": b"cases"})
    made.start("acting_worker", ["8"], {})
    yield made
    made.close()


def test_a_host_runs_a_task_beside_its_own_copy_of_the_files_and_hands_over_what_it_left(host: Host):
    host.give("u1", {"more": b"needed"})
    messages: list[dict[str, Any]] = []
    for _ in range(100):
        messages += host.hear(0.5) or []
        if {"done": "u1"} in messages:
            break
    assert messages == [{"ready": True}, {"ended": 1}, {"done": "u1"}]
    found = host.results(["u1", "memories/r0/failures.sqlite", "more", "not there"])
    assert list(found) == ["u1", "memories/r0/failures.sqlite", "more"]
    assert found["u1"].split()[1] == b"8"
    assert (found["memories/r0/failures.sqlite"], found["more"]) == (b"cases", b"needed")


def test_a_host_whose_worker_crashed_says_how_it_ended_and_leaves_nothing_behind(host: Host):
    folder = host._folder
    host.give("crash", {})
    while (messages := host.hear(0.5)) is not None:
        assert messages in ([], [{"ready": True}])
    assert host.exit_code() == -9
    host.close()
    assert not folder.exists()


def test_a_host_keeps_only_what_arrives_as_it_was_sent(host: Host):
    good = hashlib.sha256(b"weights").hexdigest()
    host.receive("weights/policy.safetensors", good, b"weights")
    assert (host._folder / "weights/policy.safetensors").read_bytes() == b"weights"
    with pytest.raises(UsageError, match=r"^weights/vision\.safetensors: its sha256 is [0-9a-f]{12}…, expected "):
        host.receive("weights/vision.safetensors", good, b"weightz")
    assert not (host._folder / "weights/vision.safetensors").exists()


def test_a_checkpoint_that_was_swapped_since_it_was_loaded_does_not_travel(tmp_path: Path):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(b"mine")
    (cargo,) = weight_cargo({"policy": path}, {"policy_sha256": hashlib.sha256(b"mine").hexdigest()})
    assert (cargo.name, cargo.read()) == ("weights/policy.safetensors", b"mine")
    path.write_bytes(b"yours")
    with pytest.raises(UsageError, match=r"mine\.safetensors: its sha256 is .*, expected "):
        cargo.read()
    path.unlink()
    with pytest.raises(UsageError, match=r"mine\.safetensors: cannot be read: No such file"):
        cargo.read()


@pytest.mark.parametrize("where", ["", "somewhere", "http://localhost"])
def test_an_address_that_is_none_is_refused(where: str):
    with pytest.raises(UsageError, match=f"--cluster got '{where}', expected local, auto or ray://HOST:PORT"):
        Launch(cluster=where)
    with pytest.raises(UsageError, match="with --cluster, Ray gives each worker its own"):
        Launch(devices=("cuda:0",), cluster="local")


def test_without_ray_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"--cluster needs Ray; install it with .*cluster"):
        Cluster("auto")


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Ray cluster of two nodes with a CPU each, on this machine."""
    pytest.importorskip("ray", reason="Ray is an extra: [cluster]")
    from ray.cluster_utils import Cluster as Nodes  # pyright: ignore[reportMissingImports]

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([HERE, os.environ.get("PYTHONPATH", "")]))
    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    monkeypatch.setenv("RAY_ADDRESS", str(nodes.address))
    yield nodes
    nodes.shutdown()


def _pool(
    cluster: Cluster, run_dir: Path, workers: int, environment: dict[str, str], stowed: Sequence[Stowed] = ()
) -> Pool:
    left = [file.name for file in stowed]  # so that what lay there can be seen
    errand = Errand(
        "acting_worker", ["8"], environment, 1, 0, ["plan.jsonl"], lambda task: [], lambda task: [task, *left], stowed
    )

    def start(device: str, num_envs: int) -> RemoteWorker:
        del device, num_envs
        return RemoteWorker(cluster, errand, run_dir, run_dir / "log.txt")

    return Pool(start, ["cpu"] * workers, 8, Incidents(run_dir), Limits(attempts=3, start_s=60.0, stall_s=30.0))


def test_units_run_on_all_nodes_and_those_of_a_lost_one_on_the_others(two_nodes: Any, tmp_path: Path):
    (tmp_path / "plan.jsonl").write_text("a plan")
    second = two_nodes.add_node(num_cpus=1)
    cluster = Cluster("auto")
    try:
        assert cluster.slots("cpu", 1) == 2
        units = [unit("e1", round=0), *(unit(f"slow{i}", needs=("e1",)) for i in range(6))]
        done: list[str] = []
        said: list[str] = []

        def lose(task: str) -> None:
            done.append(task)
            if len(done) == 3:
                threading.Thread(target=two_nodes.remove_node, args=(second,), kwargs={"allow_graceful": False}).start()

        pool = _pool(cluster, tmp_path, 2, {"ACTING_SLOW_S": "3"})
        start = time.monotonic()
        given_up = pool.run(queue_of(*units), lambda task: None, lose, lambda n, note: None, said.append)
        assert time.monotonic() - start < 120.0
    finally:
        cluster.close()
    assert (given_up, sorted(done)) == ({}, sorted(u.id for u in units))
    assert {u.id for u in units} <= {path.name for path in tmp_path.iterdir()}
    assert any("is lost" in line for line in said), said
    incidents = read_json_object(tmp_path / "incidents.json")["incidents"]
    assert all("tried again" in incident["answer"] for incident in incidents)


def test_files_from_outside_the_run_are_stored_once_a_content_and_reach_the_node(
    two_nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "plan.jsonl").write_text("a plan")
    paths = {name: tmp_path / f"my {name}" for name in ("policy", "bank", "vision")}
    contents = {"policy": b"a policy", "bank": b"a bank", "vision": b"a policy"}
    for name, path in paths.items():
        path.write_bytes(contents[name])
    cluster = Cluster("auto")
    try:
        puts: list[bytes] = []
        put = cluster.ray.put
        monkeypatch.setattr(cluster.ray, "put", lambda content: (puts.append(content), put(content))[1])
        hashes = {f"{name}_sha256": hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        stowed = cluster.stow(weight_cargo(paths, hashes))
        for path in paths.values():
            path.unlink()  # no node sees it
        assert puts == [b"a policy", b"a bank"]
        run = _pool(cluster, tmp_path, 1, {}, stowed).run
        given_up = run(queue_of(unit("u1"), unit("u2")), lambda task: None, lambda t: None, lambda n, note: None, print)
        assert (given_up, len(puts)) == ({}, 2)
        arrived = {path.name: path.read_bytes() for path in (tmp_path / "weights").iterdir()}
        names = ("policy.safetensors", "policy_bank.safetensors", "vision.safetensors")
        assert arrived == dict(zip(names, contents.values(), strict=True))

        damaged = [Stowed(stowed[0].name, "0" * 64, stowed[0].reference)]
        with pytest.raises(RuntimeError, match=r"workers do not start: on its node: weights/policy\.safetensors: its "):
            _pool(cluster, tmp_path, 1, {}, damaged).run(
                queue_of(unit("u3")), lambda task: None, lambda t: None, lambda n, note: None, print
            )
    finally:
        cluster.close()


_LOCAL = """
import os, subprocess, sys
from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.workers.cluster import Cluster

cluster = Cluster("local")
print(cluster.slots("cpu", 1) >= 1, len(os.environ["RAY_AUTH_TOKEN"]))
for device, threads in (("cpu", 10_000), ("cuda:7", 1)):
    try:
        cluster.slots(device, threads)
    except UsageError as error:
        print(str(error).replace(" ", "_"))
join = f"import ray; ray.init(address={cluster.ray.get_runtime_context().gcs_address!r}, log_to_driver=False)"
for token in (os.environ["RAY_AUTH_TOKEN"], "0" * 64):
    environment = {**os.environ, "RAY_AUTH_TOKEN": token}
    print(subprocess.run([sys.executable, "-c", join], env=environment, capture_output=True).returncode)
cluster.close()
"""


def test_a_cluster_of_this_machine_lets_nobody_in_who_has_not_its_token():
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is an extra: [cluster]")
    # A process of its own: Ray asks for the token once, when it is imported.
    done = subprocess.run([sys.executable, "-c", _LOCAL], capture_output=True, text=True, timeout=240, check=True)
    fits, token, threads, gpu, *joined = done.stdout.split()
    assert (fits, token, joined) == ("True", "64", ["0", "1"])
    assert threads.startswith("no_node_of_the_cluster_has_10000_CPUs,_which_a_worker_takes")
    assert gpu.startswith("no_node_of_the_cluster_has_1_CPUs_and_a_GPU,")
