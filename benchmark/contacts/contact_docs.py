"""Contacts beside statics, for people: tables, what falls short, and the page in the documentation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

import flow_rag_vla.tasks.physics
from flow_rag_vla.benchmark.contacts.holding import Grip, Holding
from flow_rag_vla.benchmark.contacts.opening import LIMITS_M, TOLERANCE_M, Opening
from flow_rag_vla.benchmark.contacts.pressing import PRESSED_M, TABLE_FRICTION, Press
from flow_rag_vla.benchmark.contacts.pressing import TOLERANCE as PRESS_TOLERANCE
from flow_rag_vla.benchmark.contacts.threshold import RATIOS, TOLERANCE, holdable_kg
from flow_rag_vla.tasks.facts.contact_parameters import (
    ARM_TORQUE_LIMITS_N_M,
    CONTACT_TIME_S,
    DESCENT_LEAD_M,
    MAX_PENETRATION_M,
)

PAGE = Path(flow_rag_vla.tasks.physics.__path__[0]) / "CONTACTS.md"
ARM_LIMITS = " and ".join(f"{limit:g}" for limit in ARM_TORQUE_LIMITS_N_M.values()) + " N m"
SAFE_RATIO = 0.85
"""Creep is shown of objects that a grip holds with this much to spare."""

INTRODUCTION = f"""# Contacts beside statics

**Holding.** A grip of F a finger at friction mu holds 2 mu F / g. Objects are lifted by 10 cm with 40 N a finger; the
grip then falls to F within 1 s and stays for 2 s, with the hand still. Held is what has moved by at most 1 cm in the
hand to the end; what 40 N do not lift has slipped. The goal is out of reach, so that no episode ends, and stands still,
before that. Masses go from {RATIOS[0]:g} to {RATIOS[-1]:g} of what statics says in steps of 0.05 unless the command
names others; forces that are not in the table of an engine were not run on it. The threshold is midway between the last
that held and the first that slipped, and met within {100 * TOLERANCE:g} % of statics. *Pads* and *creep* are of objects
of up to {SAFE_RATIO:g} of what statics says: the mean force with which a pad presses, and the fastest downward motion
in the hand. *Depth* is the deepest that both pads together sank into any object for the contacts' time constant,
{1e3 * CONTACT_TIME_S:g} ms: an impact that is pushed out sooner is not in it. More than {1e3 * MAX_PENETRATION_M:g} mm
is a complaint.

**Pressing.** The open hand comes down until it touches and its pose target goes on for {100 * PRESSED_M:g} cm.
In an episode it goes on for {100 * DESCENT_LEAD_M:g} cm at most near the table
(`tasks/env/end_effector.py`), and the hand presses with 50 to 72 % of what stands here: 66 to 305 N.
*Force* and *side force* are what its contacts with the table measure; *off the middle* is where they press, x and y off
the middle between the fingertips: the mean of the contact points, weighted with their normal forces. *Predicted* are
the joint torques that this force takes at this point, J^T f: from the contact and the arm's geometry alone, as gravity
is compensated. The hand presses with what the joints give where that is all that one of them has, within
{100 * PRESS_TOLERANCE:g} %. *Drives* are the torques that the engine applies, a second witness: none may exceed its
limit ({ARM_LIMITS}). *Met* needs both. newton_mujoco keeps neither torques nor contact points of a step: both are made
anew from the state after it, by a forward pass of the environment's own model, which limits drives as the step does.
On newton_mjwarp both are the engine's own, of the last substep. The last columns are what the limits give in the
middle between the fingertips, straight down and with what side force friction {TABLE_FRICTION:g} bears: a hand that the
table's friction keeps from sliding also pulls sideways, which takes load off joint 6.

**Opening.** The gripper closes on nothing and opens with 40 N a finger, also turning back in mid-travel. Its opening
stays within {1e3 * LIMITS_M[0]:g} and {1e3 * LIMITS_M[1]:g} mm, give or take {1e3 * TOLERANCE_M:g} mm."""


@dataclass(frozen=True)
class Contacts:
    """Everything that was measured on one engine."""

    physics: str
    holding: tuple[Holding, ...]
    pressing: tuple[Press, ...]
    opening: Opening


def _name(grip: Grip) -> str:
    return f"{grip.object_model}, friction {grip.friction:g}, {grip.force_n:g} N"


def holding_table(holding: tuple[Holding, ...]) -> str:
    """One row a grip, in Markdown."""
    rows = []
    for h in holding:
        safe, threshold, statics = h.up_to(SAFE_RATIO), h.threshold, holdable_kg(h.grip.friction, h.grip.force_n)
        ratio = threshold.ratio
        rows.append(
            {
                "object": h.grip.object_model,
                "friction": f"{h.grip.friction:g}",
                "F, N": f"{h.grip.force_n:g}",
                "2 mu F / g, kg": f"{statics:.3f}",
                "slips at, kg": "-" if ratio is None else f"{ratio * statics:.3f}",
                "of statics": "-" if ratio is None else f"{ratio:.3f}",
                "pads, N": f"{sum(t.pad_force_n for t in safe) / len(safe):.2f}" if safe else "-",
                "creep, mm/s": f"{max(t.creep_mm_s for t in safe):.2f}" if safe else "-",
                "depth, mm": f"{max(t.depth_mm for t in h.trials):.2f}",
                "met": "yes" if threshold.meets_statics else "**no**",
            }
        )
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def _most(shares: tuple[float, ...]) -> str:
    joint = max(range(len(shares)), key=shares.__getitem__)
    return f"joint {joint + 1}, {100 * shares[joint]:.0f} %"


def pressing_table(pressing: tuple[Press, ...]) -> str:
    """One row a place, in Markdown."""
    rows = []
    for p in pressing:
        side = (p.force_n[0] ** 2 + p.force_n[1] ** 2) ** 0.5
        rows.append(
            {
                "x, y, m": f"{p.place_m[0]:g}, {p.place_m[1]:g}",
                "force, N": f"{p.pressed_n:.0f}",
                "side force, N": f"{side:.0f}",
                "off the middle, mm": f"{1e3 * p.point_m[0]:.0f}, {1e3 * p.point_m[1]:.0f}",
                "predicted, N m": ", ".join(f"{t:.0f}" for t in p.predicted_nm),
                "takes most of": _most(p.predicted_shares),
                "drives, N m": ", ".join(f"{t:.0f}" for t in p.torques_nm),
                "exert most of": _most(p.utilisation),
                "straight down, N": f"{p.vertical_n:.0f}",
                "with friction, N": f"{p.with_friction_n:.0f}",
                "met": "yes" if p.meets_limits else "**no**",
            }
        )
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def opening_line(opening: Opening) -> str:
    """The extremes in one sentence."""
    return (
        f"Opening from {opening.least_mm:.2f} to {opening.most_mm:.2f} mm; closed {opening.closed_mm:.2f} mm, open "
        f"{opening.open_mm:.2f} mm."
    )


def verdict(contacts: Contacts) -> list[str]:
    """One line for everything that falls short; empty where contacts are what statics says."""
    of = contacts.physics
    lines = []
    for h in contacts.holding:
        if not h.threshold.meets_statics:
            ratio = h.threshold.ratio
            found = "has no known threshold" if ratio is None else f"slips at {ratio:.2f} of what statics says"
            lines.append(f"{of}: {_name(h.grip)} {found}")
        broken = sum(not t.valid for t in h.trials)
        if broken:
            lines.append(f"{of}: {_name(h.grip)} has invalid physics in {broken} of {len(h.trials)} trials")
        depth_mm, bound_mm = max((t.depth_mm for t in h.trials), default=0.0), 1e3 * MAX_PENETRATION_M
        if depth_mm > bound_mm:
            lines.append(f"{of}: {_name(h.grip)} sinks in by {depth_mm:.2f} mm, expected at most {bound_mm:g} mm")
    for p in contacts.pressing:
        if not p.touched:
            lines.append(f"{of}: at {p.place_m} the hand does not touch the table")
        elif not p.takes_all:
            most = _most(p.predicted_shares)
            lines.append(f"{of}: at {p.place_m} the hand presses with {p.pressed_n:.0f} N, which takes most of {most}")
        if not p.keeps_limits:
            lines.append(f"{of}: at {p.place_m} a drive exerts more than its limit: {_most(p.utilisation)}")
    if not contacts.opening.stays_within_limits:
        lines.append(f"{of}: {opening_line(contacts.opening)}")
    return lines


def section(contacts: Contacts, command: str, versions: str) -> str:
    """What the page says of one engine."""
    tables = (holding_table(contacts.holding), pressing_table(contacts.pressing), opening_line(contacts.opening))
    return "\n\n".join([f"## {contacts.physics}", f"    ./isaaclab.sh -p {command}", *tables, f"{versions}."])


def write_docs(contacts: Contacts, command: str, versions: str, page: Path = PAGE) -> None:
    """Write the section of ``contacts``' engine into ``page``; those of other engines stay."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    parts = {part.split("\n", 1)[0]: part.strip() for part in re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]}
    parts[f"## {contacts.physics}"] = section(contacts, command, versions)
    ordered = [parts[heading] for heading in sorted(parts, reverse=True)]
    page.write_text("\n\n".join([INTRODUCTION, *ordered]) + "\n", encoding="utf-8")
