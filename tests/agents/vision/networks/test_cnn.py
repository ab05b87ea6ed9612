from __future__ import annotations

import dataclasses
import json
import math
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from flow_rag_vla.agents.vision.checkpoint import DEFAULT_VISION, VisionCheckpoint, load_vision, save_vision
from flow_rag_vla.agents.vision.networks.cnn import CnnEncoder, CnnEncoderCfg
from flow_rag_vla.agents.vision.networks.projection import Projection
from flow_rag_vla.agents.vision.training import (
    VisionTrainingCfg,
    augmented,
    heat_loss,
    train_vision,
)

SMALL = CnnEncoderCfg(height=16, width=24, channels=8, window=8, window_channels=4)


@pytest.fixture
def small():
    return CnnEncoder(SMALL).eval().requires_grad_(False)


def with_pictures(observation, height=16, width=24):
    rgb = torch.arange(observation.num_envs * height * width * 3).remainder(251).to(torch.uint8)
    return dataclasses.replace(observation, rgb=rgb.reshape(-1, height, width, 3))


def test_the_window_is_cut_where_it_was_asked_for_and_is_grey_beyond_the_edge(small):
    image = torch.arange(16 * 24.0).reshape(1, 1, 16, 24).expand(2, 3, 16, 24) + 1.0
    # The middle of the picture is the corner between pixels (7, 11) and (8, 12).
    window, middle = small._window(image, torch.tensor([[0.0, 0.0], [-1.0, -1.0]]))
    assert window.shape == (2, 3, 8, 8)
    assert torch.equal(window[0, 0], image[0, 0, 4:12, 8:16])
    assert torch.equal(window[1, 0, 4:, 4:], image[0, 0, :4, :4])
    assert not window[1, 0, :4].any()
    assert middle.tolist() == [[0.0, 0.0], [-1.0, -1.0]]


def test_a_window_stays_at_the_picture_wherever_it_is_asked_for(small):
    _, middle = small._window(torch.zeros(1, 3, 16, 24), torch.tensor([[7.0, -3.0]]))
    assert middle.tolist() == [[1.0, -1.0]]


def test_the_heat_loss_is_least_for_heat_at_the_place():
    heat = torch.zeros(2, 4, 6)
    middle_of_cell_1_2 = torch.tensor([[2.5 / 6 * 2 - 1, 1.5 / 4 * 2 - 1], [torch.nan, 0.0]])
    assert heat_loss(heat, middle_of_cell_1_2).item() == pytest.approx(math.log(24))
    heat[0, 1, 2] = 20.0
    assert heat_loss(heat, middle_of_cell_1_2).item() == pytest.approx(0.0, abs=1e-5)
    between_two_cells = torch.tensor([[3.0 / 6 * 2 - 1, 1.5 / 4 * 2 - 1], [5.0, 0.0]])
    heat[0, 1, 3] = 20.0
    assert heat_loss(heat, between_two_cells).item() == pytest.approx(math.log(2), abs=1e-5)


def test_a_picture_of_a_place_gives_back_the_place_at_its_height():
    projection = Projection()
    places = torch.tensor([[0.4, -0.3, 0.025], [0.7, 0.27, 0.2], [0.51, -0.02, 0.08]])
    seen = projection.to_picture(places)
    torch.testing.assert_close(projection.at_height(seen, places[:, 2]), places)
    assert (seen.abs() < 1.0).all()
    assert seen[2].tolist() == pytest.approx([0.0, 0.0], abs=1e-6)
    assert seen[0, 0] < seen[1, 0]


def test_an_embedding_has_512_numbers_and_depends_on_the_picture_and_the_arm(small, observe):
    seen = with_pictures(observe(2))
    other = dataclasses.replace(seen, rgb=255 - seen.rgb)
    moved = dataclasses.replace(seen, ee_pos_b=seen.ee_pos_b + 0.1)
    embedding = small.encode(seen)
    assert embedding.shape == (2, 512)
    assert small.embedding_dim == 512
    assert not torch.equal(embedding, small.encode(other))
    assert not torch.equal(embedding, small.encode(moved))


def test_an_embedding_does_not_depend_on_where_the_simulator_says_the_object_is(small, observe):
    seen = with_pictures(observe())
    told = dataclasses.replace(
        seen, object_pos_b=seen.object_pos_b + 1, object_rgb=seen.object_rgb + 1, goal_pos_b=seen.goal_pos_b + 1
    )
    assert torch.equal(small.encode(seen), small.encode(told))


def test_looking_gives_the_same_in_any_number_of_batches(small, observe):
    seen = with_pictures(observe(5))
    whole, embedding = small.look(seen, batch=5)
    parts, _ = small.look(seen, batch=2)
    torch.testing.assert_close(whole.object_pos_b, parts.object_pos_b)
    torch.testing.assert_close(embedding, small.encode(seen))


def test_observations_without_fitting_pictures_are_refused(small, observe):
    with pytest.raises(ValueError, match="holds no pictures"):
        small.encode(observe())
    with pytest.raises(ValueError, match=r"pictures are \(20, 24, 3\), expected \(16, 24, 3\)"):
        small.encode(with_pictures(observe(), height=20))


def test_the_default_network_is_small():
    assert 0.9e6 < sum(p.numel() for p in CnnEncoder().parameters()) < 1.5e6


@pytest.fixture
def saved(tmp_path, small):
    path = tmp_path / "vision.safetensors"
    sha = save_vision(path, VisionCheckpoint(small, {"pictures": 3}))
    return path, sha


def test_a_network_survives_saving_and_loading(saved, small, observe):
    path, sha = saved
    loaded = load_vision(path)
    assert (loaded.sha256, loaded.training) == (sha, {"pictures": 3})
    seen = with_pictures(observe(2))
    assert torch.equal(loaded.encoder.encode(seen), small.encode(seen))


def header_of(path):
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["vision"])


def rewrite(path, header, tensors=None):
    save_file(load_file(path) if tensors is None else tensors, path, metadata={"vision": json.dumps(header)})


def refusal(path):
    with pytest.raises(ValueError, match="vision checkpoint") as caught:
        load_vision(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_broken_files_are_refused_in_one_line(saved, tmp_path):
    path, _ = saved
    assert "no such file" in refusal(tmp_path / "missing.safetensors")
    bomb = tmp_path / "bomb.safetensors"
    bomb.write_bytes(pickle.dumps({"weights": [1.0]}))
    assert "not a readable safetensors file" in refusal(bomb)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "not a readable safetensors file" in refusal(path)


def test_headers_that_do_not_fit_are_refused_before_anything_is_allocated(saved):
    path, _ = saved
    header = header_of(path)
    rewrite(path, header | {"version": 2})
    assert "has version 2, this program reads 1" in refusal(path)
    rewrite(path, header | {"encoder": header["encoder"] | {"width": 10**9}})
    assert "encoder.width is 1000000000, expected 1 to 2048" in refusal(path)
    rewrite(path, header | {"encoder": header["encoder"] | {"channels": 16}})
    assert "tensor coarse.0.0.weight is torch.float32" in refusal(path)


def test_tensors_that_are_missing_or_not_finite_are_refused(saved):
    path, _ = saved
    header, tensors = header_of(path), load_file(path)
    broken = tensors | {"embed.0.bias": tensors["embed.0.bias"] * float("nan")}
    rewrite(path, header, broken)
    assert "embed.0.bias holds values that are not finite" in refusal(path)
    del tensors["embed.0.bias"]
    rewrite(path, header, tensors)
    assert "missing ['embed.0.bias']" in refusal(path)


def test_the_network_that_ships_has_the_hash_that_the_code_names():
    checkpoint = load_vision(DEFAULT_VISION)
    assert checkpoint.encoder.cfg == CnnEncoderCfg()
    assert DEFAULT_VISION.stat().st_size < 20e6


TINY = VisionTrainingCfg(epochs=8, batch_size=32, channels=8, learning_rate=1e-2, warm_up=2)


def test_training_learns_where_a_dot_is(dots, pixels_off):
    data = dots(256)
    net = train_vision(data, TINY)
    assert pixels_off(net, data) < 1.0


def test_training_twice_gives_the_same_weights(dots):
    cfg = dataclasses.replace(TINY, epochs=1)
    first, second = (train_vision(dots(64), cfg).state_dict() for _ in range(2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_too_few_pictures_are_refused(dots):
    with pytest.raises(ValueError, match="16 pictures, expected at least one batch of 32"):
        train_vision(dots(16), TINY)


def test_augmentation_keeps_the_range_and_changes_every_picture():
    image = torch.zeros(4, 3, 8, 8)
    changed = augmented(image, torch.Generator().manual_seed(0))
    assert changed.abs().max() <= 0.5
    assert all(not torch.equal(a, b) for a, b in zip(changed, image, strict=True))
    assert torch.equal(changed, augmented(image, torch.Generator().manual_seed(0)))


def test_an_encoder_that_waits_for_its_picture_has_no_ages_to_tell_and_nothing_to_forget(small, observe):
    seen = small.look(with_pictures(observe()))[1]
    small.reset()
    assert small.take_ages() is None
    assert torch.equal(small.look(with_pictures(observe()))[1], seen)
