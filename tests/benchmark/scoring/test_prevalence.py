"""What an arm is worth where hazards are rare: closed forms, and simulated coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest

from flow_rag_vla.benchmark.scoring.statistics import proportion
from flow_rag_vla.benchmark.scoring.statistics.prevalence import (
    PREVALENCES,
    Estimate,
    ahead,
    break_even,
    estimate,
    mixed_success,
    mixture,
    net_curve,
    net_gain,
    surely_ahead,
)

GAIN, HARM = Estimate(0.3, (0.2, 0.4)), Estimate(0.1, (0.04, 0.18))


def test_the_net_gain_is_the_gain_on_hazards_less_the_harm_elsewhere():
    net = net_gain(GAIN, HARM, 0.25)
    assert net.value == pytest.approx(0.25 * 0.3 - 0.75 * 0.1)
    assert net.ci95[0] == pytest.approx(net.value - math.hypot(0.25 * 0.1, 0.75 * 0.08))
    assert net.ci95[1] == pytest.approx(net.value + math.hypot(0.25 * 0.1, 0.75 * 0.06))


@pytest.mark.parametrize(("prevalence", "same"), [(1.0, GAIN), (0.0, Estimate(-0.1, (-0.18, -0.04)))])
def test_at_the_ends_the_net_gain_is_gain_or_harm_alone(prevalence: float, same: Estimate):
    net = net_gain(GAIN, HARM, prevalence)
    assert (net.value, *net.ci95) == pytest.approx((same.value, *same.ci95))


def test_the_break_even_point_and_its_interval_are_their_closed_forms():
    found = break_even(GAIN, HARM)
    assert found.pays_from == pytest.approx(0.1 / (0.1 + 0.3))

    def fieller(below_gain: float, below_harm: float, sign: int) -> float:
        # r = prevalence / (1 - prevalence) solves r^2 (G^2 - a^2) - 2 r G H + H^2 - b^2 = 0
        a, b, c = 0.3**2 - below_gain**2, -2 * 0.3 * 0.1, 0.1**2 - below_harm**2
        ratio = (-b + sign * math.sqrt(b * b - 4 * a * c)) / (2 * a)
        return ratio / (1 + ratio)

    assert found.may_pay_from == pytest.approx(fieller(0.1, 0.06, -1))
    assert found.surely_pays_from == pytest.approx(fieller(0.1, 0.08, +1))


def share(ratio: float) -> float:
    """The prevalence of ``ratio`` hazards to one scenario without."""
    return ratio / (1 + ratio)


@pytest.mark.parametrize(
    ("gain", "harm", "estimated", "sure"),
    [
        # better where hazards are, worse elsewhere: r^2 (0.3^2 - 0.1^2) - 2 r 0.3 0.1 + 0.1^2 - 0.08^2 = 0
        (GAIN, HARM, (0.25, 1.0), (share((0.06 + math.sqrt(0.06**2 - 4 * 0.08 * 0.0036)) / 0.16), 1.0)),
        # better where nothing is wrong alone: 0.1 - 0.1 r = hypot(0.1 r, 0.02), so r = 0.48
        (Estimate(-0.1, (-0.2, 0.1)), Estimate(-0.1, (-0.12, -0.08)), (0.0, 0.5), (0.0, share(0.48))),
        # better in both, neither shown alone, the mixture is: 0.1 (1 + r) = 0.11 hypot(r, 1)
        (
            Estimate(0.1, (-0.01, 0.2)),
            Estimate(-0.1, (-0.2, 0.01)),
            (0.0, 1.0),
            tuple(share((0.02 + sign * math.sqrt(0.0004 - 4 * 0.0021**2)) / 0.0042) for sign in (-1, 1)),
        ),
        # alike where nothing is wrong: from no hazard on, by the estimate
        (Estimate(0.3, (0.2, 0.4)), Estimate(0.0, (-0.02, 0.02)), (0.0, 1.0), (share(math.sqrt(0.0004 / 0.08)), 1.0)),
        (Estimate(0.1, (-0.1, 0.3)), Estimate(0.0, (-0.02, 0.02)), (0.0, 1.0), None),
        (Estimate(-0.1, (-0.2, 0.1)), Estimate(0.1, (0.05, 0.2)), None, None),
        (Estimate(0.0, (-0.1, 0.1)), Estimate(0.0, (-0.1, 0.1)), None, None),
    ],
)
def test_one_arm_is_ahead_of_another_on_one_stretch_of_prevalences_or_nowhere(gain, harm, estimated, sure):
    assert ahead(gain, harm) == (None if estimated is None else pytest.approx(estimated))
    assert surely_ahead(gain, harm) == (None if sure is None else pytest.approx(sure))


def test_the_curve_has_the_net_gain_at_every_prevalence():
    curve = net_curve(GAIN, HARM)
    assert tuple(point.prevalence for point in curve) == PREVALENCES
    for point in curve:
        net = net_gain(GAIN, HARM, point.prevalence)
        assert (point.net, point.ci95) == (net.value, net.ci95)


@pytest.mark.parametrize(
    ("gain", "harm", "pays", "may", "surely"),
    [
        (Estimate(0.3, (0.2, 0.4)), Estimate(-0.02, (-0.06, -0.01)), 0.0, 0.0, 0.0),
        (Estimate(0.3, (0.2, 0.4)), Estimate(0.0, (-0.04, 0.04)), 0.0, 0.0, "some"),
        (Estimate(0.1, (-0.1, 0.3)), Estimate(0.1, (0.05, 0.2)), 0.5, "some", None),
        (Estimate(-0.1, (-0.2, 0.1)), Estimate(0.1, (0.05, 0.2)), None, "some", None),
        (Estimate(-0.3, (-0.4, -0.2)), Estimate(0.1, (0.05, 0.2)), None, None, None),
    ],
)
def test_an_arm_may_pay_everywhere_somewhere_or_nowhere(gain, harm, pays, may, surely):
    found = break_even(gain, harm)
    assert found.pays_from == (pays if pays is None else pytest.approx(pays))
    for value, expected in ((found.may_pay_from, may), (found.surely_pays_from, surely)):
        if expected == "some":
            assert value is not None
            assert 0.0 < value < 1.0
        else:
            assert value == expected


def test_the_interval_of_a_mixture_covers_the_true_success():
    rng = np.random.default_rng(23)
    truth = 0.15 * 0.5 + 0.85 * 0.97
    covered = 0
    for _ in range(1000):
        near, other = proportion(int(rng.binomial(180, 0.5)), 180), proportion(int(rng.binomial(90, 0.97)), 90)
        mixed = mixed_success(near, other, 0.15)
        assert mixed is not None
        covered += mixed.ci95[0] <= truth <= mixed.ci95[1]
    assert 0.93 <= covered / 1000 <= 0.98


def test_the_interval_of_the_break_even_point_covers_it():
    rng = np.random.default_rng(29)
    covered = 0
    for _ in range(500):
        gain, harm = rng.normal(0.3, 0.02), rng.normal(0.1, 0.02)
        found = break_even(
            Estimate(gain, (gain - 0.0392, gain + 0.0392)), Estimate(harm, (harm - 0.0392, harm + 0.0392))
        )
        assert found.may_pay_from is not None
        covered += found.may_pay_from <= 0.25 <= (1.0 if found.surely_pays_from is None else found.surely_pays_from)
    assert 0.92 <= covered / 500 <= 0.98


def test_what_was_not_measured_gives_none():
    assert mixed_success(proportion(0, 0), proportion(3, 4), 0.15) is None
    assert mixed_success(proportion(3, 4), proportion(0, 0), 0.15) is None
    assert estimate(None, None) is None
    assert mixture(GAIN, GAIN, 0.5).value == pytest.approx(0.3)
