"""From recorded episodes to a calibrated detector: training rows, scores, thresholds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from flow_rag_vla.agents.detection.conformal import AlarmLimits, calibrate, phase_maxima
from flow_rag_vla.agents.detection.scorer import SCORES, FailureScorer
from flow_rag_vla.agents.detection.training import DetectorTrainingCfg, TrainingRows, train_scorer
from flow_rag_vla.agents.detection.window import WINDOW_STEPS
from flow_rag_vla.benchmark.detectors.failure_set import FailureSet, read_origin
from flow_rag_vla.benchmark.episodes.seeds import require_split

ROLES: dict[str, str] = {"fit": "train", "calibrate": "train", "choose": "development", "test": "development"}
"""What recorded episodes are for, and the split that their layouts must be of."""

_ROWS_AT_ONCE = 65536


@dataclass(frozen=True)
class Scores:
    """What a detector makes of each row of a ``FailureSet``."""

    score: torch.Tensor
    """(rows, kinds), higher where a failure is likelier."""
    kind: torch.Tensor | None
    """(rows,) int64 index into ``FAILURE_TYPES``; None where a detector tells no types."""


def load_failures(folder: Path, role: str) -> FailureSet:
    """All episodes in ``folder/*_<role>.safetensors``, checked to be of the split that ``role`` demands.

    Raises:
        ValueError: there are none, a file is damaged, or a layout belongs to another split.
    """
    loaded = FailureSet.concatenate([FailureSet.load(file) for file in _files(folder, role)])
    require_split(loaded.layout_seed.tolist(), ROLES[role])
    return loaded


def origins(folder: Path, role: str) -> list[dict[str, Any]]:
    """Which commands, code and policies made the files of ``role``; errors as in ``load_failures``."""
    return [read_origin(file) for file in _files(folder, role)]


def _files(folder: Path, role: str) -> list[Path]:
    files = sorted(folder.glob(f"*_{role}.safetensors"))
    if not files:
        raise ValueError(f"no {folder}/*_{role}.safetensors; record episodes with scripts/collect_failures.py")
    return files


def require_disjoint(sets: Sequence[FailureSet]) -> None:
    """Refuse sets that share a layout.

    Raises:
        ValueError: naming a layout seed that two of them hold.
    """
    seen: set[int] = set()
    for one in sets:
        seeds = set(one.layout_seed.tolist())
        if seen & seeds:
            raise ValueError(f"layout seed {min(seen & seeds)} is in two sets that must not share one")
        seen |= seeds


def training_rows(data: FailureSet) -> TrainingRows:
    """Rows with the truth; each episode's failed rows, and its others, count by the square root of their number.

    Rows that see the last moments before a failure are left out: to alarm there is neither right nor wrong.
    """
    failed = data.has_failed()
    lead = data.failure_step[data.episode] - data.step
    imminent = data.failed[data.episode] & ~failed & (lead < WINDOW_STEPS)
    group = 2 * data.episode + failed
    count = torch.bincount(group, minlength=2 * data.num_episodes)[group]
    weight = torch.where(imminent, 0.0, count.float().rsqrt())
    kind = data.failure_type[data.episode]
    succeeded = ~data.failed[data.episode]
    return TrainingRows(data.before, data.after, data.action, failed, kind, succeeded, weight)


def fit_scorer(
    data: FailureSet, cfg: DetectorTrainingCfg, on_iteration: Callable[[int, float], None] | None = None
) -> FailureScorer:
    """The detector's networks fitted to ``data``; errors as in ``train_scorer``."""
    return train_scorer(training_rows(data), cfg, on_iteration)


def scorer_scores(scorer: FailureScorer, data: FailureSet) -> Scores:
    """Scores of the learned detector, one column a network, and the likeliest types."""
    parts = [
        scorer(*(part[rows].float() for part in (data.before, data.after, data.action)))
        for rows in torch.arange(len(data.step)).split(_ROWS_AT_ONCE)
    ]
    return Scores(torch.cat([scores for scores, _ in parts]), torch.cat([kinds for _, kinds in parts]))


def classifier_alone(scores: Scores) -> Scores:
    """The classifier's column of ``scorer_scores``, with its types."""
    column = SCORES.index("classifier")
    return Scores(scores.score[:, column : column + 1], scores.kind)


def novelty_alone(scores: Scores) -> Scores:
    """The column of random network distillation, which tells no types."""
    column = SCORES.index("novelty")
    return Scores(scores.score[:, column : column + 1], None)


def chunk_scores(data: FailureSet, distance: int, cumulative: bool = False) -> Scores:
    """Chunk distances (0 single, 1 energy), summed over the episode so far if ``cumulative``, as in STAC."""
    score = torch.nan_to_num(data.chunk[:, distance].float())
    if cumulative:
        # Rows are sorted by episode; a decision is seen in more than one row, in all episodes alike.
        total = score.double().cumsum(0)
        first = torch.searchsorted(data.episode, torch.arange(data.num_episodes))
        before = torch.cat([total.new_zeros(1), total])[first]
        score = (total - before[data.episode]).float()
    return Scores(score.unsqueeze(1), None)


def alarm_limits(scores: Scores, data: FailureSet, alpha: float) -> AlarmLimits:
    """Conformal limits from the successes of ``data``."""
    maxima = phase_maxima(scores.score, data.phase, data.episode, data.num_episodes)
    return calibrate(maxima[~data.failed], alpha)
