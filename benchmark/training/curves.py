"""The learning curves of a training run, drawn from its TensorBoard log: losses, and success by task."""

from __future__ import annotations

from pathlib import Path

from flow_rag_vla.benchmark.training.training_curve import drawn_panels, read_scalars
from flow_rag_vla.tasks.catalogue.registry import all_tasks

_COLOURS = ("#2b6cb0", "#b7791f", "#2f855a", "#9b2c2c")


def draw_curves(run: Path, title: str, paths: list[Path]) -> None:
    """Draw the log in folder ``run`` into each of ``paths`` (SVG or PNG, by suffix); equal logs give equal SVGs.

    Raises:
        FileNotFoundError: there is no log.
    """
    scalars = read_scalars(run)
    success = {
        (task.slug, colour): column
        for task, colour in zip(all_tasks(), _COLOURS, strict=False)
        if (column := scalars.get(f"validation/success/{task.name}"))
    }
    for path in paths:
        with drawn_panels(path, title, 2 if success else 1) as panels:
            for name, label, colour in (
                ("train/loss", "training", "#a0aec0"),
                ("validation/loss", "held out", "#2b6cb0"),
            ):
                column = scalars.get(name, {})
                panels[0].plot(list(column), list(column.values()), color=colour, label=label)
            panels[0].set(xlabel="iteration", ylabel="flow-matching loss", yscale="log")
            panels[0].legend(frameon=False)
            if success:
                for (label, colour), column in success.items():
                    panels[1].plot(list(column), list(column.values()), "o-", color=colour, label=label)
                panels[1].set(xlabel="iteration", ylabel="success (development)", ylim=(-0.02, 1.02))
                panels[1].legend(frameon=False)
