"""Batches, schedule, average and state of a run, on made-up demonstrations."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from flow_rag_vla.agents.policy.demonstration_set import DemonstrationSet
from flow_rag_vla.agents.training.batches import BalancedSampler, Split, held_out_steps, split_starts
from flow_rag_vla.agents.training.cfg import NetworkCfg, TrainingCfg
from flow_rag_vla.agents.training.schedule import make_average, make_optimiser, make_schedule
from flow_rag_vla.agents.training.trainer import Trainer, TrainingDivergedError

CFG: dict[str, Any] = {"iterations": 12, "batch_size": 6, "warmup": 3, "held_out": 0.25, "threads": 1}


@pytest.fixture
def data(demonstrations) -> DemonstrationSet:
    return demonstrations({"A": 8, "B": 4})


@pytest.fixture
def start_trainer(data):
    def make(network: NetworkCfg | None = None, **changes: Any) -> Trainer:
        return Trainer(data, network or NetworkCfg.tiny(), TrainingCfg(**(CFG | changes)))

    return make


def weights(trainer: Trainer) -> torch.Tensor:
    checkpoint = trainer.checkpoint()
    return torch.cat([p.flatten() for part in (checkpoint.encoder, checkpoint.flow) for p in part.parameters()])


def trained(trainer: Trainer, iterations: int) -> Trainer:
    for _ in range(iterations):
        trainer.step()
    return trainer


def test_a_batch_holds_each_task_equally_often_whatever_the_number_of_demonstrations():
    splits = {
        "many": Split(torch.arange(1000), torch.arange(0)),
        "few": Split(torch.arange(5000, 5003), torch.arange(0)),
    }
    sampler = BalancedSampler(splits)
    rng = torch.Generator().manual_seed(0)
    steps = torch.stack([sampler.draw(8, rng) for _ in range(500)])
    assert ((steps >= 5000).sum(dim=1) == 4).all()
    assert set(steps[steps >= 5000].tolist()) == {5000, 5001, 5002}
    assert len(set(steps[steps < 5000].tolist())) > 800


def test_an_odd_batch_leaves_each_task_short_in_turn():
    sampler = BalancedSampler({str(i): Split(torch.tensor([i]), torch.arange(0)) for i in range(3)})
    rng = torch.Generator().manual_seed(0)
    counts = torch.stack([torch.bincount(sampler.draw(4, rng), minlength=3) for _ in range(300)])
    assert (counts.sum(dim=0) > 350).all()
    assert counts.max() == 2


def test_no_demonstration_is_both_trained_on_and_held_out(data):
    splits = split_starts(data, horizon=4, held_out=0.25, seed=0)
    for number, (name, aside) in enumerate((("A", 2), ("B", 1))):
        split = splits[name]
        train, held_out = (set(data.last_step[steps].tolist()) for steps in (split.train, split.held_out))
        assert not train & held_out
        assert len(held_out) == aside
        assert set(data.task[torch.cat([split.train, split.held_out])].tolist()) == {number}


def test_at_least_one_demonstration_is_always_trained_on(demonstrations):
    split = split_starts(demonstrations({"A": 1}), horizon=4, held_out=0.9, seed=0)["A"]
    assert (len(split.train), len(held_out_steps(split))) == (12, 0)


def test_the_learning_rate_warms_up_linearly_and_ends_as_a_cosine_at_zero():
    cfg = TrainingCfg(iterations=10, warmup=4, learning_rate=2.0)
    optimiser = make_optimiser(torch.nn.Linear(1, 1), cfg)
    schedule = make_schedule(optimiser, cfg)
    rates = []
    for _ in range(cfg.iterations + 1):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    # 1/4 of the full rate, then up to all of it at the end of the warm-up.
    assert rates[:5] == pytest.approx([0.5, 0.875, 1.25, 1.625, 2.0])
    assert rates[4:] == pytest.approx([1.0 + math.cos(math.pi * k / 6) for k in range(7)], abs=1e-6)


def test_the_average_follows_quickly_at_first_and_slowly_later():
    layer = torch.nn.Linear(1, 1, bias=False)
    average = make_average(layer, TrainingCfg(ema_decay=0.75, ema_warmup=2))
    expected = None
    for n, value in enumerate((1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0), start=1):
        torch.nn.init.constant_(layer.weight, value)
        average.update_parameters(layer)
        decay = min(0.75, n / (n + 2))
        expected = value if expected is None else decay * expected + (1 - decay) * value
        assert average.module.get_parameter("weight").item() == pytest.approx(expected)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(start_trainer):
    first, again, other = (weights(trained(start_trainer(seed=seed), 12)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_validation_and_checkpoints_leave_no_trace_in_the_weights(start_trainer):
    watched = start_trainer()
    for _ in range(12):
        watched.held_out_losses()
        watched.checkpoint()
        watched.state()
        watched.step()
    assert torch.equal(weights(watched), weights(trained(start_trainer(), 12)))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_restored_run_ends_with_the_same_weights(start_trainer, dropout):
    network = NetworkCfg.tiny()
    network.dropout = dropout
    whole = trained(start_trainer(network), 12)
    interrupted = trained(start_trainer(network), 5)
    state = interrupted.state()
    torch.rand(3)  # another process has another history
    resumed = start_trainer(network)
    resumed.restore(state)
    assert resumed.iteration == 5
    trained(resumed, 7)
    assert torch.equal(weights(resumed), weights(whole))
    assert resumed.checkpoint().training == whole.checkpoint().training


def test_a_state_of_other_settings_or_demonstrations_is_refused(start_trainer, demonstrations):
    state = start_trainer().state()
    with pytest.raises(ValueError, match="made with other training"):
        start_trainer(seed=5).restore(state)
    with pytest.raises(ValueError, match="made with other demonstrations"):
        Trainer(demonstrations({"A": 8, "B": 4}, seed=1), NetworkCfg.tiny(), TrainingCfg(**CFG)).restore(state)


def test_training_lowers_the_loss_on_held_out_demonstrations(demonstrations):
    data = demonstrations({"A": 40})
    # Something to learn: the action is the first feature.
    data.actions.copy_(data.features[:, :1].expand(-1, 7) * 0.01)
    settings: dict[str, Any] = CFG | {"iterations": 200}
    trainer = Trainer(
        data,
        NetworkCfg(horizon=1, hidden_dim=32, num_layers=1, encoder_dim=32),
        TrainingCfg(**settings),
    )
    before = trainer.held_out_losses()["A"]
    assert trained(trainer, 200).held_out_losses()["A"] < 0.6 * before


def test_a_loss_that_is_no_number_ends_the_training(start_trainer, data):
    data.features.fill_(math.nan)
    with pytest.raises(TrainingDivergedError, match=r"the loss is nan at iteration 1; lower training\.learning_rate"):
        start_trainer().step()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"iterations": 0}, "training.iterations is 0, expected at least 1"),
        ({"warmup": 12}, "training.warmup is 12, expected less than iterations"),
        ({"learning_rate": -1.0}, "training.learning_rate is -1.0"),
        ({"ema_decay": 1.0}, "training.ema_decay is 1.0"),
        ({"weight_decay": math.nan}, "training.weight_decay is nan"),
    ],
)
def test_settings_out_of_range_are_refused(start_trainer, change, complaint):
    with pytest.raises(ValueError, match=complaint):
        start_trainer(**change)


def test_a_task_without_a_long_enough_demonstration_is_named(data):
    data.disturbed.fill_(True)
    with pytest.raises(ValueError, match="A: no demonstration has 4 undisturbed steps in a row"):
        Trainer(data, NetworkCfg.tiny(), TrainingCfg(**CFG))
