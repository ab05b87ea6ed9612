"""Certificates: what counts as certified, what voids one, and which site suits a constant habit best."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import pytest

from flow_rag_vla.benchmark.certification.certificate import (
    CERTIFICATES,
    CONSTANT_SHARE,
    SCHEMA_VERSION,
    fingerprint,
    is_certified,
    load_certificate,
    uncertified,
    write_certificate,
)
from flow_rag_vla.benchmark.certification.certificate_docs import table, verdict
from flow_rag_vla.benchmark.certification.certify import (
    INFORMED,
    NOMINAL,
    STRATEGIES,
    cell_scenarios,
    plan_trials,
    sites_with,
    solved_cells,
    strategy_plan,
    worst_site,
)
from flow_rag_vla.benchmark.episodes.seeds import require_split
from flow_rag_vla.benchmark.scoring.statistics import proportion
from flow_rag_vla.tasks.catalogue.registry import all_tasks, get_task
from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.expert.scripted_expert import DETOUR_M, FIRM_GRIP
from flow_rag_vla.tasks.facts import contact_parameters
from flow_rag_vla.tasks.faults.registry import all_faults, get_fault
from flow_rag_vla.tasks.scenarios.sites import make_site

TASK = "FlowRAG-PickPlace-Franka"
PHYSICS = "newton_mujoco"


def counts(k: int, n: int, invalid: int = 0) -> dict[str, Any]:
    return {
        **dataclasses.asdict(proportion(k, n)),
        "invalid": invalid,
        "penetration_mm": 0.4,
        "peak_penetration_mm": 1.4,
    }


def entry(fault: str, nominal: int, informed: int, n: int = 256) -> dict[str, Any]:
    failures, successes = counts(nominal, n), counts(informed, n)
    return {
        "fingerprint": fingerprint(get_fault(fault), TASK),
        "parameters": get_fault(fault).parameters(get_fault(fault).default_severity),
        "nominal": failures,
        "informed": successes,
        "certified": is_certified(failures, successes),
        "dose": [{"severity": 0.1, **counts(1, 4)}, {"severity": 0.2, **counts(4, 4)}],
        "trend_p": 1e-9,
        "reversal_p": 1.0,
        "graded": True,
    }


@pytest.fixture
def certificate() -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "task": TASK,
        "physics": PHYSICS,
        "faults": {"post": entry("post", 3, 256), "beam": entry("beam", 200, 256)},
        "worst_site": {"share": 0.7, "site": 5, "strategy": "firm grip, high, straight", "faults": ["post"]},
    }


@pytest.mark.parametrize(
    ("nominal", "informed", "certified"),
    [(0, 256, True), (102, 256, True), (103, 256, False), (0, 240, True), (0, 239, False), (0, 0, False)],
)
def test_a_cell_is_certified_where_60_percent_fail_and_90_percent_can_succeed(nominal, informed, certified):
    assert is_certified(counts(nominal, 256), counts(informed, 256)) is certified


def test_episodes_with_invalid_physics_show_neither_hazard_nor_feasibility():
    assert is_certified(counts(0, 256, invalid=102), counts(256, 256))
    assert not is_certified(counts(0, 256, invalid=103), counts(256, 256))
    assert not is_certified(counts(0, 256), counts(239, 256, invalid=17))


def test_a_fault_whose_definition_changed_is_uncertified_though_its_parameters_are_the_same(certificate):
    certificate["faults"]["post"]["fingerprint"] = "0" * 16
    assert uncertified([make_site(0, TASK).scenario(1, get_fault("post"))], certificate) == ["post"]


def test_no_episodes_certify_nothing():
    assert not is_certified(counts(0, 0), counts(0, 0))


def test_a_changed_effect_voids_the_fingerprint():
    post = get_fault("post")
    higher = dataclasses.replace(post, default_severity=0.14)
    assert fingerprint(post, TASK) == fingerprint(post, "pick_place")
    assert fingerprint(higher, TASK) != fingerprint(post, TASK)
    assert fingerprint(post, "stack") != fingerprint(post, TASK)


@pytest.mark.parametrize("name", ["NUM_SUBSTEPS", "DESCENT_LEAD_M"])
def test_changed_contacts_and_limits_of_commands_void_the_fingerprint(monkeypatch, name):
    before = fingerprint(get_fault("slippery_object"), TASK)
    monkeypatch.setattr(contact_parameters, name, 2 * getattr(contact_parameters, name))
    assert fingerprint(get_fault("slippery_object"), TASK) != before


def test_what_is_absent_failed_or_changed_is_uncertified(certificate):
    site = make_site(0, TASK)
    post, beam, push = (site.scenario(1, get_fault(name)) for name in ("post", "beam", "push"))
    higher = site.scenario(1, get_fault("post"), severity=0.14)
    harmless = [site.scenario(1), site.scenario(1, get_fault("beam"), FaultClass.CONTROL)]
    assert uncertified([post, beam, push, *harmless], certificate) == ["beam", "push"]
    assert uncertified([higher], certificate) == ["post"]
    assert uncertified([post], None) == ["post"]


def test_a_certificate_survives_its_file_and_another_schema_is_refused(certificate, tmp_path):
    path = write_certificate(certificate, tmp_path)
    assert path == tmp_path / PHYSICS / "pick_place.json"
    loaded = load_certificate("pick_place", PHYSICS, tmp_path)
    assert loaded is not None
    assert loaded["worst_site"] == certificate["worst_site"]
    for name, row in certificate["faults"].items():
        assert loaded["faults"][name]["nominal"]["k"] == row["nominal"]["k"]
        assert loaded["faults"][name]["informed"]["ci95"] == pytest.approx(row["informed"]["ci95"], abs=1e-9)
    assert load_certificate("lift", PHYSICS, tmp_path) is None
    assert load_certificate("pick_place", "newton_mjwarp", tmp_path) is None
    write_certificate({**certificate, "schema_version": 0}, tmp_path)
    with pytest.raises(ValueError, match="schema_version is 0, expected 3"):
        load_certificate(TASK, PHYSICS, tmp_path)


def test_everything_that_falls_short_is_named(certificate):
    assert verdict(certificate) == [
        "pick_place: beam is not certified",
        "pick_place: firm grip, high, straight solves 70 % of site 5",
    ]
    assert "253/256" in table(certificate)
    assert "0.4 / 1.4" in table(certificate)
    for row in (certificate["faults"]["post"][actor] for actor in ("nominal", "informed")):
        row["penetration_mm"] = None
    certificate["faults"]["post"]["time_steps"] = {"n": 100, "k": 97, "penetration_mm": {}}
    certificate["faults"]["beam"]["time_steps"] = {"n": 100, "k": 96, "penetration_mm": {}}
    assert [line for line in verdict(certificate) if "time step" in line] == [
        "pick_place: beam ends alike with every time step in only 96 of 100 episodes"
    ]
    assert "97/100" in table(certificate)
    certificate["worst_site"] = None
    assert not [line for line in verdict(certificate) if "solves" in line]


def test_the_episodes_of_a_cell_are_spread_over_lanes_and_colours_of_development_sites():
    for name, cues in (("wall_left", {0, 1, 2}), ("post", {0, 1, 2, 3, 4})):
        fault = get_fault(name)
        scenarios = cell_scenarios(sites_with("pick_place", fault), fault, 128)
        assert {s.layout.lane for s in scenarios} == cues
        require_split([s.layout_seed for s in scenarios], "development")
    slippery = get_fault("slippery_object")
    slippery_scenarios = cell_scenarios(sites_with("pick_place", slippery), slippery, 128)
    colours = Counter(s.object_colour for s in slippery_scenarios)
    assert len(colours) >= 6
    for site in sites_with("pick_place", get_fault("beam")):
        require_split(site.seed, "development")


def test_both_experts_meet_the_same_layouts():
    cells = [t for t in plan_trials("stack", 4, 1, 1) if t.key[0] == "cell"]
    by_actor = {actor: [t.scenario.id for t in cells if t.actor == actor] for actor in (NOMINAL, INFORMED)}
    assert by_actor[NOMINAL] == by_actor[INFORMED]


def test_a_strategy_is_a_plan():
    chosen = [s for s in STRATEGIES if str(s) == "firm grip, high, right"] + [NOMINAL]
    plan = strategy_plan(chosen, get_task("pick_place"))
    assert plan.grip.tolist() == pytest.approx([FIRM_GRIP, 0.25])
    assert plan.clearance_m.tolist() == pytest.approx([0.27, 0.12])
    assert plan.detour_m.tolist() == pytest.approx([DETOUR_M, 0.0])
    assert len(STRATEGIES) == 27


def test_a_strategy_solves_a_cell_where_it_succeeds_half_the_time():
    firm = STRATEGIES[-1]
    totals = Counter({("grid", "push", firm): 4, ("grid", "post", firm): 4, ("cell", "beam", str(NOMINAL)): 4})
    successes = Counter({("grid", "push", firm): 2, ("grid", "post", firm): 1, ("cell", "beam", str(NOMINAL)): 4})
    assert dict(solved_cells(successes, totals)) == {firm: {"push"}, NOMINAL: {"beam"}}


def test_the_worst_site_is_the_one_that_suits_a_habit_best():
    firm = STRATEGIES[-1]
    worst = worst_site("pick_place", {firm: {"slippery_object", "push", "heavy_object"}})
    shares = []
    for seed in range(10_000_000, 10_000_400):
        held = {fault.name for fault in make_site(seed, "pick_place").avoidable_faults}
        shares.append(len(held & {"slippery_object", "push", "heavy_object"}) / len(held))
    assert worst["share"] == max(shares)
    assert worst["strategy"] == str(firm)


@pytest.mark.parametrize("task", ["pick_place", "stack", "lift", "bin_transport"])
def test_even_a_habit_that_solves_one_of_each_pair_and_all_else_stays_below_the_bound(task):
    for seed in range(300):
        held = make_site(seed, task).avoidable_faults
        pairs = sum(fault.opposite in {other.name for other in held} for fault in held) // 2
        single = len(held) - 2 * pairs
        assert (single + pairs) / len(held) <= CONSTANT_SHARE


@pytest.mark.parametrize("task", ["pick_place", "stack", "lift", "bin_transport"])
def test_a_site_has_two_pairs_of_which_no_habit_solves_both(task):
    for seed in range(300):
        held = {fault.name for fault in make_site(seed, task).avoidable_faults}
        opposed = [f for f in map(get_fault, held) if f.opposite in held and task not in f.unopposed_in]
        assert len(opposed) >= 4


SHIPPED = sorted(CERTIFICATES.glob("*/*.json"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_no_habit_solves_more_of_a_site_than_the_bound_by_what_the_shipped_certificate_measured(path):
    certificate = load_certificate(path.stem, path.parent.name)
    assert certificate is not None
    if not certificate["grid_n"]:
        assert certificate["worst_site"] is None
        return
    solved = {strategy: set(certificate["constant_strategies"][str(strategy)]) for strategy in STRATEGIES}
    assert certificate["worst_site"] == worst_site(path.stem, solved)
    assert certificate["worst_site"]["share"] <= CONSTANT_SHARE
    both = {
        fault.name
        for fault in all_faults(path.stem)
        if fault.opposite and any({fault.name, fault.opposite} <= names for names in solved.values())
    }
    assert both == {fault.name for fault in all_faults(path.stem) if path.stem in fault.unopposed_in}


def test_shipped_certificates_are_read():
    assert {path.stem for path in CERTIFICATES.glob(f"{PHYSICS}/*.json")} == {task.slug for task in all_tasks()}
    for path in CERTIFICATES.glob("*/*.json"):
        certificate = load_certificate(path.stem, path.parent.name)
        assert certificate is not None
        for name, row in certificate["faults"].items():
            assert row["fingerprint"] == fingerprint(get_fault(name), path.stem), f"{name} changed: certify it anew"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_avoidable_fault_that_a_site_offers_is_covered_by_the_shipped_certificate(path):
    site = make_site(0, path.stem)
    scenarios = [site.scenario(1, fault) for fault in all_faults(path.stem)]
    assert uncertified(scenarios, load_certificate(path.stem, path.parent.name)) == []


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_shipped_certificate_has_no_complaint_and_pads_within_the_bound(path):
    certificate = load_certificate(path.stem, path.parent.name)
    assert certificate is not None
    assert verdict(certificate) == []
    for name, entry in certificate["faults"].items():
        for row in (entry[actor] for actor in ("nominal", INFORMED) if actor in entry):
            assert row["invalid"] <= 0.005 * row["n"], f"{name}: {row['invalid']} of {row['n']} episodes invalid"
        if entry["certified"] is not None:
            assert entry["time_steps"]["n"] >= 34, f"{name}: no study of time steps"


@pytest.mark.parametrize("task", [task.slug for task in all_tasks()])
def test_who_is_told_succeeds_alike_on_both_engines_by_the_shipped_certificates(task: str):
    native, warp = (load_certificate(task, physics) for physics in ("newton_mujoco", "newton_mjwarp"))
    assert native is not None
    assert warp is not None
    assert native["faults"].keys() == warp["faults"].keys()
    for name, entry in native["faults"].items():
        if entry["certified"] is not None:
            rates = [certificate["faults"][name][INFORMED]["rate"] for certificate in (native, warp)]
            assert abs(rates[0] - rates[1]) <= 0.05, f"{name}: {rates}"
