"""Domain randomisation of the camera's pictures: pose of the camera, colours, background and light (Tobin et al. 2017).

What a picture adds on top (noise, brightness, contrast) is left to whoever trains on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from flow_rag_vla.tasks.assets.camera import BACKGROUND_RGB, LIGHT_DIRECTION, TABLE_RGB, Appearance

if TYPE_CHECKING:
    from collections.abc import Sequence

DISPLACED_SHARE = 0.5
"""Share of pictures from a camera that stands clearly elsewhere than its calibration says."""

DISPLACED_M, JITTER_M = 0.045, 0.004
"""Largest displacement along each axis, of those and of the others."""

AIM_JITTER_M = 0.004
"""Largest displacement of the point looked at, about 1.1 m away: 0.2 degrees."""

OWN_COLOUR_SHARE, COLOUR_STD = 0.75, 0.04
"""Share of objects that keep their palette colour but for a deviation; the others get any colour."""

PLAIN_SHARE = 0.4
"""Share of pictures whose table and background keep nearly their own colours."""

TABLE_STD, PLAIN_STD, LIGHT_STD = 0.12, 0.02, 0.35


def random_appearance(rng: np.random.Generator, object_rgb: torch.Tensor) -> Appearance:
    """Looks for one batch of pictures of objects with palette colours ``object_rgb`` (num_envs, 3)."""
    n, device = len(object_rgb), object_rgb.device

    def rows(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(device)

    displaced = rng.random((n, 1)) < DISPLACED_SHARE
    reach = np.where(displaced, DISPLACED_M, JITTER_M)
    own = object_rgb.cpu().numpy() + COLOUR_STD * rng.standard_normal((n, 3))
    colour = np.where(rng.random((n, 1)) < OWN_COLOUR_SHARE, own, rng.random((n, 3)))
    plain = rng.random((n, 1)) < PLAIN_SHARE
    table = np.array(TABLE_RGB) * rng.uniform(0.5, 1.2, (n, 1)) + TABLE_STD * rng.standard_normal((n, 3))
    table = np.where(plain, np.array(TABLE_RGB) + PLAIN_STD * rng.standard_normal((n, 3)), table)
    background = np.where(plain, np.array(BACKGROUND_RGB), rng.random((n, 3)))
    return Appearance(
        camera_shift_m=rows(rng.uniform(-1.0, 1.0, (n, 3)) * reach),
        target_shift_m=rows(rng.uniform(-AIM_JITTER_M, AIM_JITTER_M, (n, 3))),
        object_rgb=rows(colour.clip(0.02, 0.98)),
        table_rgb=rows(table.clip(0.05, 0.98)),
        background_rgb=rows(background),
        light_direction=_triple(np.array(LIGHT_DIRECTION) + LIGHT_STD * rng.standard_normal(3)),
    )


def _triple(values: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return (x, y, z)
