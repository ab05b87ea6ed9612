"""Container files: what they name exists, nothing runs as root or reaches out, and caches can always be written."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
DOCKER = CHECKOUT / "docker"
INSIDE = "/opt/flow-rag-vla/"
IMAGES = {"flow-rag-vla:cpu", "flow-rag-vla:cuda", "flow-rag-vla:isaacsim"}
BASES = {"PYTHON_IMAGE=python:3.12-slim-bookworm", "ISAACSIM_IMAGE=nvcr.io/nvidia/isaac-sim:6.2.0"}
FILES = sorted(path for path in DOCKER.rglob("*") if path.is_file())
MANIFESTS = [path for path in FILES if path.suffix == ".yaml"]
SCRIPTS = [path for path in FILES if path.suffix == ".sh"]


def name_of(path: Path) -> str:
    return path.relative_to(DOCKER).as_posix()


def nodes(tree: object) -> list[dict]:
    """Every mapping in a YAML document."""
    if isinstance(tree, dict):
        return [tree, *(node for value in tree.values() for node in nodes(value))]
    return [node for item in tree for node in nodes(item)] if isinstance(tree, list) else []


def documents(path: Path) -> list[dict]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", MANIFESTS, ids=name_of)
def test_images_and_programs_of_a_manifest_exist(path: Path) -> None:
    images = {node["image"] for document in documents(path) for node in nodes(document) if "image" in node}
    assert images <= IMAGES
    for program in re.findall(rf"{INSIDE}([\w./-]+\.sh)", path.read_text(encoding="utf-8")):
        assert os.access(CHECKOUT / program, os.X_OK), program


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_registry_or_host_is_named_but_the_base_images(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for known in (*BASES, "nvidia.com/gpu"):
        text = text.replace(known, "")
    assert not re.findall(r"\b(?:[\w-]+://)?[\w-]+(?:\.[\w-]+)*\.(?:com|org|net|dev|cloud|internal|local)\b", text)
    assert not re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", text.replace("127.0.0.1", ""))


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.isaacsim"])
def test_an_image_is_made_by_isaaclab_sh_alone_and_runs_as_a_user(name: str) -> None:
    steps = (DOCKER / name).read_text(encoding="utf-8").replace("\\\n", "")
    assert re.findall(r"^USER (.*)$", steps, re.M)[-1] == "1000:1000"
    assert set(re.findall(r"^ARG (\w+_IMAGE=.*)$", steps, re.M)) <= BASES
    installs = [step for step in re.findall(r"^RUN (.*)$", steps, re.M) if "pip install" in step]
    assert all(
        "./isaaclab.sh -p -m pip install" in step and "--constraint requirements.lock" in step for step in installs
    )
    (program,) = re.findall(rf'^ENTRYPOINT \["{INSIDE}(.*)"\]$', steps, re.M)
    assert os.access(CHECKOUT / program, os.X_OK)


@pytest.mark.parametrize("path", [path for path in MANIFESTS if path.parent.name == "cluster"], ids=name_of)
def test_pods_run_as_a_user_and_write_to_mounted_folders_alone(path: Path) -> None:
    pods = [node for document in documents(path) for node in nodes(document) if "containers" in node]
    assert pods
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] == 1000
        assert pod["automountServiceAccountToken"] is False
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            sealed = container["securityContext"]
            assert sealed["readOnlyRootFilesystem"]
            assert not sealed["allowPrivilegeEscalation"]
            assert sealed["capabilities"] == {"drop": ["ALL"]}
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted <= {volume["name"] for volume in pod["volumes"]}


def test_ray_asks_for_a_token_and_shows_its_dashboard_to_nobody_outside() -> None:
    job, policy = documents(DOCKER / "cluster/kuberay_job.yaml")
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert all("from" in rule for rule in policy["spec"]["ingress"])


def test_services_of_compose_are_sealed_unless_they_need_isaac_sim() -> None:
    (compose,) = documents(DOCKER / "compose.yaml")
    for name in ("cpu", "cuda"):
        service = compose["services"][name]
        assert service["read_only"]
        assert service["network_mode"] == "none"
        assert service["cap_drop"] == ["ALL"]
        assert f"AS {service['build']['target']}" in (DOCKER / service["build"]["dockerfile"].split("/")[1]).read_text()


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_scripts_parse_and_are_run_by_bash(path: Path) -> None:
    subprocess.run(["bash", "-n", str(path)], check=True)
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == "#!/usr/bin/env bash" or path.name == "in_image.sh"


# ---- the entry point -----------------------------------------------------------------------------------------------

SHOW = '#!/usr/bin/env bash\necho "HOME=$HOME USER=$USER XDG_CACHE_HOME=$XDG_CACHE_HOME ARGS=$*"\n'


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A checkout whose ``isaaclab.sh`` shows what it gets, and kernels beside it, all read-only."""
    root = tmp_path / "flow"
    (root / "docker").mkdir(parents=True)
    shutil.copy(DOCKER / "entrypoint.sh", root / "docker")
    (root / "isaaclab.sh").write_text(SHOW)
    (root / "isaaclab.sh").chmod(0o555)
    kernels = tmp_path / "flow-cache/warp/1.0"
    kernels.mkdir(parents=True)
    (kernels / "kernel.o").write_text("code")
    (kernels / "kernel.o").chmod(0o444)
    return root


def started(image: Path, **environment: str) -> str:
    command = [str(image / "docker/entrypoint.sh"), "-p", "x.py"]
    path = {"PATH": os.environ["PATH"]}
    return subprocess.run(command, env=path | environment, capture_output=True, text=True, check=True).stdout


def test_without_a_home_caches_go_where_they_can_be_written_and_hold_the_kernels(image: Path, tmp_path: Path) -> None:
    cache = tmp_path / "my cache"
    said = started(image, FLOW_RAG_VLA_CACHE=str(cache))
    assert f"HOME={cache}/home " in said
    assert f"XDG_CACHE_HOME={cache} " in said
    assert said.endswith("ARGS=-p x.py\n")
    kernel = cache / "warp/1.0/kernel.o"
    assert kernel.read_text() == "code"
    assert kernel.stat().st_mode & stat.S_IWUSR


def test_kernels_are_copied_once_and_a_home_that_can_be_written_stays(image: Path, tmp_path: Path) -> None:
    cache, home = tmp_path / "cache", tmp_path / "home"
    home.mkdir()
    started(image, FLOW_RAG_VLA_CACHE=str(cache))
    (cache / "warp/1.0/kernel.o").write_text("newer")
    assert f"HOME={home} " in started(image, FLOW_RAG_VLA_CACHE=str(cache), HOME=str(home))
    assert (cache / "warp/1.0/kernel.o").read_text() == "newer"


@pytest.mark.skipif(Path("/cache").is_dir(), reason="a folder /cache is taken first")
def test_the_temporary_folder_is_what_is_left(image: Path, tmp_path: Path) -> None:
    said = started(image, FLOW_RAG_VLA_CACHE="/proc/no", TMPDIR=str(tmp_path))
    assert f"XDG_CACHE_HOME={tmp_path}/flow-rag-vla-{os.getuid()} " in said
