"""The learning curve of an rsl_rl run, from its TensorBoard log: numbers, and a picture of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RETURN, LENGTH = "Train/mean_reward", "Train/mean_episode_length"
LIFTED, SUCCESS = "Episode/lifted_share", "Episode/success_share"


@dataclass(frozen=True)
class LearningCurve:
    """What a training log says, one list each, by iteration."""

    iterations: list[int]
    mean_return: list[float]
    """Over the last 100 episodes that ended."""
    lifted_share: list[float]
    success_share: list[float]
    """Of the environments, by their last ended episode."""


def read_curve(run: Path) -> LearningCurve:
    """The curve of the run in folder ``run``; iterations before the first ended episode are left out.

    Raises:
        FileNotFoundError: no such folder, or no TensorBoard log with episodes in it.
    """
    scalars = read_scalars(run)
    if missing := [name for name in (RETURN, LIFTED, SUCCESS) if name not in scalars]:
        raise FileNotFoundError(f"{run}: the log has no {', '.join(missing)}: no episode has ended")
    columns = [scalars[name] for name in (RETURN, LIFTED, SUCCESS)]
    iterations = sorted(set.intersection(*(set(column) for column in columns)))
    rows = [[column[i] for i in iterations] for column in columns]
    return LearningCurve(iterations, *rows)


def draw_curve(curve: LearningCurve, title: str, path: Path) -> None:
    """Write the curve to ``path`` (SVG or PNG, by its suffix); the same curve gives the same bytes."""
    with drawn_panels(path, title, 2) as (left, right):
        left.plot(curve.iterations, curve.mean_return, color="#2b6cb0")
        left.set(xlabel="iteration", ylabel="mean return")
        right.plot(curve.iterations, curve.lifted_share, color="#b7791f", label="lifted")
        right.plot(curve.iterations, curve.success_share, color="#2f855a", label="success")
        right.set(xlabel="iteration", ylabel="share of episodes", ylim=(-0.02, 1.02))
        right.legend(frameon=False)


def read_scalars(run: Path) -> dict[str, dict[int, float]]:
    """Every scalar of the TensorBoard log in folder ``run``: its name to its value by iteration.

    What a resumed run noted again counts once, as noted last.

    Raises:
        FileNotFoundError: no such folder, or no log in it.
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    if not any(run.glob("events.out.tfevents.*")):
        raise FileNotFoundError(f"{run}: no TensorBoard log (events.out.tfevents.*)")
    log = EventAccumulator(str(run), size_guidance={"scalars": 0})
    log.Reload()
    return {name: {event.step: event.value for event in log.Scalars(name)} for name in log.Tags()["scalars"]}


@contextmanager
def drawn_panels(path: Path, title: str, number: int) -> Iterator[Sequence[Axes]]:
    """``number`` panels side by side, written to ``path`` (SVG or PNG) when the block ends."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # Not pyplot: it looks for a display.
    with mpl.rc_context({"svg.hashsalt": "flow-rag", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False}):
        figure = Figure(figsize=(3.6 * number, 2.6), layout="constrained")
        panels = figure.subplots(1, number, squeeze=False)[0]
        figure.suptitle(title)
        yield panels
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
