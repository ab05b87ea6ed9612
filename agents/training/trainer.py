"""One training run: the weights, everything that changes them, and how to put them back where they were."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
from flow_rag_vla.agents.policy.encoders import LearnedStateEncoder
from flow_rag_vla.agents.policy.flow_matching import FlowMatching
from flow_rag_vla.agents.training.batches import (
    BalancedSampler,
    TrainingBatch,
    held_out_steps,
    make_batch,
    split_starts,
)
from flow_rag_vla.agents.training.schedule import make_average, make_optimiser, make_schedule
from flow_rag_vla.agents.training.state import SavedState

if TYPE_CHECKING:
    from flow_rag_vla.agents.policy.demonstration_set import DemonstrationSet
    from flow_rag_vla.agents.policy.instructions import InstructionTable
    from flow_rag_vla.agents.training.cfg import NetworkCfg, TrainingCfg


class TrainingDivergedError(ArithmeticError):
    """The loss is no longer a number."""


class Policy(nn.Module):
    """Encoder and flow, trained together."""

    def __init__(self, network: NetworkCfg, instructions: InstructionTable) -> None:
        """Fresh weights from torch's global stream, which torch's layers know no other way to be given."""
        super().__init__()
        self.encoder = LearnedStateEncoder(network.encoder_cfg(), instructions)
        self.flow = FlowMatching(network.flow_cfg())

    def loss(self, batch: TrainingBatch, rng: torch.Generator) -> torch.Tensor:
        """Flow-matching loss (scalar) with noise and times from ``rng``, a generator on the CPU."""
        noise = torch.randn(batch.chunk.shape, generator=rng).to(batch.chunk)
        return self.flow.compute_loss(self.encoder(batch.features, batch.instruction), noise, batch.chunk, rng)


@dataclass(frozen=True)
class Step:
    """One iteration."""

    loss: float
    gradient_norm: float
    """Before clipping."""
    learning_rate: float


class Trainer:
    """A policy in training; the same data, settings and thread count give the same weights on a CPU, bit for bit.

    Noise, times and batches come from one generator, initial weights and dropout from torch's global one; both are
    part of the state.
    """

    def __init__(self, data: DemonstrationSet, network: NetworkCfg, cfg: TrainingCfg, device: str = "cpu") -> None:
        """A run before its first iteration.

        Raises:
            ValueError: settings out of range, an unknown network, or a task without usable demonstrations.
        """
        cfg.check()
        self.network, self.cfg = network, cfg
        self.iteration = 0
        self.running_loss = 0.0
        self.results: list[dict[str, Any]] = []
        """What validations in simulation found; kept with the state and the checkpoint."""
        self._data, self._device = data, device
        self._data_sha256 = _sha256(data)
        self._rng = torch.Generator().manual_seed(cfg.seed)
        torch.manual_seed(cfg.seed)
        self._policy = Policy(network, data.instructions())
        self._policy.flow.set_action_statistics(data.actions.mean(dim=0), data.actions.std(dim=0))
        self._policy.to(device)
        splits = split_starts(data, network.horizon, cfg.held_out, cfg.seed)
        self._sampler = BalancedSampler(splits)
        self._held_out = {task: held_out_steps(split) for task, split in splits.items()}
        self._optimiser = make_optimiser(self._policy, cfg)
        self._schedule = make_schedule(self._optimiser, cfg)
        self._average = make_average(self._policy, cfg)

    @property
    def num_parameters(self) -> int:
        """Trained numbers."""
        return sum(p.numel() for p in self._policy.parameters())

    @property
    def finished(self) -> bool:
        """No iteration is left."""
        return self.iteration >= self.cfg.iterations

    def step(self) -> Step:
        """One iteration.

        Raises:
            TrainingDivergedError: the loss is not finite; the weights are those of the iteration before.
        """
        self._policy.train()
        steps = self._sampler.draw(self.cfg.batch_size, self._rng)
        batch = make_batch(self._data, steps, self.network.horizon, self._device)
        with torch.autocast(torch.device(self._device).type, torch.bfloat16, enabled=self.cfg.bf16):
            loss = self._policy.loss(batch, self._rng)
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingDivergedError(
                f"the loss is {value} at iteration {self.iteration + 1}; "
                f"lower training.learning_rate ({self.cfg.learning_rate})"
            )
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self._policy.parameters(), self.cfg.gradient_clip)
        learning_rate = self._optimiser.param_groups[0]["lr"]
        self._optimiser.step()
        self._schedule.step()
        self._average.update_parameters(self._policy)
        self.iteration += 1
        self.running_loss += (value - self.running_loss) * max(0.01, 1.0 / self.iteration)
        return Step(value, float(norm), learning_rate)

    @torch.no_grad()
    def held_out_losses(self) -> dict[str, float]:
        """Loss of the averaged weights on each task's held-out demonstrations, always with the same noise."""
        policy = self._averaged()
        losses = {}
        for task, steps in self._held_out.items():
            if len(steps):
                batch = make_batch(self._data, steps, self.network.horizon, self._device)
                losses[task] = policy.loss(batch, torch.Generator().manual_seed(0)).item()
        return losses

    def checkpoint(self) -> PolicyCheckpoint:
        """The averaged policy as it is now, in evaluation mode."""
        policy = self._averaged()
        training = {
            "network": asdict(self.network),
            "cfg": asdict(self.cfg),
            "tasks": list(self._data.tasks),
            "steps": len(self._data.actions),
            "iteration": self.iteration,
            "loss": self.running_loss,
            "validation": self.results,
        }
        return PolicyCheckpoint(policy.encoder, policy.flow, training)

    def state(self) -> SavedState:
        """Everything that the iterations to come depend on."""
        optimiser = self._optimiser.state_dict()
        header = {
            "fingerprint": self._fingerprint(),
            "iteration": self.iteration,
            "running_loss": self.running_loss,
            "results": self.results,
            "schedule": self._schedule.state_dict(),
            "optimiser_groups": optimiser["param_groups"],
        }
        tensors = {f"policy.{name}": value for name, value in self._policy.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self._average.state_dict().items()}
        for number, moments in optimiser["state"].items():
            tensors |= {f"optimiser.{number}.{name}": value for name, value in moments.items()}
        tensors["rng.batches"] = self._rng.get_state()
        tensors["rng.torch"] = torch.get_rng_state()
        if self._device != "cpu":
            tensors["rng.device"] = torch.cuda.get_rng_state(self._device)
        return SavedState(header, tensors)

    def restore(self, state: SavedState) -> None:
        """Go on from ``state``.

        Raises:
            ValueError: it is the state of other settings or other demonstrations.
        """
        header, expected = state.header, self._fingerprint()
        differing = [name for name, value in expected.items() if header.get("fingerprint", {}).get(name) != value]
        if differing:
            raise ValueError(f"the saved state was made with other {', '.join(differing)}")
        self._policy.load_state_dict(_under("policy.", state.tensors))
        self._average.load_state_dict(_under("average.", state.tensors))
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in _under("optimiser.", state.tensors).items():
            number, _, moment = name.partition(".")
            moments.setdefault(int(number), {})[moment] = value
        self._optimiser.load_state_dict({"state": moments, "param_groups": header["optimiser_groups"]})
        self._schedule.load_state_dict(header["schedule"])
        self._rng.set_state(state.tensors["rng.batches"])
        torch.set_rng_state(state.tensors["rng.torch"])
        if self._device != "cpu":
            torch.cuda.set_rng_state(state.tensors["rng.device"], self._device)
        self.iteration, self.running_loss = header["iteration"], header["running_loss"]
        self.results = header["results"]

    def _averaged(self) -> Policy:
        policy = self._average.module
        if not isinstance(policy, Policy):
            raise TypeError(f"expected a Policy, got {type(policy).__name__}")
        return policy.eval()

    def _fingerprint(self) -> dict[str, Any]:
        """What must be the same for a resumed run to be the same run."""
        return {
            "network": asdict(self.network),
            "training": asdict(self.cfg),
            "tasks": list(self._data.tasks),
            "demonstrations": self._data_sha256,
        }


def _sha256(data: DemonstrationSet) -> str:
    digest = hashlib.sha256()
    for column in (data.features, data.actions, data.last_step, data.task, data.instruction_embeddings):
        digest.update(column.contiguous().numpy().data)
    return digest.hexdigest()


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
