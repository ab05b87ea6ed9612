"""Time step, contacts, drives, limits of commands: one description of the world, the same on every engine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Literal

CONTROL_STEP_S = 1 / 30

NUM_SUBSTEPS = 12
"""Physics steps of a control step.

A pad that loses touch for one step is accelerated by the whole grip force and sinks in by F dt^2 / (m + dt d): at 40 N
15 mm with 4 steps and light fingers, 0.4 mm with 12 and those of ``panda``.
"""

SUBSTEP_S = CONTROL_STEP_S / NUM_SUBSTEPS

MOST_SUBSTEPS = 64
"""Physics steps of a control step that are remembered one by one."""

CONTACT_TIME_S = 0.007
"""Time constant of contacts and joint limits, s; MuJoCo takes none below two substeps."""

CONTACT_SOLREF = (CONTACT_TIME_S, 1.0)

CONTACT_SOLIMP = (0.8, 0.99, 0.001, 0.5, 2.0)
"""A rubber pad: gives way by 0.3 mm under 10 N and by 0.6 mm under 40 N, and hardly more under 150 N.  The cushion
keeps it in touch while an object slides."""

ROUND_SOLIMP = (0.94, 0.9975, 0.001, 0.5, 2.0)
"""Of the cylinder, which touches a pad in one point where a box does in four: four times as stiff there, it gives way
as much as a box."""

FINGER_STIFFNESS_N_M = 1000.0
FINGER_DAMPING_N_S_M = 80.0
"""damping x substep must stay below about 1.2 x (armature + mass), or the pads sink into what they hold:
the contact solver sees the undamped mass and under-reacts (``implicitfast`` adds the damping afterwards)."""

FINGER_ARMATURE_KG = 0.6

CLOSING_SPEED_M_S = 0.05
"""Keeps the impact on an object small; pressing builds up at stiffness x speed = 50 N/s."""

FINGER_EFFORT_LIMIT_N = 60.0
"""Above ``MAX_FORCE_N``, so that the damper may also brake a finger that is pressing."""

MAX_FORCE_N = 40.0
"""Force of each finger at full grip command."""

ARM_STIFFNESS_N_M = 800.0
ARM_DAMPING_N_M_S = 40.0
ARM_ARMATURE_KG_M2 = 0.3
ARM_TORQUE_LIMITS_N_M = {"panda_joint[1-4]": 87.0, "panda_joint[5-7]": 12.0}

MAX_PENETRATION_M = 0.002
"""An episode in which both finger pads together stay deeper in the object, for ``CONTACT_TIME_S``, is bad physics."""

CONE = "elliptic"
IMPRATIO = 10.0
"""How much stiffer friction is than the normal direction: 1 lets a held object creep."""

OBJECT_CONDIM: Literal[4] = 4
"""Sliding and spinning friction of what the hand holds; its own friction rules (priority 1)."""

LIMIT_SOLIMP = (0.95, 0.99, 0.001, 0.5, 2.0)

LEASH_M = 0.06
"""The arm's pose target stays this close to the measured fingertip centre."""

NEAR_TABLE_M = 0.10
"""Height of the fingertip centre over the table under which the hand may be coming down on something."""

DESCENT_LEAD_M = 0.025
"""Near the table the pose target is at most this far below the fingertip centre.

What stops the hand is then pressed with about two thirds of what the joints could give, and nothing is met at the full
speed of 0.5 m/s.  Moves at half that, with which objects are approached and set down, lead by less.
"""

REACH_M = 0.71
"""The pose target keeps the wrist this close to the shoulder; the stretched arm has 0.719 m.

The inverse kinematics of an arm that is pulled beyond takes its elbow for one that bends the other way, folds it there,
and the hand falls on the table at 2 m/s.
"""

MAX_JOINT_STEP_RAD = 0.25
"""Largest joint displacement that one control step may ask of the arm's drives."""


def contact_description() -> dict[str, object]:
    """What outcomes that contacts decide depend on."""
    return {
        "num_substeps": NUM_SUBSTEPS,
        "solref": CONTACT_SOLREF,
        "solimp": CONTACT_SOLIMP,
        "round_solimp": ROUND_SOLIMP,
        "limit_solimp": LIMIT_SOLIMP,
        "max_penetration_m": MAX_PENETRATION_M,
        "cone": CONE,
        "impratio": IMPRATIO,
        "object_condim": OBJECT_CONDIM,
        "finger": [FINGER_STIFFNESS_N_M, FINGER_DAMPING_N_S_M, FINGER_ARMATURE_KG, CLOSING_SPEED_M_S],
        "finger_force": [MAX_FORCE_N, FINGER_EFFORT_LIMIT_N],
        "arm": [ARM_STIFFNESS_N_M, ARM_DAMPING_N_M_S, ARM_ARMATURE_KG_M2],
        "arm_torque_limits": ARM_TORQUE_LIMITS_N_M,
    }


def contact_digest() -> str:
    """Eight hex digits that change with ``contact_description``; names files that were made with it."""
    return _digest(contact_description())


def motion_description() -> dict[str, float]:
    """What the arm lets itself be commanded: m and rad."""
    return {
        "leash": LEASH_M,
        "near_table": NEAR_TABLE_M,
        "descent_lead": DESCENT_LEAD_M,
        "reach": REACH_M,
        "joint_step": MAX_JOINT_STEP_RAD,
    }


def world_description() -> dict[str, Mapping[str, object]]:
    """All that outcomes depend on here, part by part."""
    return {"contacts": contact_description(), "motion": motion_description()}


def world_digest() -> str:
    """Eight hex digits that change with ``world_description``; a run and a set of demonstrations are of one."""
    return _digest(list(world_description().values()))


def _digest(description: object) -> str:
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:8]
