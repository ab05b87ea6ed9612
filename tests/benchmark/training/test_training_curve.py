"""A learning curve is read from a TensorBoard log and drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch.utils.tensorboard import SummaryWriter

from flow_rag_vla.benchmark.training.training_curve import (
    LIFTED,
    RETURN,
    SUCCESS,
    LearningCurve,
    draw_curve,
    read_curve,
)


def write_log(folder: Path, **columns: dict[int, float]) -> Path:
    names = {"ret": RETURN, "lifted": LIFTED, "success": SUCCESS}
    with SummaryWriter(str(folder)) as writer:
        for column, values in columns.items():
            for step, value in values.items():
                writer.add_scalar(names[column], value, step)
    return folder


def test_iterations_without_an_ended_episode_are_left_out(tmp_path: Path):
    run = write_log(tmp_path, ret={1: 0.5, 2: 1.5}, lifted={0: 0.0, 1: 0.0, 2: 0.25}, success={1: 0.0, 2: 0.125})
    assert read_curve(run) == LearningCurve([1, 2], [0.5, 1.5], [0.0, 0.25], [0.0, 0.125])


def test_a_folder_without_a_log_or_without_episodes_is_refused_by_name(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="no TensorBoard log"):
        read_curve(tmp_path)
    with pytest.raises(FileNotFoundError, match="no Train/mean_reward"):
        read_curve(write_log(tmp_path, lifted={0: 0.0}, success={0: 0.0}))


def test_the_same_curve_is_the_same_picture(tmp_path: Path):
    curve = LearningCurve([0, 1], [0.0, 2.0], [0.0, 0.5], [0.0, 0.25])
    for name in ("a.svg", "b.svg"):
        draw_curve(curve, "lift", tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    draw_curve(curve, "lift", tmp_path / "new" / "c.png")
    assert (tmp_path / "new" / "c.png").read_bytes().startswith(b"\x89PNG")
