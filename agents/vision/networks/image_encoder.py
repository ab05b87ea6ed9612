"""The interface of encoders that look at the camera's picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

    from flow_rag_vla.agents.vision.networks.sighting import AgedSighting, Sighting
    from flow_rag_vla.tasks.contract import Observation


CNN, DINOV2 = "cnn", "dinov2"
KINDS: tuple[str, ...] = (CNN, DINOV2)
"""What can be trained here and kept in a checkpoint."""

DINOV2_HEIGHT, DINOV2_WIDTH = 140, 224
"""Pixels that DINOv2 sees by default; here, since a command line's help need not wait for torch."""


class VisionEncoder(Protocol):
    """A ``StateEncoder`` that reads ``Observation.rgb``, and says what it shows."""

    @property
    def embedding_dim(self) -> int:
        """Numbers in an embedding: 512."""
        ...

    def encode(self, observation: Observation) -> torch.Tensor:
        """State embeddings (num_envs, embedding_dim), float32, without gradient.

        Raises:
            ValueError: the observation holds no pictures.
        """
        ...

    def look(self, observation: Observation) -> tuple[Sighting, torch.Tensor]:
        """What the pictures show, and the state embeddings (num_envs, embedding_dim) that say it.

        Raises:
            ValueError: the observation holds no pictures.
        """
        ...

    @property
    def late(self) -> LateEncoder | None:
        """This encoder, if its results may be of earlier observations; None of one that shows the one it is given."""
        ...

    def take_ages(self) -> dict[str, Any] | None:
        """How old results were when they were used, since this was last asked; JSON-able.

        None of an encoder that answers each observation with what that observation shows.
        """
        ...

    def reset(self) -> None:
        """Forget pictures that are still under way; raises what went wrong with them."""
        ...


class LateEncoder(VisionEncoder, Protocol):
    """A ``VisionEncoder`` whose newest result may be of an earlier observation."""

    def latest(self, observation: Observation) -> AgedSighting:
        """The newest finished result, of which observation it is, and its age.

        Args:
            observation: Looked at next.

        Raises:
            ValueError: no pictures, or another number of environments than before ``reset``.
        """
        ...


def pictures(observation: Observation) -> torch.Tensor:
    """(num_envs, height, width, 3) uint8 pictures of ``observation``.

    Raises:
        ValueError: it holds none.
    """
    if observation.rgb is None:
        raise ValueError("the observation holds no pictures; expected one made with observe(images=True)")
    return observation.rgb
