"""Lets MuJoCo Warp give every contact between two boxes its own depth, as native MuJoCo does.

By default MuJoCo Warp collides boxes as convex bodies and gives all contacts of a face the depth of the deepest one.  A
face then does not resist tilting, and a box turns out of the fingers that hold it.  Its analytic box-box function gives
each contact its depth, but compares a separation with that along an edge with a slack of 1e-12, which float32 rounds to
nothing: between parallel faces rounding picks the edges, and contacts appear metres away.  With a slack of 5 % (what
the Open Dynamics Engine uses) and 10 um, far above the rounding of a table's size, both engines find the same contacts.
"""

# Warp functions are another language in Python's clothes.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false

from __future__ import annotations

import inspect
import linecache
from typing import TYPE_CHECKING

import mujoco
import warp as wp
from mujoco_warp._src import collision_primitive, collision_primitive_core

if TYPE_CHECKING:
    from mujoco_warp import Model

_SLACK_OF_DOUBLES = "separation * (1.0 - 1e-12)"
_SLACK_OF_FLOATS = "separation * 0.95 - 1e-5"

_SOURCE_NAME = "<box_box with a slack for float32>"


def use_depth_per_contact(model: Model) -> None:
    """Make ``model`` collide its boxes analytically; to be called before its first step.

    Raises:
        RuntimeError: the installed MuJoCo Warp's function is not the one that this is known to mend.
    """
    if collision_primitive.box_box is collision_primitive_core.box_box:
        collision_primitive.box_box = _with_slack_for_floats(collision_primitive_core.box_box)
    model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_NATIVECCD)


def _with_slack_for_floats(box_box: wp.Function) -> wp.Function:
    source = inspect.getsource(box_box.func)
    if source.count(_SLACK_OF_DOUBLES) != 1:
        times = source.count(_SLACK_OF_DOUBLES)
        raise RuntimeError(
            f"MuJoCo Warp's box_box holds {_SLACK_OF_DOUBLES!r} {times} times, expected once: install the versions of "
            "requirements.lock"
        )
    source = source[source.index("def box_box") :].replace(_SLACK_OF_DOUBLES, _SLACK_OF_FLOATS)
    # Warp reads a function's source by its file name.
    linecache.cache[_SOURCE_NAME] = (len(source), None, source.splitlines(keepends=True), _SOURCE_NAME)
    defined: dict[str, object] = {}
    exec(compile(source, _SOURCE_NAME, "exec"), vars(collision_primitive_core), defined)
    return wp.func(defined["box_box"])
