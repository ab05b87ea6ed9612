"""What is trained, and how: plain dataclasses, overridden by ``key=value`` on the command line.

Networks are imported where one is described, so that a command line's help need not wait for torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flow_rag_vla.agents.policy.encoders import LearnedStateEncoderCfg
    from flow_rag_vla.agents.policy.flow_matching import FlowMatchingCfg


@dataclass
class NetworkCfg:
    """Sizes of the policy; the defaults are those of the checkpoint that ships with the project."""

    kind: str = "adaln"
    """One of ``velocity_network.KINDS``."""
    horizon: int = 16
    hidden_dim: int = 96
    num_layers: int = 2
    mlp_ratio: int = 2
    dropout: float = 0.0
    encoder_dim: int = 128
    """Hidden width of the state encoder."""
    prediction: str = "chunk"
    """One of ``flow_matching.PREDICTIONS``."""
    solver: str = "euler"
    ode_steps: int = 2

    @classmethod
    def guide(cls) -> NetworkCfg:
        """The implementation guide's: a transformer of 77 million parameters, one action, five Euler steps."""
        from flow_rag_vla.agents.policy.velocity_network import VelocityNetworkCfg

        velocity = VelocityNetworkCfg.guide()
        return cls(
            kind=velocity.kind,
            horizon=velocity.horizon,
            hidden_dim=velocity.hidden_dim,
            num_layers=velocity.num_layers,
            mlp_ratio=velocity.mlp_ratio,
            dropout=velocity.dropout,
            prediction="velocity",
            ode_steps=5,
        )

    @classmethod
    def tiny(cls) -> NetworkCfg:
        """Small enough to train in a second; for tests."""
        return cls(horizon=4, hidden_dim=16, num_layers=1, mlp_ratio=1, encoder_dim=16)

    def encoder_cfg(self) -> LearnedStateEncoderCfg:
        """The state encoder's part."""
        from flow_rag_vla.agents.policy.encoders import LearnedStateEncoderCfg

        return LearnedStateEncoderCfg(hidden_dim=self.encoder_dim)

    def flow_cfg(self) -> FlowMatchingCfg:
        """The flow's part."""
        from flow_rag_vla.agents.policy.flow_matching import FlowMatchingCfg
        from flow_rag_vla.agents.policy.velocity_network import VelocityNetworkCfg

        velocity = VelocityNetworkCfg(
            kind=self.kind,
            horizon=self.horizon,
            hidden_dim=self.hidden_dim,
            num_layers=self.num_layers,
            mlp_ratio=self.mlp_ratio,
            dropout=self.dropout,
        )
        return FlowMatchingCfg(
            velocity=velocity, solver=self.solver, ode_steps=self.ode_steps, prediction=self.prediction
        )


@dataclass
class TrainingCfg:
    """How long and how fast; with the data and the thread count, it decides the weights to the bit."""

    iterations: int = 6000
    batch_size: int = 256
    learning_rate: float = 1.0e-3
    weight_decay: float = 1.0e-4
    warmup: int = 200
    """Iterations of linear warm-up, before half a cosine down to zero."""
    gradient_clip: float = 1.0
    """Largest norm of the gradient."""
    ema_decay: float = 0.999
    """Of the moving average of the weights, which is what is saved as the policy."""
    ema_warmup: int = 100
    """The decay after ``n`` iterations is ``min(ema_decay, n / (n + ema_warmup))``: early weights are forgotten."""
    bf16: bool = False
    """Matrix products in bfloat16 (weights and optimiser stay float32).

    Twice as fast on CPUs that multiply it (AMX, AVX512-BF16), and on CUDA; slower on others.
    """
    held_out: float = 0.02
    """Share of each task's demonstrations that is never trained on, for the validation loss."""
    held_out_every: int = 250
    """Iterations between validation losses."""
    log_every: int = 50
    save_every: int = 500
    """Iterations between states to resume from."""
    seed: int = 0
    threads: int = 2
    """Torch threads: part of what fixes the weights."""

    def check(self) -> None:
        """Refuse what cannot be trained with.

        Raises:
            ValueError: a value out of range; one line.
        """
        least = {"iterations": 1, "batch_size": 1, "warmup": 0, "ema_warmup": 0, "seed": 0, "threads": 1}
        least |= {"held_out_every": 1, "log_every": 1, "save_every": 1}
        for name, smallest in least.items():
            if (value := getattr(self, name)) < smallest:
                raise ValueError(f"training.{name} is {value}, expected at least {smallest}")
        for name in ("learning_rate", "gradient_clip"):
            if not (value := getattr(self, name)) > 0.0:
                raise ValueError(f"training.{name} is {value}, expected more than 0")
        if not self.weight_decay >= 0.0:
            raise ValueError(f"training.weight_decay is {self.weight_decay}, expected at least 0")
        for name in ("ema_decay", "held_out"):
            if not 0.0 <= (value := getattr(self, name)) < 1.0:
                raise ValueError(f"training.{name} is {value}, expected at least 0 and less than 1")
        if self.warmup >= self.iterations:
            raise ValueError(f"training.warmup is {self.warmup}, expected less than iterations ({self.iterations})")


@dataclass
class DetectorTrainingCfg:
    """How the failure detector is trained; the defaults make the checkpoint that ships with the project."""

    hidden_dim: int = 256
    iterations: int = 1200
    """Of the classifier, as are all sizes and rates that follow; the novelty's are those of its module."""
    novelty_iterations: int = 3000
    batch_size: int = 256
    learning_rate: float = 1.0e-3
    weight_decay: float = 1.0e-2
    type_weight: float = 0.5
    """Weight of the type's cross-entropy beside the failure's."""
    input_noise: float = 0.1
    """Standard deviation of noise on normalised inputs in training."""
    no_action_share: float = 0.1
    """Share of the rows that are shown without their action: ``forward`` may be asked without one."""
    seed: int = 0


@dataclass
class VisionTrainingCfg:
    """How a vision encoder is trained."""

    epochs: int = 7
    batch_size: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    warm_up: int = 100
    channels: int = 24
    seed: int = 0
