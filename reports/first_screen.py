"""What a reader sees first: the verdict, gain beside harm, what the run was, and what to know before quoting it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.arms import (
    HABIT_ARM,
    REFERENCE_ARM,
    placebo_arms,
    rival_arms,
    still_arms,
    told_arms,
)
from flow_rag_vla.benchmark.scoring.results import RunResults, notices
from flow_rag_vla.benchmark.scoring.statistics.verdict import DEFINITIONS, Gain
from flow_rag_vla.benchmark.scoring.summary import HARM_EXPOSURES, HEADLINE_EXPOSURE, ArmSummary
from flow_rag_vla.reports import wording
from flow_rag_vla.reports.table import Cell, pointer

_OBSERVATIONS = {"state": "state (perceived poses)", "rgb": "camera pictures"}
_LATENCIES = {"off": "off: decisions take no simulated time", "measured": "measured, in simulated time"}
_FILES = (
    run_files.SUMMARY,
    run_files.TIMING,
    run_files.MANIFEST,
    run_files.PLAN,
    run_files.MERGED_EPISODES,
    "units/",
)


@dataclass(frozen=True)
class Tile:
    """One number of the verdict box."""

    label: str
    cell: Cell
    note: str = ""


@dataclass(frozen=True)
class Effect:
    """Gain or harm: a difference, its interval, and what the verdict takes from it."""

    name: str
    question: str
    value: Cell
    pairs: Cell
    p: Cell
    known: str


@dataclass(frozen=True)
class Fact:
    """One property of the run."""

    name: str
    text: str


def headline(results: RunResults) -> str:
    """The verdict in one line."""
    verdict = results.summary.verdict
    if verdict.arm is None and len(results.summary.arms) > 1:
        return wording.NO_AGENT
    arm = None if verdict.arm is None else results.summary.arms[verdict.arm]
    gain_pairs = 0 if arm is None or arm.vs_flow_only is None else arm.vs_flow_only.n_pairs
    harm_pairs = 0 if arm is None else arm.harm.n_pairs
    return wording.verdict_headline(verdict, wording.verdict_subject(results), gain_pairs, harm_pairs)


def explanation(results: RunResults) -> str:
    """What the verdict means."""
    text = DEFINITIONS[results.summary.verdict.answer]
    return text[0].upper() + text[1:]


def memory_adds(results: RunResults) -> list[str]:
    """Which rivals of the memory are told apart from it, and at which shares of hazards it is ahead by an interval."""
    adds = results.summary.memory_adds
    if adds is None:
        return []
    rivals = [name for name in wording.ordered_arms(adds.over) if name in rival_arms()]
    found = {direction: list[str]() for direction in wording.DIRECTION.values()}
    met = [name for name in rivals if adds.over[name].near.n_pairs]
    for name in met:
        found[wording.DIRECTION[adds.over[name].near_known]].append(name)
    where = f"On {HEADLINE_EXPOSURE.upper()} {adds.arm}"
    starts = {
        wording.DIRECTION[Gain.MORE]: f"{where} succeeds more often than",
        wording.DIRECTION[Gain.LESS]: f"{where} succeeds less often than",
        wording.NOT_APART: f"{where} is not told apart from",
    }
    said = [f"{start} {', '.join(found[way])}." for way, start in starts.items() if found[way]]
    if missing := [name for name in rivals if name not in met]:
        said.append(f"{where} was not compared with {', '.join(missing)}: no scenario was met by both.")
    without = [REFERENCE_ARM, *(name for name in rivals if name not in placebo_arms())]
    known = [(name, adds.over[name].surely_ahead) for name in without if name in adds.over and adds.over[name].net]
    ahead = [f"that of {name} {wording.shares(where)}{' hazards' if where else ''}" for name, where in known]
    if rivals and ahead:
        said.append(f"By each share's own interval its net success, harm subtracted, is above {', '.join(ahead)}.")
    return said


def banners(results: RunResults) -> list[str]:
    """Why the numbers are no result, where they are none."""
    settings = _settings(results)
    found = [
        f"Incomplete: {gap.episodes} planned episodes of {gap.arm} in round {gap.round} are missing ({gap.why}; unit "
        f"{gap.unit}). Every number is of the others; --resume tries them again."
        for gap in results.summary.gaps
    ]
    if settings.get("quick"):
        found.append(
            f"Quick run: {results.summary.e1.n} scenarios, to see that everything works. Its numbers are no result; "
            "run without --quick for one."
        )
    if settings.get("split") == "development":
        found.append("Development seeds: agents may have been tuned on these layouts, so the numbers are no result.")
    return [*found, *_solved_by_nothing(results)]


def _solved_by_nothing(results: RunResults) -> list[str]:
    """What nobody had to do anything for."""
    arms = results.summary.arms
    found = []
    for name in wording.ordered_arms(arms):
        solved = [met for met in arms[name].rounds if met.success.k] if name in still_arms() else []
        if solved:
            where = ", ".join(
                f"{wording.count(met.success)} on {met.exposure.upper()} in round {met.round}" for met in solved
            )
            found.append(
                f"{name} succeeds in {where}: a scenario solved by doing nothing at all is no test. Failures by fault "
                "says which hazards those were."
            )
    return found


def warnings(results: RunResults) -> list[str]:
    """What to know before the numbers."""
    summary = results.summary
    rounds = {r.round for arm in summary.arms.values() for r in arm.rounds}
    found = []
    if len(rounds) > 1:
        found.append(
            f"Every number is that of each arm's last round (round {max(rounds)} of {len(rounds)}), unless it names "
            "its round; see Rounds for the others."
        )
    met = wording.exposures_met(results)
    if met and HEADLINE_EXPOSURE not in met:
        found.append(f"{HEADLINE_EXPOSURE.upper()} was not run: gain, and so the verdict, is unknown.")
    if met and not set(met).intersection(HARM_EXPOSURES):
        found.append("Neither CLEAN nor CONTROL was run: harm, and so the verdict, is unknown.")
    if told := [name for name in wording.ordered_arms(summary.arms) if name in told_arms()]:
        found.append(
            f"Told the hazard of every episode: {', '.join(told)}. They bound what could be reached; they are no "
            "agents, and get no verdict."
        )
    for name in wording.ordered_arms(summary.arms):
        heard = summary.arms[name].retrieved
        if heard is not None and heard.k == 0:
            found.append(
                f"The memory of {name} retrieved nothing in the whole run: in none of its {heard.n} episodes did a "
                "stored case pass the confidence gate. It acted as without a memory."
            )
    return [*found, *notices(results.manifest)]


def effects(results: RunResults) -> list[Effect]:
    """Gain and harm of the verdict's arm; empty where nothing was compared."""
    verdict = results.summary.verdict
    if verdict.arm is None or (against := results.summary.arms[verdict.arm].vs_flow_only) is None:
        return []
    base = ("summary", "arms", verdict.arm)
    broken = results.summary.arms[verdict.arm].harm
    return [
        Effect(
            "Gain",
            f"Success where hazards are ({verdict.exposure.upper()}), minus {REFERENCE_ARM}'s",
            _difference(against.success_diff, against.ci95, (*base, "vs_flow_only"), "success_diff"),
            Cell(str(against.n_pairs), pointer(*base, "vs_flow_only", "n_pairs")),
            Cell(wording.p_value(against.mcnemar_p), pointer(*base, "vs_flow_only", "mcnemar_p")),
            wording.GAIN_KNOWN[verdict.gain],
        ),
        Effect(
            "Harm, net",
            f"Failures where nothing had been wrong (CLEAN, CONTROL), minus {REFERENCE_ARM}'s",
            _difference(broken.rate, broken.ci95, (*base, "harm"), "rate"),
            Cell(str(broken.n_pairs), pointer(*base, "harm", "n_pairs")),
            Cell(wording.p_value(broken.mcnemar_p), pointer(*base, "harm", "mcnemar_p")),
            wording.harm_known(verdict),
        ),
    ]


def _difference(value: float | None, ci95: tuple[float, float] | None, base: tuple[str, ...], key: str) -> Cell:
    text = wording.interval(ci95, signed=True)
    return Cell(wording.points(value), pointer(*base, key), text, pointer(*base, "ci95") if text else "")


def facts(results: RunResults) -> list[Fact]:
    """What was run."""
    summary, settings = results.summary, _settings(results)
    rounds = sorted({r.round for arm in summary.arms.values() for r in arm.rounds})
    seen = _OBSERVATIONS.get(str(settings.get("obs")), _said(settings.get("obs")))
    if settings.get("obs") == "rgb":
        late = ", not waited for" if settings.get("vision_async") else ""
        seen += f", seen by {_said(settings.get('vision'))}{late}"
    sites = settings.get("sites")
    places = "" if sites is None else f", {sites} site{'' if sites == 1 else 's'}"
    device = settings.get("device")
    latency = _said(settings.get("latency"))
    inputs = [f"policy {_said(settings.get('checkpoint'))}"]
    if settings.get("scenario_file"):
        inputs.append(f"scenarios {settings['scenario_file']}")
    return [
        Fact("Task", summary.task),
        Fact("Engine", summary.physics if device is None else f"{summary.physics} on {device}"),
        Fact("Arms", ", ".join(wording.ordered_arms(summary.arms)) or "none"),
        Fact("Observation", seen),
        Fact("Detector", _said(settings.get("detector"))),
        Fact("Decision latency", _LATENCIES.get(latency, latency)),
        Fact("Scenarios", f"{summary.e1.n}{places}"),
        Fact("Rounds", f"E1 and {len(rounds)} of E2"),
        Fact("Exposures", ", ".join(e.upper() for e in wording.exposures_met(results)) or "none"),
        Fact("Harm allowed", f"{100 * summary.verdict.max_harm:g} points net (agent.max_harm)"),
        Fact("Inputs", ", ".join(inputs)),
        Fact("Files", ", ".join(_FILES)),
    ]


def tiles(results: RunResults) -> list[Tile]:
    """Further numbers of the verdict's arm, and how sound the physics was."""
    summary = results.summary
    arm = summary.verdict.arm
    found = [] if arm is None else _arm_tiles(summary.arms[arm], ("summary", "arms", arm))
    found.append(Tile("Invalid episodes", Cell(str(summary.verdict.invalid), pointer("summary", "verdict", "invalid"))))
    if (depth := summary.penetration) is not None:
        place = pointer("summary", "penetration", "deepest_mm")
        most = f"99.5 % of {depth.n} within {wording.number(depth.quantile_995_mm, 2)}"
        note = f"{most}; {depth.beyond} beyond {depth.bound_mm:g}"
        found.append(Tile("Pads sunk in, deepest", Cell(f"{wording.number(depth.deepest_mm, 2)} mm", place), note))
    return found


def _arm_tiles(arm: ArmSummary, base: tuple[str, ...]) -> list[Tile]:
    found = []
    if (against := arm.vs_flow_only) is not None:
        place = pointer(*base, "vs_flow_only", "rfr_reduction")
        note = f"{wording.interval(against.rfr_reduction_ci95)} {against.rfr_pairs} pairs".strip()
        found.append(Tile("Repeat failures avoided", Cell(wording.percent(against.rfr_reduction), place), note))
    if (cautious := arm.vs_always_cautious) is not None:
        place = pointer(*base, "vs_always_cautious", "success_diff")
        value = Cell(wording.points(cautious.success_diff), place)
        found.append(Tile(f"Gain over {HABIT_ARM}", value, wording.interval(cautious.ci95, signed=True)))
    if (hard := arm.hard_impacts) is not None and hard.success_diff is not None:
        place = pointer(*base, "hard_impacts", "success_diff")
        left_out = f"successes with a harder impact of a finger, {wording.count(hard.beyond)}, do not count"
        note = "; ".join(filter(None, (wording.interval(hard.ci95, signed=True), left_out)))
        found.append(Tile(f"Gain within {hard.bound_n:g} N", Cell(wording.points(hard.success_diff), place), note))
    if (payoff := arm.payoff) is not None:
        even = payoff.break_even
        place = pointer(*base, "payoff", "break_even", "pays_from")
        note = f"may from {wording.prevalence(even.may_pay_from)}, "
        note += f"surely from {wording.prevalence(even.surely_pays_from)}"
        found.append(Tile("Pays from a share of hazards of", Cell(wording.prevalence(even.pays_from), place), note))
    return found


def _settings(results: RunResults) -> dict[str, Any]:
    settings = results.manifest.get("settings")
    return settings if isinstance(settings, dict) else {}


def _said(value: object) -> str:
    return "not recorded" if value in (None, "") else str(value)
