"""What a threshold promises is kept: checked against closed forms and by simulation on made-up episodes."""

from __future__ import annotations

import numpy as np
import pytest

from flow_rag_vla.benchmark.policies.calibration.risk_control import Trial, least_trials, safe_threshold

MAX_HARM, ERROR = 0.02, 0.05


def trials(num_harmless: int, *harmed_at: float) -> list[Trial]:
    return [Trial(0.5, False)] * num_harmless + [Trial(score, True) for score in harmed_at]


def test_it_takes_149_episodes_without_harm_to_promise_two_points():
    assert least_trials(MAX_HARM, ERROR) == 149  # 0.98^148 = 0.0503, 0.98^149 = 0.0493
    assert safe_threshold(trials(148), MAX_HARM, ERROR).value is None
    assert safe_threshold(trials(149), MAX_HARM, ERROR).value == 0.0


def test_as_much_advice_is_given_as_the_episodes_allow():
    # P(Binomial(300, 0.02) <= 2) = 0.0602 and P(... <= 1) = 0.0166: one harmed episode of 300 is allowed.
    found = safe_threshold(trials(296, 0.1, 0.4, 0.4, 0.7), MAX_HARM, ERROR)
    assert (found.value, found.harmed, found.harmed_at_zero) == (0.4, 1, 4)
    assert safe_threshold(trials(299, 0.9), MAX_HARM, ERROR).value == 0.0


def test_where_everything_is_harmed_nobody_is_advised():
    assert safe_threshold(trials(0, *[1.0] * 200), MAX_HARM, ERROR).value == 1.0


@pytest.mark.parametrize("worst", [0.02, 0.1, 0.6])
def test_harm_beyond_the_limit_is_as_rare_as_promised(worst: float):
    # Scores are uniform, and episodes are harmed with a chance of ``worst`` whatever theirs is: worst (1 - t) at t.
    rng = np.random.default_rng(0)
    found = []
    for _ in range(1000):
        scores, harmed = rng.random(400), rng.random(400) < worst
        calibration = [Trial(float(s), bool(h)) for s, h in zip(scores, harmed, strict=True)]
        found.append(safe_threshold(calibration, MAX_HARM, ERROR).value)
    harm = worst * (1.0 - np.array(found, dtype=float))
    # 1000 draws of a chance of 5 % exceed 7.3 % once in a thousand times.
    assert (harm > MAX_HARM).mean() <= 0.073
    assert harm.mean() > 0.4 * MAX_HARM  # it does not get there by saying nothing


@pytest.mark.parametrize(("max_harm", "error", "what"), [(0.0, 0.05, "max_harm"), (1.0, 0.05, "max_harm"),
                                                         (0.02, 0.0, "error")])  # fmt: skip
def test_a_limit_that_cannot_be_kept_is_refused(max_harm: float, error: float, what: str):
    with pytest.raises(ValueError, match=f"{what}: expected above 0 and below 1"):
        safe_threshold([], max_harm, error)
