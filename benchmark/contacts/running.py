"""What is measured must run: an episode that has ended may stand still, and then says nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def refuse_ended(ended: torch.Tensor, measured: str) -> None:
    """Raise where any of ``ended`` (num_envs,) bool episodes ended while ``measured`` was being measured.

    Raises:
        RuntimeError: naming the environments.
    """
    environments = ended.nonzero().flatten().tolist()
    if environments:
        raise RuntimeError(
            f"{measured}: {len(environments)} of {len(ended)} episodes ended before all was measured (environments "
            f"{environments}); give them a goal out of reach and enough control steps"
        )
