"""How numbers, names and the verdict are put into words; nothing is computed here."""

from __future__ import annotations

from collections.abc import Iterable

from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.scoring.arms import (
    HABIT_ARM,
    REFERENCE_ARM,
    arm_order,
    memory_arms,
    placebo_arms,
    still_arms,
    told_arms,
)
from flow_rag_vla.benchmark.scoring.results import RunResults
from flow_rag_vla.benchmark.scoring.statistics import Interval, Proportion
from flow_rag_vla.benchmark.scoring.statistics.verdict import MARGIN, Answer, Gain, Harmfulness, Limit
from flow_rag_vla.benchmark.scoring.summary import Verdict

MEMORY = "memory"
NOT_MEASURED = "not measured"
NO_DATA = "not enough data"
NO_AGENT = f"Undetermined: no agent ran beside {REFERENCE_ARM}"
MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"

EXPOSURE_ORDER: tuple[Exposure, ...] = (
    Exposure.NEAR,
    Exposure.EXACT,
    Exposure.FAR,
    Exposure.CLEAN,
    Exposure.CONTROL,
)
"""The headline first."""

EXPOSURES: dict[Exposure, str] = {
    Exposure.E1: f"First exposure: {REFERENCE_ARM} meets every planned scenario with an empty memory. The failures "
    "(F1) are shared by all arms, so no arm chooses its own denominator.",
    Exposure.EXACT: "The same scenario again, with fresh policy noise. Measures memorisation.",
    Exposure.NEAR: "The same hazard and cue with object and goal displaced by up to 2 cm and 15 degrees. The headline.",
    Exposure.FAR: "A new layout at the same site and cue. Measures generalisation.",
    Exposure.CLEAN: "A scenario without any fault. Measures what a memory breaks.",
    Exposure.CONTROL: "The cue of a hazard with the hazard below threshold. Punishes superstition.",
}

TERMS: dict[str, str] = {
    "repeated": "Fails again as in E1: equal failure type and phase of the first causal event, with the object "
    "within one 5 cm pose bin, by the simulator's truth.",
    "substituted": "Fails again, but differently: avoiding one failure by another gains nothing.",
    "resolved": "Succeeds where it had failed. Repeated, substituted and resolved sum to 1 over the "
    "avoidable failures of F1 in which the fault had fired.",
    "harm": f"Share of CLEAN and CONTROL scenarios solved in E1 that the arm fails, minus {REFERENCE_ARM}'s share: "
    "net, and over both kinds together. With FAR they are met on new layouts, too. calibrate_memory.py counts each "
    "kind apart and subtracts nothing.",
    "gain": f"Share of NEAR scenarios that the arm solves, minus {REFERENCE_ARM}'s share.",
    "net success above": "Between which shares of hazards the whole interval of a difference in net success is above "
    "0: by each share's own 95 % interval, which takes gain and harm as independent; no band over all shares.",
    "break-even point": "The share of scenarios with a hazard from which gain outweighs harm.",
    "invalid": "Episodes whose physics broke down, or that sensed or commanded NaN; neither outcome, never dropped.",
    "hard impact": "In some physics step the force between one finger and the object was beyond the bound, the "
    "collision threshold of libfranka's cartesian_impedance_control example; its default behaviour takes 10 to 20 N. A "
    "real arm compares the estimated force on its whole hand, so this is an indication. Contacts with table, base, bin "
    "or obstacle are not in it, and the simulated arm stops at none.",
    "off support": "Steered chunks (every third decision is looked at) that lie farther from what the flow's network "
    "makes of them than all of the flow's own chunks for the same state. One in 16 unsteered ones do.",
    "loss chain": "Noticed by the agent's own detector, then retrieved, then retrieved with the right type, then "
    "corrected: each stage as a share of the one before.",
}


GAIN_KNOWN: dict[Gain, str] = {
    Gain.MORE: "shown",
    Gain.LESS: "a loss is shown",
    Gain.NONE: f"none beyond {100 * MARGIN:g} points",
    Gain.UNKNOWN: "not known",
}
"""What a verdict takes from the gain."""

NOT_APART = "not told apart"
DIRECTION: dict[Gain, str] = {Gain.MORE: "more", Gain.LESS: "less", Gain.NONE: NOT_APART, Gain.UNKNOWN: NOT_APART}
"""Which way one arm's success lies of another's."""


def ordered_arms(arms: Iterable[str]) -> list[str]:
    """``arms`` as they are registered, then those that are not by name."""
    rank = {arm: i for i, arm in enumerate(arm_order())}
    return sorted(arms, key=lambda arm: (rank.get(arm, len(rank)), arm))


def exposures_met(results: RunResults) -> list[Exposure]:
    """The exposures that any arm met, headline first."""
    arms = results.summary.arms.values()
    return [exposure for exposure in EXPOSURE_ORDER if any(arm.exposure(exposure).n for arm in arms)]


def percent(value: float | None, missing: str = NO_DATA) -> str:
    """A share as a percentage."""
    return missing if value is None else f"{_signed(value * 100.0, 1, plus=False)} %"


def points(value: float | None, missing: str = NO_DATA, digits: int = 1) -> str:
    """A difference of shares in percentage points."""
    return missing if value is None else f"{_signed(value * 100.0, digits)} pp"


def interval(value: Interval | None, *, signed: bool = False, digits: int = 1) -> str:
    """A 95 % interval of shares, in percent, or nothing; with ``digits``, or as many as tell its ends apart."""
    if value is None:
        return ""
    low = high = ""
    for shown in range(digits, 4):
        low, high = (_signed(v * 100.0, shown, plus=signed) for v in value)
        if low != high:
            break
    return f"[{low}, {high}]"


def count(value: Proportion) -> str:
    """``k/n``, or that there is nothing to count."""
    return f"{value.k}/{value.n}" if value.n else NO_DATA


def p_value(value: float | None) -> str:
    """A p-value as papers print it."""
    if value is None:
        return NO_DATA
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def number(value: float | None, digits: int = 1) -> str:
    """A measured number, or that nobody measured it."""
    return NOT_MEASURED if value is None else _signed(value, digits, plus=False)


def megabytes(value: int | None) -> str:
    """Bytes as MB (10^6)."""
    return NOT_MEASURED if value is None else f"{value / 1e6:.1f}"


def prevalence(value: float | None) -> str:
    """A share of scenarios with a hazard from which an arm pays."""
    return percent(value, "no share")


def answer(value: Answer | None) -> str:
    """A verdict by its name."""
    return DASH if value is None else value.replace("_", " ")


def role(arm: str) -> str:
    """What ``arm`` is to one with a memory that it is compared with."""
    if arm == REFERENCE_ARM:
        return "base policy"
    if arm == HABIT_ARM:
        return "constant habit"
    roles = {"placebo": placebo_arms(), "ceiling": told_arms(), "holds still": still_arms(), "memory": memory_arms()}
    return next((name for name, arms in roles.items() if arm in arms), "control")


def shares(value: Interval | None) -> str:
    """Between which shares of scenarios with a hazard something holds."""
    return "nowhere" if value is None else f"from {percent(value[0])} to {percent(value[1])}"


def harm_limit(verdict: Verdict, pairs: int) -> str:
    """What is known of the harm beside ``agent.max_harm`` where it is not known to be within it, else nothing."""
    if verdict.limit is Limit.KEPT:
        return ""
    most = f"{100 * verdict.max_harm:g} points net"
    exceeded = verdict.limit is Limit.EXCEEDED
    said = f"it breaks more than {most}" if exceeded else f"that it breaks at most {most} is not shown"
    return f"{said} (n = {pairs})"


def harm_known(verdict: Verdict) -> str:
    """What is known of the harm, in a word or two: the least bound that is kept."""
    kept = [MARGIN] if verdict.harm is Harmfulness.BOUNDED else []
    if verdict.limit is Limit.KEPT:
        kept.append(verdict.max_harm)
    shown = ["shown"] if verdict.harm is Harmfulness.SHOWN else []
    bounded = [f"at most {100 * min(kept):g} points"] if kept else []
    return ", ".join([*shown, *bounded]) or "not known"


def verdict_headline(verdict: Verdict, subject: str, gain_pairs: int, harm_pairs: int) -> str:
    """The verdict in one line.

    Args:
        verdict: of the run.
        subject: what its arm stands for.
        gain_pairs: that its gain is of.
        harm_pairs: that its harm is of.
    """
    if not gain_pairs and not harm_pairs:
        return "Undetermined: nothing could be compared"
    first = subject.capitalize() if subject == MEMORY else subject
    answered = {
        Answer.HELPS: f"{first} helps",
        Answer.HELPS_BUT_HARMS: f"{first} helps but harms",
        Answer.HARMS: f"{first} harms",
        Answer.NO_DIFFERENCE: f"{first} makes no difference",
        Answer.UNDETERMINED: f"Undetermined: {_what_is_missing(verdict, subject)}",
    }[verdict.answer]
    only = "" if gain_pairs else "only what it breaks could be compared"
    return "; ".join(filter(None, (answered, only, harm_limit(verdict, harm_pairs))))


def _what_is_missing(verdict: Verdict, subject: str) -> str:
    if verdict.gain not in (Gain.MORE, Gain.NONE):
        return f"too few pairs to tell whether {subject} helps"
    gains = "gains" if verdict.gain is Gain.MORE else "gains nothing"
    within = f"that it breaks at most {100 * MARGIN:g} points is not shown"
    return f"{subject} {gains}, but {within if verdict.limit is Limit.KEPT else 'what it breaks is not known'}"


def verdict_subject(results: RunResults) -> str:
    """What the verdict's arm stands for: the memory, where it has one."""
    arm = results.summary.verdict.arm
    return MEMORY if arm is None or results.summary.arms[arm].memory_entries is not None else arm


def caveats(results: RunResults) -> list[str]:
    """What a reader must know before quoting a number of this run."""
    summary, code = results.summary, results.manifest.get("code")
    found = [
        f"Simulated, with physics preset {summary.physics}; numbers of different presets or versions do not compare.",
        "Hazards belong to sites that an observation announces; a memory can learn them, a policy alone cannot know "
        "them. Success on them says nothing about hazards that nothing announces.",
        "Arms are paired by scenario, yet episodes that share one memory are not independent; intervals cover the "
        "choice of scenarios, not of the site, unless the run has at least five sites: then the wider of the score "
        "interval and the bootstrap over sites is shown.",
        "The guide's expected numbers are targets from its own text, set for other hardware and tasks.",
    ]
    if summary.verdict.invalid:
        found.append(
            f"{summary.verdict.invalid} episodes were invalid (broken physics, senses or actions); "
            "they count as neither outcome."
        )
    if isinstance(code, dict) and code.get("dirty"):
        found.append("The code had uncommitted changes, so its commit alone does not reproduce this run.")
    if not results.timing.arms:
        found.append("Latency was not measured in this run.")
    return found


def _signed(value: float, digits: int, *, plus: bool = True) -> str:
    text = f"{value:+.{digits}f}" if plus else f"{value:.{digits}f}"
    if float(text) == 0.0:
        text = text.lstrip("+-")
    return text.replace("-", MINUS)
