"""What the robots' camera shows, and above all what it does not."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from flow_rag_vla.tasks.contract import FRONT_VIEW
from flow_rag_vla.tasks.faults.registry import all_faults
from flow_rag_vla.tasks.scenarios.sites import make_site

if TYPE_CHECKING:
    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv
    from flow_rag_vla.tasks.faults.definition.fault import Fault
    from flow_rag_vla.tasks.scenarios.scenario import Scenario

pytestmark = pytest.mark.sim

TASK = "FlowRAG-PickPlace-Franka"
DEVELOPMENT_SEED = 10_000_000


@pytest.fixture(scope="module")
def faults() -> tuple[Fault, ...]:
    return all_faults("pick_place")


@pytest.fixture(scope="module")
def seeing(faults: tuple[Fault, ...]) -> Iterator[ManipulationEnv]:
    """A fleet with small cameras, two environments for each fault."""
    from flow_rag_vla.tasks.assets.camera import FleetCamera
    from flow_rag_vla.tasks.env.make import make_fleet

    env = make_fleet(TASK, 2 * len(faults), physics="newton_mujoco", device="cpu", max_steps=260, camera=True)
    env.camera = FleetCamera(env.scene.env_origins, dataclasses.replace(FRONT_VIEW, width=64, height=40))
    yield env
    env.close()


def twins(faults: tuple[Fault, ...]) -> list[Scenario]:
    """Each fault at its severest, and beside it the same scene without hidden parameters."""
    site = make_site(5, TASK)
    hazards = [site.scenario(DEVELOPMENT_SEED + i, f, severity=f.ladder[-1]) for i, f in enumerate(faults)]
    return [s for h in hazards for s in (h, dataclasses.replace(h, parameters={}))]


def pictures(env: ManipulationEnv, scenarios: list[Scenario]) -> torch.Tensor:
    env.load(scenarios, [0] * env.num_envs)
    rgb = env.observe(images=True).rgb
    assert rgb is not None
    return rgb


def scene(env: ManipulationEnv, **changes: object) -> list[Scenario]:
    base = make_site(3, TASK).scenario(DEVELOPMENT_SEED + 100)
    layout = dataclasses.replace(base.layout, object_xy_m=(0.53, -0.27), goal_xy_m=(0.53, 0.22), object_yaw_rad=0.3)
    return [
        dataclasses.replace(base, **({"layout": layout, "object_colour": "red", "object_model": "cube"} | changes))
    ] * env.num_envs


def test_pictures_are_taken_only_when_asked_for(seeing, faults):
    observation = seeing.load(twins(faults), [0] * seeing.num_envs)
    assert observation.rgb is None
    rgb = seeing.observe(images=True).rgb
    assert rgb.shape == (seeing.num_envs, 40, 64, 3)
    assert rgb.dtype == torch.uint8
    assert seeing.observe().rgb is None


def test_hidden_parameters_change_no_pixel_but_those_that_displace_the_camera(seeing, faults, permitted_channels):
    rgb = pictures(seeing, twins(faults))
    for i, fault in enumerate(faults):
        same = torch.equal(rgb[2 * i], rgb[2 * i + 1])
        assert same == ("object_pos_b" not in permitted_channels(fault)), fault.name


def test_hidden_obstacles_would_be_seen_if_they_were_not_left_out(seeing, faults):
    """Guards the test above: obstacles do stand in the picture, where the renderer is given them."""
    import warp as wp
    from isaaclab_newton.physics.newton_manager import NewtonManager
    from newton import ShapeFlags

    obstacles = [i for i, f in enumerate(faults) if f.name in ("post", "beam", "wall_left", "wall_right")]
    assert len(obstacles) >= 3
    hidden = pictures(seeing, twins(faults))
    model = NewtonManager.get_model()
    flags = wp.to_torch(model.shape_flags)  # pyright: ignore[reportArgumentType]
    rows = [i for i, label in enumerate(model.shape_label) if "/Obstacle/" in label]
    flags[rows] |= int(ShapeFlags.VISIBLE)
    model.bvh_build_shapes(NewtonManager.get_state_0())
    try:
        shown = seeing.observe(images=True).rgb
    finally:
        flags[rows] &= ~int(ShapeFlags.VISIBLE)
        model.bvh_build_shapes(NewtonManager.get_state_0())
    for i in obstacles:
        assert not torch.equal(shown[2 * i], hidden[2 * i]), faults[i].name
        assert torch.equal(shown[2 * i + 1], hidden[2 * i + 1]), faults[i].name


def test_every_environment_shows_its_own_colour_and_size(seeing):
    scenarios = scene(seeing)
    scenarios[1] = dataclasses.replace(scenarios[1], object_colour="blue")
    scenarios[2] = dataclasses.replace(scenarios[2], object_model="bar")
    rgb = pictures(seeing, scenarios).int()
    red, blue, again = rgb[0], rgb[1], rgb[3]
    assert torch.equal(red, again)
    differs = (red - blue).abs().amax(dim=2) > 40
    assert 4 < differs.sum() < 60
    assert (red[differs][:, 0] > red[differs][:, 2] + 20).float().mean() > 0.8
    assert (blue[differs][:, 2] > blue[differs][:, 0] + 20).float().mean() > 0.8
    # The bar points at the camera: foreshortened, but it still covers more of the picture than the cube.
    without = pictures(seeing, [dataclasses.replace(s, object_colour="blue") for s in scenarios]).int()
    shown = [(rgb[i] - without[i]).abs().amax(dim=2) > 25 for i in (0, 2)]
    cube, bar = (int(s.sum()) for s in shown)
    assert bar > cube


def test_the_picture_does_not_depend_on_the_other_environments(seeing, faults):
    alone = pictures(seeing, scene(seeing))[0]
    others = scene(seeing)[:1] + twins(faults)[1:]
    assert torch.equal(pictures(seeing, others)[0], alone)


def test_the_mark_lies_on_the_goal(seeing):
    scenarios = scene(seeing)
    moved = dataclasses.replace(scenarios[0].layout, goal_xy_m=(0.53, 0.17))
    scenarios[1] = dataclasses.replace(scenarios[1], layout=moved)
    rgb = pictures(seeing, scenarios).int()
    green = [(p[..., 1] > p[..., 0] + 20) & (p[..., 1] > p[..., 2] + 5) for p in (rgb[0], rgb[1])]
    columns = [g.any(dim=0).nonzero().float().mean().item() for g in green]
    # About 70 pixels a metre.
    assert columns[0] - columns[1] == pytest.approx(0.05 * 64 / 0.78, abs=1.5)


def test_a_calibration_error_moves_the_whole_picture_by_its_bias(seeing):
    bias = {"object_bias_y_m": 0.03}
    scenarios = scene(seeing)
    scenarios[1] = dataclasses.replace(scenarios[1], parameters=bias)
    true, biased = pictures(seeing, scenarios)[:2].int()

    def column(picture: torch.Tensor) -> float:
        red = (picture[..., 0] > picture[..., 1] + 60) & (picture[..., 0] > picture[..., 2] + 60)
        return red.nonzero()[:, 1].float().mean().item()

    # The object seems 3 cm further along y, which is to the right.
    assert column(biased) - column(true) == pytest.approx(0.03 * 64 / 0.78, abs=1.0)


def test_randomised_pictures_differ_and_their_generator_decides_how(seeing):
    from flow_rag_vla.tasks.assets.appearance import random_appearance

    def looks(key: int) -> torch.Tensor:
        rng = np.random.Generator(np.random.Philox(key=key))
        appearance = random_appearance(rng, seeing.observe().object_rgb)
        return seeing.observe(images=True, appearance=appearance).rgb

    plain = pictures(seeing, scene(seeing))
    first, again, other = looks(1), looks(1), looks(2)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])
    assert torch.equal(seeing.observe(images=True).rgb, plain)


def test_without_a_camera_pictures_are_refused(seeing, monkeypatch):
    monkeypatch.setattr(seeing, "camera", None)
    with pytest.raises(ValueError, match=r"make_fleet\(camera=True\)"):
        seeing.observe(images=True)
    assert math.isfinite(float(seeing.observe().object_pos_b.sum()))
