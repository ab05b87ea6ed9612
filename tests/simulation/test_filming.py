"""Films of the simulator: the files exist, things move in them, and they show the scenario's colour and goal."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

import imageio.v3 as iio
import numpy as np
import pytest

from flow_rag_vla.benchmark.films.demo import DemoRequest, film_demo, prepare_demo
from flow_rag_vla.tasks.scenarios.sites import make_site

if TYPE_CHECKING:
    from flow_rag_vla.tasks.films.filming import Studio

pytestmark = pytest.mark.sim

TASK = "FlowRAG-PickPlace-Franka"


def test_a_demo_films_a_failure_and_the_attempt_that_remembers_it(tmp_path):
    # Too few steps to succeed in, enough to break the object.
    request = DemoRequest(
        task="pick_place", fault="crushable_object", arm="parallel", attempts=2, seed=0, out=tmp_path,
        format="mp4", width=64, max_steps=56,
    )  # fmt: skip
    console = io.StringIO()
    film = film_demo(prepare_demo(request), console)
    assert film == tmp_path / "pick_place-crushable_object-parallel.mp4"
    frames = iio.imread(film)
    assert frames.shape[1:] == (64, 64, 3)
    moving = frames[:14, 16:].astype(float)
    assert (np.abs(np.diff(moving, axis=0)).max(axis=(1, 2, 3)) > 20).all()
    first, second = console.getvalue().splitlines()
    assert first.startswith("attempt 1, parallel, 0 remembered failures: grasp failure")
    assert second.startswith("attempt 2, parallel, 1 remembered failure:")
    stills = [iio.imread(film.with_name(f"{film.stem}-1-{moment}.png")) for moment in ("failure", "end")]
    assert all(still.shape == (64, 64, 3) for still in stills)
    assert (stills[0] != stills[1]).any()
    assert film.with_name(f"{film.stem}-2-end.png").exists()


@pytest.fixture(scope="module")
def studio() -> Iterator[Studio]:
    """One environment in front of a small camera."""
    from flow_rag_vla.tasks.films.filming import Studio

    studio = Studio(TASK, 160, 120, physics="newton_mujoco")
    yield studio
    studio.close()


def shown(studio: Studio, colour: str, goal_y_m: float) -> np.ndarray:
    scenario = make_site(3, TASK).scenario(10_000_100)
    layout = dataclasses.replace(scenario.layout, goal_xy_m=(0.53, goal_y_m))
    studio.env.load([dataclasses.replace(scenario, layout=layout, object_colour=colour)], [0])
    return studio.frame().astype(float)


def test_the_object_has_the_colour_of_its_scenario(studio):
    red, blue = shown(studio, "red", 0.2), shown(studio, "blue", 0.2)
    differs = np.abs(red - blue).max(axis=2) > 40
    assert 10 < differs.sum() < 400
    assert red[differs][:, 0].mean() > 2 * red[differs][:, 2].mean()
    assert blue[differs][:, 2].mean() > 2 * blue[differs][:, 0].mean()


def test_the_marker_lies_on_the_goal_of_its_scenario(studio):
    near, far = shown(studio, "red", 0.17), shown(studio, "red", 0.27)
    left_green = near[np.abs(near - far).max(axis=2) > 40]
    now_green = far[np.abs(near - far).max(axis=2) > 40]
    is_green = [(pixels[:, 1] > pixels[:, 0] + 30) for pixels in (left_green, now_green)]
    assert 5 < is_green[0].sum() < 200
    assert 5 < is_green[1].sum() < 200
    assert not (is_green[0] & is_green[1]).any()
    columns = [np.flatnonzero((f[..., 1] > f[..., 0] + 30).any(axis=0)).mean() for f in (near, far)]
    assert columns[1] > columns[0] + 2
