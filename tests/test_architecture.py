"""Which folder may import what (the arrows), and a few shapes that the code keeps."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]

# Data flows one way: a module may import modules that begin with one of these names.
ARROWS = {
    "tasks": ("flow_rag_vla.tasks",),
    "memory": ("flow_rag_vla.memory",),
    "agents": ("flow_rag_vla.agents", "flow_rag_vla.memory", "flow_rag_vla.tasks.contract"),
    "benchmark": ("flow_rag_vla.benchmark", "flow_rag_vla.agents", "flow_rag_vla.memory", "flow_rag_vla.tasks"),
    "reports": ("flow_rag_vla.reports", "flow_rag_vla.benchmark.results"),
}
SIMULATION = {
    "isaaclab", "isaaclab_newton", "isaaclab_physx", "isaaclab_tasks", "isaaclab_rl", "newton", "warp", "pxr", "mujoco",
    "mujoco_warp", "omni", "isaacsim",
}  # fmt: skip
MAX_LINES = 400

MODULES = sorted(
    path.relative_to(CHECKOUT).as_posix()
    for folder in (*ARROWS, "scripts")
    for path in (CHECKOUT / folder).rglob("*.py")
)


def folder_of(module: str) -> str:
    return module.split("/")[0]


def parsed(module: str) -> ast.Module:
    return ast.parse((CHECKOUT / module).read_text(encoding="utf-8"), module)


def imported_names(module: str) -> Iterator[str]:
    """Full dotted names of everything that a module imports, relative imports resolved to installed names."""
    package = ["flow_rag_vla", *Path(module).parent.parts]
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def begins_with(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


@pytest.mark.parametrize("module", [module for module in MODULES if folder_of(module) in ARROWS])
def test_imports_follow_the_arrows(module: str) -> None:
    allowed = ARROWS[folder_of(module)]
    against = [
        name
        for name in imported_names(module)
        if begins_with(name, "flow_rag_vla") and not any(begins_with(name, prefix) for prefix in allowed)
    ]
    assert not against, f"{module} imports {against}; {folder_of(module)}/ may import only {allowed}"


@pytest.mark.parametrize("module", [module for module in MODULES if folder_of(module) != "tasks"])
def test_only_tasks_imports_the_simulation(module: str) -> None:
    against = [name for name in imported_names(module) if name.split(".")[0] in SIMULATION]
    assert not against, f"{module} imports {against}"


def test_importing_the_tasks_registers_ids_without_loading_a_simulator() -> None:
    program = "import sys, flow_rag_vla.tasks; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())
    assert not loaded & (SIMULATION | {"torch"})


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_small_and_named_for_what_they_hold(module: str) -> None:
    lines = len((CHECKOUT / module).read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{module} has {lines} lines"
    name = Path(module).stem
    assert name not in {"utils", "util", "helpers", "misc", "common"}
    assert not name.startswith("legacy_")


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_unpickled(module: str) -> None:
    picklers = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve"}
    assert not [name for name in imported_names(module) if name.split(".")[0] in picklers]
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"torch.load", "np.load", "numpy.load"}:
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if ast.unparse(node.func) == "torch.load":
                assert options.get("weights_only") == "True", f"{module}:{node.lineno}"
            else:
                assert options.get("allow_pickle", "False") == "False", f"{module}:{node.lineno}"
