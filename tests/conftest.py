"""How tests run in parallel, and fixtures of several folders: a fleet without physics, and a small DINOv2."""

from __future__ import annotations

import dataclasses
import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from flow_rag_vla.tasks.catalogue.task import Task
    from flow_rag_vla.tasks.contract import EpisodeTruth, Observation
    from flow_rag_vla.tasks.scenarios.scenario import Scenario


MAX_WORKERS = 4
"""Each loads torch and a simulator, 2 to 3 GB."""


def share_of_cores() -> None:
    """Let a worker and what it starts compute on as many threads as it has cores; read when torch is loaded."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        threads = str(max(1, len(os.sched_getaffinity(0)) // workers))
        for variable in ("OMP_NUM_THREADS", "FLOW_RAG_VLA_PHYSICS_THREADS"):
            os.environ.setdefault(variable, threads)


def keep_byte_code() -> None:
    """Compile each module once, also where ``PYTHONDONTWRITEBYTECODE`` is set, as in many containers.

    Otherwise every worker and every process that a test starts spends 5 to 15 s compiling what it imports.  What is
    kept goes to pytest's own cache, not beside the sources.
    """
    if sys.dont_write_bytecode:
        sys.dont_write_bytecode = False
        sys.pycache_prefix = str(Path(__file__).parents[1] / ".pytest_cache" / "byte_code")
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix


share_of_cores()
keep_byte_code()


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Unless the command line says otherwise, one worker a core; a file stays together, as its tests share a fleet.

    One process is left where workers would not help (one core), see nobody (``--pdb``) or disturb what is measured
    (``-m perf``), and without pytest-xdist.
    """
    option = config.option
    if not config.pluginmanager.hasplugin("xdist") or "PYTEST_XDIST_WORKER" in os.environ:
        return
    alone = option.usepdb or option.trace or option.collectonly or option.markexpr.strip() == "perf"
    if option.numprocesses is None and not option.tx and option.dist == "no" and not alone:
        workers = min(MAX_WORKERS, len(os.sched_getaffinity(0)))
        option.numprocesses = workers if workers > 1 else 0
    if option.numprocesses and option.dist == "no":
        option.dist = "loadfile"
        option.loadscopereorder = False


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the files that simulate, in parallel: a long one must not be left for one worker in the end."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        long = {item.path for item in items if item.get_closest_marker("sim")}
        items.sort(key=lambda item: item.path not in long)


class FakeFleet:
    """A ``Fleet`` without physics: each episode ends after a number of control steps that was fixed beforehand.

    What it senses is the number of control steps taken, in every joint position.
    """

    def __init__(
        self, ends_after: torch.Tensor, max_episode_length: int, picture_size: tuple[int, int] = (2, 2)
    ) -> None:
        from flow_rag_vla.tasks.catalogue.registry import get_task

        self.num_envs, self.max_episode_length = len(ends_after), max_episode_length
        self.device = str(ends_after.device)
        self._picture_size = picture_size
        self.task: Task = get_task("pick_place")
        self._ends_after = ends_after
        self._steps = ends_after.new_zeros(len(ends_after))
        self._seen: Observation | None = None
        self.loaded: list[Scenario] = []
        self.attempts: list[int] = []
        self.calls: list[str] = []
        """``load``, ``step`` and ``render``, in order; others may add theirs."""
        self.actions: list[torch.Tensor] = []
        """(num_envs, 7) of each control step."""

    def load(self, scenarios: Sequence[Scenario], attempts: Sequence[int]) -> Observation:
        self.loaded, self.attempts = list(scenarios), list(attempts)
        self._steps = self._steps * 0
        self._seen = None
        self.calls.append("load")
        return self.observe()

    def step(self, action: torch.Tensor, /) -> None:
        self._steps = self._steps + (~self.done).long()
        self._seen = None
        self.actions.append(action.clone())
        self.calls.append("step")

    def observe(self, *, images: bool = False, appearance: object = None) -> Observation:
        if self._seen is None:
            self._seen = self._sense()
        if not images:
            return self._seen
        self.calls.append("render")
        return dataclasses.replace(self._seen, rgb=self._steps.new_zeros(self.num_envs, *self._picture_size, 3))

    def _sense(self) -> Observation:
        from flow_rag_vla.tasks.contract import OBSERVATION_WIDTHS, Observation

        zeros = self._steps.float().new_zeros
        columns = {name: zeros(self.num_envs, width) for name, width in OBSERVATION_WIDTHS.items()}
        upright = self._steps.float().new_tensor([0.0, 0.0, 0.0, 1.0]).repeat(self.num_envs, 1)
        quats = {name: upright.clone() for name in columns if name.endswith("_quat_b")}
        taken = len([call for call in self.calls if call == "step"])
        columns["joint_pos"] += float(taken)
        return Observation(**(columns | quats), instruction=("do it",) * self.num_envs)

    @property
    def done(self) -> torch.Tensor:
        return (self._steps >= self._ends_after) | (self._steps >= self.max_episode_length)

    @property
    def truth(self) -> EpisodeTruth:
        """Success for all that did not time out."""
        from flow_rag_vla.tasks.contract import FAILURE_TYPES, PHASES, EpisodeTruth

        no, none = self.done & False, self._steps * 0 - 1
        late = self._steps >= self.max_episode_length
        forces = self._steps.float() * 0
        return EpisodeTruth(
            done=self.done,
            success=self.done & ~late,
            invalid=no,
            invalid_reason=none,
            fault_fired=no,
            failure_type=none.masked_fill(late, FAILURE_TYPES.index("timeout")),
            failure_phase=none.masked_fill(late, PHASES.index("carry")),
            failure_step=none.masked_fill(late, self.max_episode_length),
            failure_pos_b=forces.unsqueeze(1).repeat(1, 3),
            steps=self._steps,
            peak_obstacle_force_n=forces,
            peak_grip_force_n=forces,
            penetration_m=forces,
            peak_penetration_m=forces,
        )

    def initial_state_shas(self) -> list[str]:
        return [f"{i:016d}" for i in range(self.num_envs)]

    def explain_invalid(self) -> list[str | None]:
        return [None] * self.num_envs

    def close(self) -> None:
        self.calls.append("close")


@pytest.fixture
def fake_fleet() -> Callable[..., FakeFleet]:
    """A maker of fleets without physics, from the control steps after which each environment's episode ends."""
    import torch

    def make(
        *ends_after: int, max_episode_length: int = 20, device: str = "cpu", picture_size: tuple[int, int] = (2, 2)
    ) -> FakeFleet:
        """``picture_size`` is height and width."""
        return FakeFleet(torch.tensor(ends_after, device=device), max_episode_length, picture_size)

    return make


@pytest.fixture
def waits() -> Callable[..., AbstractContextManager[list[str]]]:
    """``with waits() as waited``: what in the block would wait for the device, were the CPU's tensors on one.

    ``waits("cuda")``, on a pretended CUDA device, asks of its tensors, and counts what is copied to or from it as well:
    a list that becomes a tensor there, too, is a copy that waits.
    """
    import torch
    from torch._subclasses.fake_tensor import FakeTensor
    from torch.utils._python_dispatch import TorchDispatchMode

    copying = ("aten::_to_copy", "aten::copy_")
    asking = ("aten::_local_scalar_dense", "aten::nonzero", "aten::equal", "aten::masked_select", "aten::_unique2")

    class Notes(TorchDispatchMode):
        def __init__(self, waited: list[str], device: str) -> None:
            super().__init__()
            self.waited, self.device = waited, device

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            name = func.name()
            result = func(*args, **(kwargs or {}))
            asks = name in asking or (name.startswith("aten::index") and _looks_for_rows(args))
            if asks and args[0].device.type == self.device:
                self.waited.append(name)
            if name in copying and args[name == "aten::copy_"].device.type != result.device.type:
                self.waited.append(name)
            return result

    def _looks_for_rows(args: tuple) -> bool:
        """A mask as index is searched for its rows, unless one value goes to all of them."""
        masks = isinstance(args[1], list) and any(i is not None and i.dtype == torch.bool for i in args[1])
        return masks and not (len(args) > 2 and args[2].numel() == 1)

    @contextmanager
    def watch(device: str = "cpu") -> Iterator[list[str]]:
        waited: list[str] = []
        kind = torch.Tensor if device == "cpu" else FakeTensor
        tolist: Callable[..., list] = kind.tolist

        def noted_tolist(tensor: torch.Tensor) -> list:
            before = len(waited)
            values = tolist(tensor)
            # One copy, where fake tensors are read number by number and those of the CPU without telling anybody.
            waited[before:] = ["tolist"] * (tensor.device.type == device)
            return values

        with pytest.MonkeyPatch.context() as patch, Notes(waited, device):
            patch.setattr(kind, "tolist", noted_tolist)
            yield waited

    return watch


@pytest.fixture
def own_arms(monkeypatch: pytest.MonkeyPatch) -> None:
    """The arms that a test registers are forgotten after it."""
    from flow_rag_vla.agents.arms import registry

    monkeypatch.setattr(registry, "_ARMS", dict(registry._ARMS))


@pytest.fixture(scope="module")
def frozen_heap() -> None:
    """Let the garbage collector pass over all that lives by now.

    Every simulation that closes collects garbage; without this it looks each time through a million objects of
    imported libraries.  To be asked for while no simulation lives, since what is frozen is not collected any more.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def save_tiny_dinov2():
    """Saves a DINOv2 of two narrow layers with random weights to a folder, as the real one is stored."""

    def save(folder, seed=0, num_hidden_layers=2, patch_size=14):
        import torch
        from transformers import Dinov2Config, Dinov2Model

        config = Dinov2Config(
            hidden_size=32,
            num_hidden_layers=num_hidden_layers,
            num_attention_heads=2,
            mlp_ratio=2,
            image_size=28,
            patch_size=patch_size,
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            Dinov2Model(config).save_pretrained(folder)
        return folder

    return save
