from __future__ import annotations

import math

import pytest
import torch

from flow_rag_vla.agents.policy.solvers import EVALUATIONS, SOLVERS, integrate


@pytest.mark.parametrize("method", SOLVERS)
def test_a_constant_field_is_integrated_exactly_from_every_start(method):
    t0 = torch.tensor([0.0, 0.25, 1.0])
    x = integrate(lambda t, x: torch.full_like(x, 2.0), torch.zeros(3, 2, 7), 3, method, t0)
    torch.testing.assert_close(x[:, 0, 0], 2.0 * (1.0 - t0))


@pytest.mark.parametrize("method", ["midpoint", "heun", "rk4", "dopri5"])
def test_solvers_of_at_least_second_order_integrate_a_field_linear_in_time_exactly(method):
    t0 = torch.tensor([0.0, 0.5])
    x = integrate(lambda t, x: 2.0 * t.expand_as(x), torch.zeros(2, 7), 2, method, t0)
    torch.testing.assert_close(x[:, 0], 1.0 - t0**2)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("midpoint", 2), ("heun", 2), ("rk4", 4)])
def test_halving_the_step_divides_the_error_by_two_to_the_order(method, order):
    def error(steps):
        return abs(integrate(lambda t, x: x, torch.ones(1, 1).double(), steps, method).item() - math.e)

    few = 64 if order < 4 else 16  # fourth order reaches the rounding of doubles soon
    assert math.log2(error(few) / error(2 * few)) == pytest.approx(order, abs=0.1)


def test_the_adaptive_solver_keeps_its_tolerance_where_one_fixed_step_does_not():
    # dx/dt = -20 (x - cos t) from x = 0: fast at first, slow later.
    def field(t, x):
        return -20.0 * (x - torch.cos(t))

    exact = (400 * math.cos(1) + 20 * math.sin(1)) / 401 - 400 / 401 * math.exp(-20)
    start = torch.zeros(2, 1).double()
    adaptive = integrate(field, start, 1, "dopri5")
    torch.testing.assert_close(adaptive, torch.full_like(start, exact), rtol=1e-3, atol=1e-3)
    assert abs(integrate(field, start, 1, "heun")[0].item() - exact) > 1.0


@pytest.mark.parametrize("method", SOLVERS)
def test_rows_that_start_late_meet_the_same_flow(method):
    # dx/dt = x: a row that starts at t0 with exp(t0) ends at e, as the row that starts at 0 with 1 does.
    t0 = torch.tensor([0.0, 0.3, 0.9]).double()
    ends = integrate(lambda t, x: x, t0.exp().unsqueeze(1), 200 if method == "euler" else 10, method, t0)
    torch.testing.assert_close(ends, torch.full_like(ends, math.e), rtol=3e-3, atol=0.0)


def test_the_adaptive_solver_never_looks_past_the_end():
    seen = []
    integrate(lambda t, x: seen.append(t.max().item()) or torch.ones_like(x), torch.zeros(1, 1), 2, "dopri5")
    assert max(seen) <= 1.0


@pytest.mark.parametrize("method", EVALUATIONS)
def test_each_step_costs_the_stated_evaluations(method):
    calls = []
    integrate(lambda t, x: calls.append(t) or x, torch.ones(1, 1), 3, method)
    assert len(calls) == 3 * EVALUATIONS[method]


def test_an_unknown_solver_and_no_steps_are_refused():
    with pytest.raises(ValueError, match="available: euler"):
        integrate(lambda t, x: x, torch.ones(1, 1), 1, "rk45")
    with pytest.raises(ValueError, match="at least 1 step"):
        integrate(lambda t, x: x, torch.ones(1, 1), 0)


@pytest.mark.parametrize("method", SOLVERS)
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("broken", ["start", "velocity", "velocity_later"])
def test_a_row_that_is_no_number_ends_as_none_and_the_others_as_they_would_without_it(method, value, broken):
    def field(t, x):
        velocity = x - 2.0 * t
        bad = {"start": 2.0, "velocity": 0.0, "velocity_later": 0.5}[broken]
        velocity[1] = torch.where(t[1] >= bad, value, velocity[1])
        return velocity

    start = torch.tensor([[1.0, -1.0], [0.0, 0.0], [0.5, 2.0]])
    calm = start.clone()
    if broken == "start":
        start[1, 0] = value
    ends = integrate(field, start, 4, method)
    alone = integrate(lambda t, x: x - 2.0 * t, calm, 4, method)
    assert not ends[1].isfinite().all()
    if method == "dopri5":  # its steps are the same for all rows, and the broken one asks for none
        torch.testing.assert_close(ends[[0, 2]], alone[[0, 2]], rtol=1e-3, atol=1e-3)
    else:
        assert torch.equal(ends[[0, 2]], alone[[0, 2]])
