"""Trains vision networks on labelled pictures of the simulator."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.nn import functional

from flow_rag_vla.agents.policy.features import (
    ELONGATED_RATIO,
    POSITION_SCALE_M,
    SIZE_SCALE_M,
    WORKSPACE_CENTRE_M,
    observation_from_fields,
    rotation_matrix,
)
from flow_rag_vla.agents.training.cfg import VisionTrainingCfg
from flow_rag_vla.agents.vision.networks.cnn import CnnEncoder, CnnEncoderCfg
from flow_rag_vla.agents.vision.networks.network import GOAL, OBJECT, VisionNetwork, normalised
from flow_rag_vla.agents.vision.networks.projection import Projection
from flow_rag_vla.agents.vision.networks.proprioception import proprioception
from flow_rag_vla.agents.vision.networks.sighting import HEADS, log_spread

UPRIGHT = 0.95
"""Cosine of the tilt above which yaw means anything."""

ROUND_M = 0.001
"""A footprint this close to square at a greater height is a cylinder's; see ``is_round``."""

BRIGHTNESS, CONTRAST, CHANNEL_GAIN, NOISE_STD = 0.10, 0.20, 0.06, 0.02
"""How far a picture's values are changed on the way into the network."""


NOISE_PATTERNS = 8

BETA = 0.5

HEAT_WEIGHT, PICTURE_WEIGHT, HEIGHT_WEIGHT = 0.3, 20.0, 5.0


@dataclass(frozen=True)
class LabelledPictures:
    """Pictures, what the arm felt, and what there was to be seen."""

    rgb: torch.Tensor
    """(n, height, width, 3) uint8."""
    felt: torch.Tensor
    """(n, NUM_PROPRIOCEPTION)."""
    labels: torch.Tensor
    """(n, sum of label widths), NaN where a quantity is not to be seen; columns as in ``LABELS``."""
    layout_seeds: frozenset[int]
    displaced: torch.Tensor
    """(n,) bool: the camera stood clearly elsewhere than its calibration says."""


DISPLACED_M = 0.01

LABELS: tuple[str, ...] = ("object_pos", "yaw_4", "yaw_2", "pitch", "size", "rgb", "goal_xy")
_WIDTH = dict(HEADS)
_WEIGHT = {"object_pos": 2.0, "yaw_4": 0.5, "yaw_2": 0.5, "pitch": 0.2, "size": 2.0, "rgb": 2.0, "goal_xy": 0.3}


_BETA = {"size": 2.0}
"""Where the smooth absolute error turns from square to linear: a median of sizes, which are far apart, says little."""


_FELT = ("ee_pos_b", "ee_quat_b", "gripper_width_m", "grip_force_n", "previous_action")
_STORED = frozenset(
    {"rgb", "layout_seed", "camera_shift_m", "object_pos_b", "object_quat_b", "object_size_m", "object_rgb"}
    | {"goal_pos_b", "goal_shown", *_FELT}
)


def load_pictures(folder: str | Path, pattern: str = "*") -> LabelledPictures:
    """Everything that ``scripts/collect_renders.py`` wrote to ``folder`` in files ``pattern``.

    Raises:
        ValueError: there is nothing, or a file that it did not write whole.
    """
    files = sorted(Path(folder).glob(f"{pattern}.safetensors"))
    if not files:
        raise ValueError(f"no pictures in {folder}; take some with scripts/collect_renders.py --out {folder}")
    rgb, felt, labels, displaced = [], [], [], []
    seeds: set[int] = set()
    for file in files:
        try:
            rows = load_file(file)
        except (OSError, SafetensorError) as error:
            raise ValueError(f"{file}: not a readable safetensors file ({error})".replace("\n", " ")) from None
        if lacking := sorted(_STORED - set(rows)):
            raise ValueError(f"{file} lacks {', '.join(lacking)}; scripts/collect_renders.py did not write it")
        rgb.append(rows["rgb"])
        felt.append(proprioception(observation_from_fields({name: rows[name] for name in _FELT})))
        labels.append(labels_of(rows))
        displaced.append(rows["camera_shift_m"].norm(dim=1) > DISPLACED_M)
        seeds.update(rows["layout_seed"].unique().tolist())
    return LabelledPictures(torch.cat(rgb), torch.cat(felt), torch.cat(labels), frozenset(seeds), torch.cat(displaced))


def labels_of(rows: dict[str, torch.Tensor]) -> torch.Tensor:
    """(n, k) what a network should say of stored ``rows``, on its own scales; NaN where it cannot be seen.

    Positions are those that a camera would report which does not know that it is displaced.
    """
    centre = rows["object_pos_b"].new_tensor(WORKSPACE_CENTRE_M)
    seen = rows["object_pos_b"] - rows["camera_shift_m"]
    goal = (rows["goal_pos_b"] - rows["camera_shift_m"])[:, :2]
    box = rotation_matrix(rows["object_quat_b"])
    yaw = torch.atan2(box[:, 1, 0], box[:, 0, 0])
    size = rows["object_size_m"]
    upright = box[:, 2, 2] > UPRIGHT
    long = size[:, 0] > ELONGATED_RATIO * size[:, 1]
    nan = torch.full_like(yaw, math.nan)

    def angle(factor: float, known: torch.Tensor) -> torch.Tensor:
        turn = torch.stack([torch.sin(factor * yaw), torch.cos(factor * yaw)], dim=1)
        return torch.where(known.unsqueeze(1), turn, nan.unsqueeze(1))

    return torch.cat(
        [
            (seen - centre) / POSITION_SCALE_M,
            angle(4.0, upright & ~is_round(size)),
            angle(2.0, long),
            torch.where(long, box[:, 2, 0], nan).unsqueeze(1),
            size / SIZE_SCALE_M - 1.0,
            rows["object_rgb"],
            torch.where(rows["goal_shown"].unsqueeze(1), (goal - centre[:2]) / POSITION_SCALE_M, nan.unsqueeze(1)),
        ],
        dim=1,
    )


def is_round(size_m: torch.Tensor) -> torch.Tensor:
    """(n,) bool: the object is the upright cylinder: as deep as wide, and taller than that."""
    return ((size_m[:, 0] - size_m[:, 1]).abs() < ROUND_M) & (size_m[:, 2] > size_m[:, 0] + 5 * ROUND_M)


def vision_loss(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Scalar: Laplace log-likelihood for positions, smooth absolute error for the rest; NaN labels do not count."""
    said = dict(zip((n for n, _ in HEADS), outputs.split([w for _, w in HEADS], dim=1), strict=True))
    true = dict(zip(LABELS, labels.split([_WIDTH[name] for name in LABELS], dim=1), strict=True))
    total = outputs.new_zeros(())
    for name in LABELS:
        known = true[name].isfinite()
        target = torch.where(known, true[name], said[name].detach())
        spread_name = {"object_pos": "object_spread", "goal_xy": "goal_spread"}.get(name)
        if spread_name is None:
            term = functional.smooth_l1_loss(said[name], target, beta=_BETA.get(name, 0.1), reduction="none")
        else:
            spread = log_spread(said[spread_name])
            term = (said[name] - target).abs() * torch.exp(-spread) + spread
            # beta-NLL (Seitzer et al. 2022): otherwise what is easy to see drowns what is hard.
            term = term * torch.exp(BETA * spread.detach())
        total = total + _WEIGHT[name] * (term * known).sum() / known.sum().clamp(min=1)
    return total


def heat_loss(heat: torch.Tensor, seen_at: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of one heat map (n, h, w), logits, with places ``seen_at`` (n, 2), shared among four cells.

    Places that are NaN or outside the picture do not count.
    """
    h, w = heat.shape[1:]
    size = heat.new_tensor([w, h])
    inside = (seen_at.abs() < 1.0).all(dim=1)
    cell = ((torch.where(inside.unsqueeze(1), seen_at, 0.0) + 1.0) / 2.0 * size - 0.5).clamp(min=0.0)
    cell = cell.minimum(size - 1.001)
    low, share = cell.floor().long(), cell - cell.floor()
    log_p = functional.log_softmax(heat.flatten(1), dim=1)
    total = heat.new_zeros(len(heat))
    for dx in (0, 1):
        for dy in (0, 1):
            weight = (share[:, 0] if dx else 1 - share[:, 0]) * (share[:, 1] if dy else 1 - share[:, 1])
            index = (low[:, 1] + dy) * w + low[:, 0] + dx
            total = total - weight * log_p.gather(1, index.unsqueeze(1))[:, 0]
    return (total * inside).sum() / inside.sum().clamp(min=1)


def seen_at(labels: torch.Tensor, projection: Projection) -> tuple[torch.Tensor, torch.Tensor]:
    """Picture coordinates (n, 2) of the middle of the object, and of the goal on the table (NaN: not shown)."""
    centre = labels.new_tensor(WORKSPACE_CENTRE_M)
    goal = torch.cat([centre[:2] + POSITION_SCALE_M * labels[:, -2:], torch.zeros_like(labels[:, :1])], dim=1)
    return projection.to_picture(centre + POSITION_SCALE_M * labels[:, :3]), projection.to_picture(goal)


def augmented(image: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """``image`` (n, 3, height, width) with another brightness, contrast and white balance, and noise."""
    n = len(image)

    def spread(*shape: int) -> torch.Tensor:
        return 2.0 * torch.rand(shape, generator=rng) - 1.0

    gain = (1.0 + CONTRAST * spread(n, 1, 1, 1)) * (1.0 + CHANNEL_GAIN * spread(n, 3, 1, 1))
    # A few patterns for the whole batch: drawing one for each picture would take a tenth of the training time.
    patterns = torch.randn(NOISE_PATTERNS, *image.shape[1:], generator=rng)
    pick = torch.randint(NOISE_PATTERNS, (n,), generator=rng)
    noise = NOISE_STD * torch.rand(n, 1, 1, 1, generator=rng) * patterns[pick]
    return (image * gain + BRIGHTNESS * spread(n, 1, 1, 1) + noise).clamp(-0.5, 0.5)


def _batches(n: int, size: int, rng: np.random.Generator) -> Iterator[torch.Tensor]:
    order = torch.from_numpy(rng.permutation(n))
    yield from order[: n - n % size].split(size)


def train_vision(
    data: LabelledPictures,
    cfg: VisionTrainingCfg,
    on_step: Callable[[int, float], None] | None = None,
    new_network: Callable[[], VisionNetwork] | None = None,
) -> VisionNetwork:
    """A network trained on ``data``, in evaluation mode.

    Args:
        data: Pictures of training seeds.
        cfg: Settings; with the same thread count they fix the weights.
        on_step: Called with the number of steps done and a running mean of the loss.
        new_network: Makes the network to train, its first weights drawn from torch's global stream; by default the
            small CNN for pictures of this size.  Weights that need no gradient stay as they are.

    Raises:
        ValueError: fewer pictures than one batch.
    """
    if len(data.rgb) < cfg.batch_size:
        raise ValueError(f"{len(data.rgb)} pictures, expected at least one batch of {cfg.batch_size}")
    rng = np.random.Generator(np.random.Philox(key=cfg.seed))
    generator = torch.Generator().manual_seed(cfg.seed)
    with torch.random.fork_rng():
        torch.manual_seed(cfg.seed)  # layers draw their first weights from the global stream
        net = _new_cnn(data, cfg) if new_network is None else new_network()
    net.to(memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue] (torch's stubs lack it)
    weights = [weight for weight in net.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=cfg.learning_rate, weight_decay=cfg.weight_decay)
    steps = num_steps(len(data.rgb), cfg)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, cfg.learning_rate, total_steps=steps, pct_start=min(0.3, cfg.warm_up / steps), cycle_momentum=False
    )
    done, mean = 0, 0.0
    for _ in range(cfg.epochs):
        for rows in _batches(len(data.rgb), cfg.batch_size, rng):
            image = augmented(normalised(data.rgb[rows]), generator).contiguous(memory_format=torch.channels_last)
            loss = _loss(net, image, data.felt[rows], data.labels[rows], generator)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 5.0)
            optimiser.step()
            schedule.step()
            done += 1
            mean = loss.item() if done == 1 else 0.98 * mean + 0.02 * loss.item()
            if on_step is not None:
                on_step(done, mean)
    return net.to(memory_format=torch.contiguous_format).eval().requires_grad_(False)  # pyright: ignore[reportCallIssue]


def _new_cnn(data: LabelledPictures, cfg: VisionTrainingCfg) -> CnnEncoder:
    height, width = data.rgb.shape[1:3]
    return CnnEncoder(CnnEncoderCfg(height=height, width=width, channels=cfg.channels))


def _loss(
    net: VisionNetwork, image: torch.Tensor, felt: torch.Tensor, labels: torch.Tensor, rng: torch.Generator
) -> torch.Tensor:
    at, goal_at = seen_at(labels, net.projection)
    look = net.look_in_training(image, felt, at, rng)
    outputs = net.outputs(look)
    centre = labels.new_tensor(WORKSPACE_CENTRE_M)
    said_at = net.projection.to_picture(centre + POSITION_SCALE_M * outputs[:, :3])
    return (
        vision_loss(outputs, labels)
        + PICTURE_WEIGHT * (said_at - at).abs().mean()
        + HEIGHT_WEIGHT * (outputs[:, 2] - labels[:, 2]).abs().mean()
        + HEAT_WEIGHT * heat_loss(look.heat[:, OBJECT], at)
        + HEAT_WEIGHT * heat_loss(look.heat[:, GOAL], goal_at)
    )


def num_steps(num_pictures: int, cfg: VisionTrainingCfg) -> int:
    """Steps that ``train_vision`` takes."""
    return cfg.epochs * (num_pictures // cfg.batch_size)
