"""Which folder may import what (the arrows), which room of a folder, and a few shapes that the code keeps.

A room is a folder.  Rooms import one another one way: no circle, and no room imports the one that it lies in.
"""

from __future__ import annotations

import ast
import functools
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]

# Data flows one way: a module may import modules that begin with one of these names.
ARROWS = {
    "tasks": ("flow_rag_vla.tasks",),
    "memory": ("flow_rag_vla.memory",),
    "agents": ("flow_rag_vla.agents", "flow_rag_vla.memory", "flow_rag_vla.tasks.contract"),
    "benchmark": ("flow_rag_vla.benchmark", "flow_rag_vla.agents", "flow_rag_vla.memory", "flow_rag_vla.tasks"),
    "reports": (
        "flow_rag_vla.reports",
        "flow_rag_vla.benchmark.episodes.records.Exposure",
        "flow_rag_vla.benchmark.policies.growth.memory_growth",
        "flow_rag_vla.benchmark.scoring.arms",
        "flow_rag_vla.benchmark.scoring.compared",
        "flow_rag_vla.benchmark.scoring.results",
        "flow_rag_vla.benchmark.scoring.run_files",
        "flow_rag_vla.benchmark.scoring.statistics.Interval",
        "flow_rag_vla.benchmark.scoring.statistics.Proportion",
        "flow_rag_vla.benchmark.scoring.statistics.trend",
        "flow_rag_vla.benchmark.scoring.statistics.verdict",
        "flow_rag_vla.benchmark.scoring.summary",
        "flow_rag_vla.benchmark.scoring.timing",
    ),
}
SIMULATION = {
    "isaaclab", "isaaclab_newton", "isaaclab_physx", "isaaclab_tasks", "isaaclab_rl", "newton", "warp", "pxr", "mujoco",
    "mujoco_warp", "omni", "isaacsim",
}  # fmt: skip
CONTRACTS = {"tasks.contract", "agents.agent"}
"""What all rooms of a folder share; a contract itself imports contracts at most."""

MAX_LINES, MAX_MEDIAN_LINES, MAX_ENTRIES = 350, 110, 14
LIBRARIES = {"tasks/faults/library"}
"""Folders of one file an entry."""

MODULES = sorted(
    path.relative_to(CHECKOUT).as_posix()
    for folder in (*ARROWS, "scripts")
    for path in (CHECKOUT / folder).rglob("*.py")
)


def folder_of(module: str) -> str:
    return module.split("/")[0]


@functools.cache
def text_of(module: str) -> str:
    return (CHECKOUT / module).read_text(encoding="utf-8")


@functools.cache
def nodes_of(module: str) -> tuple[ast.Import | ast.ImportFrom | ast.Call, ...]:
    """The imports and the calls of a module, which is all that is asked of its tree."""
    tree = ast.parse(text_of(module), module)
    return tuple(node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom, ast.Call)))


@functools.cache
def imported_names(module: str) -> tuple[str, ...]:
    """Full dotted names of everything that a module imports, relative imports resolved to installed names."""
    package = ["flow_rag_vla", *Path(module).parent.parts]
    names: list[str] = []
    for node in nodes_of(module):
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            names += (f"{origin}.{alias.name}" for alias in node.names)
    return tuple(names)


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


@functools.cache
def room_of(name: str) -> str:
    """The folder, dotted, that holds the module in which the full dotted ``name`` stands."""
    parts = name.removeprefix("flow_rag_vla.").split(".")
    while parts and not (CHECKOUT / Path(*parts)).is_dir():
        parts.pop()
    return ".".join(parts)


def contracts_left_out(names: Iterable[str]) -> Iterator[str]:
    ours = (name for name in names if begins_with(name, "flow_rag_vla"))
    return (n for n in ours if not any(begins_with(n, f"flow_rag_vla.{contract}") for contract in CONTRACTS))


ROOM_ARROWS: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
"""Room to the rooms that it imports, with the modules that do."""
for _module in (module for module in MODULES if folder_of(module) in ARROWS):
    _room = ".".join(Path(_module).parent.parts)
    for _name in contracts_left_out(imported_names(_module)):
        if room_of(_name) != _room:
            ROOM_ARROWS[_room][room_of(_name)].add(_module)


def test_rooms_import_one_another_one_way() -> None:
    TopologicalSorter({room: set(others) for room, others in ROOM_ARROWS.items()}).prepare()  # raises on a circle


@pytest.mark.parametrize("room", sorted(ROOM_ARROWS))
def test_no_room_imports_the_one_it_lies_in(room: str) -> None:
    up = {other: modules for other, modules in ROOM_ARROWS[room].items() if begins_with(room, other)}
    assert not up, f"{room} imports what lies above it: {up}"


@pytest.mark.parametrize("contract", sorted(CONTRACTS))
def test_a_contract_knows_no_room_of_its_folder(contract: str) -> None:
    module = f"{contract.replace('.', '/')}.py"
    folder = f"flow_rag_vla.{folder_of(module)}"
    assert not [name for name in contracts_left_out(imported_names(module)) if begins_with(name, folder)]


@pytest.mark.parametrize("folder", sorted({Path(module).parent.as_posix() for module in MODULES} - {"scripts"}))
def test_a_folder_can_be_taken_in_at_a_glance(folder: str) -> None:
    entries = {entry.name for entry in (CHECKOUT / folder).iterdir()} - {"__init__.py", "__pycache__"}
    assert folder in LIBRARIES or len(entries) <= MAX_ENTRIES, sorted(entries)


def test_the_usual_module_is_short() -> None:
    lengths = [len(text_of(module).splitlines()) for module in MODULES]
    assert statistics.median(lengths) <= MAX_MEDIAN_LINES


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
    lines = len(text_of(module).splitlines())
    assert lines <= MAX_LINES, f"{module} has {lines} lines"
    name = Path(module).stem
    assert name not in {"utils", "util", "helpers", "misc", "common"}
    assert not name.startswith("legacy_")


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_unpickled(module: str) -> None:
    picklers = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve"}
    assert not [name for name in imported_names(module) if name.split(".")[0] in picklers]
    for node in nodes_of(module):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"torch.load", "np.load", "numpy.load"}:
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if ast.unparse(node.func) == "torch.load":
                assert options.get("weights_only") == "True", f"{module}:{node.lineno}"
            else:
                assert options.get("allow_pickle", "False") == "False", f"{module}:{node.lineno}"
