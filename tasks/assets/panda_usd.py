"""Converts the Panda URDF of the ``example-robot-data`` package to USD, with colliders made for grasping.

The meshes stay visible but do not collide.  Instead each finger gets its tip box, the hand one box and the arm four
primitives: a third of the contact work of the meshes, and flat finger pads that hold a cube without rocking.
"""

# pxr's bindings are generated without return types.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportAssignmentType=false, reportGeneralTypeIssues=false

from __future__ import annotations

import logging
from importlib import metadata
from pathlib import Path

from pxr import Gf, Sdf, Usd, UsdGeom, UsdPhysics, Vt

from flow_rag_vla.tasks.facts.contact_parameters import CONTACT_SOLIMP, CONTACT_SOLREF, LIMIT_SOLIMP

_TIP_BOX = "box_3"
"""Collision box of the URDF that covers the inside of a fingertip."""

_HAND_BOX_CENTRE_M = (0.0, 0.0, 0.033)
_HAND_BOX_SIZE_M = (0.05, 0.2, 0.066)

# (link, axis, centre, radius, length) in the link frame; length 0 makes a sphere.
_ARM_COLLIDERS = (
    ("panda_link2", "Y", (0.0, -0.15, 0.0), 0.07, 0.20),
    ("panda_link4", "Y", (-0.08, 0.10, 0.0), 0.06, 0.10),
    ("panda_link5", "Z", (0.0, 0.03, -0.16), 0.06, 0.20),
    ("panda_link7", "Z", (0.04, 0.0, 0.05), 0.06, 0.0),
)


def urdf_path() -> Path:
    """The Panda URDF inside the installed ``example-robot-data``.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    try:
        distribution = metadata.distribution("example-robot-data")
    except metadata.PackageNotFoundError as error:
        raise ModuleNotFoundError("the Panda model comes from PyPI: pip install example-robot-data") from error
    root = Path(str(distribution.locate_file("cmeel.prefix/share/example-robot-data")))
    return root / "robots/panda_description/urdf/panda.urdf"


def convert(target: Path) -> None:
    """Write the simplified Panda to ``target`` (.usdc)."""
    import urdf_usd_converter

    urdf = urdf_path()
    packages = [{"name": "example-robot-data", "path": str(urdf.parents[3])}]
    # The converter warns about every visual without a material.
    logging.getLogger("urdf_usd_converter").setLevel(logging.ERROR)
    converter = urdf_usd_converter.Converter(layer_structure=False, scene=False, ros_packages=packages)
    converted = converter.convert(str(urdf), str(target.parent / "full"))
    stage = Usd.Stage.Open(converted.path)
    _simplify(stage)
    stage.Export(str(target))


def _simplify(stage: Usd.Stage) -> None:
    links = {prim.GetName(): prim for prim in stage.Traverse() if prim.HasAPI(UsdPhysics.RigidBodyAPI)}
    for prim in stage.Traverse():
        if prim.IsA(UsdPhysics.RevoluteJoint) or prim.IsA(UsdPhysics.PrismaticJoint):
            _stiffen_limits(prim)
        is_tip = prim.GetName() == _TIP_BOX and "finger" in prim.GetParent().GetName()
        if prim.HasAPI(UsdPhysics.CollisionAPI):
            if is_tip:
                _describe_contact(prim)
            else:
                UsdPhysics.CollisionAPI(prim).CreateCollisionEnabledAttr().Set(False)
    _add_hand_box(stage, links["panda_hand"])
    for link, axis, centre, radius, length in _ARM_COLLIDERS:
        _add_round(stage, links[link], axis, centre, radius, length)


def _describe_contact(collider: Usd.Prim) -> None:
    collider.CreateAttribute("mjc:solref", Sdf.ValueTypeNames.DoubleArray).Set(Vt.DoubleArray(CONTACT_SOLREF))
    collider.CreateAttribute("mjc:solimp", Sdf.ValueTypeNames.DoubleArray).Set(Vt.DoubleArray(CONTACT_SOLIMP))


def _stiffen_limits(joint: Usd.Prim) -> None:
    """Author MuJoCo's parameters of a joint's limits: without them a finger gives way by 7 mm at 40 N."""
    joint.CreateAttribute("mjc:solreflimit", Sdf.ValueTypeNames.DoubleArray).Set(Vt.DoubleArray(CONTACT_SOLREF))
    joint.CreateAttribute("mjc:solimplimit", Sdf.ValueTypeNames.DoubleArray).Set(Vt.DoubleArray(LIMIT_SOLIMP))


def _collider_path(link: Usd.Prim) -> str:
    return str(link.GetPath().AppendChild("collider"))


def _finish(shape: UsdGeom.Gprim, centre: tuple[float, float, float]) -> UsdGeom.Xformable:
    shape.CreatePurposeAttr("guide")
    placed = UsdGeom.Xformable(shape)
    placed.AddTranslateOp().Set(Gf.Vec3d(*centre))
    UsdPhysics.CollisionAPI.Apply(shape.GetPrim())
    _describe_contact(shape.GetPrim())
    return placed


def _add_hand_box(stage: Usd.Stage, hand: Usd.Prim) -> None:
    box = UsdGeom.Cube.Define(stage, _collider_path(hand))
    box.CreateSizeAttr(1.0)
    _finish(box, _HAND_BOX_CENTRE_M).AddScaleOp().Set(Gf.Vec3f(*_HAND_BOX_SIZE_M))


def _add_round(
    stage: Usd.Stage, link: Usd.Prim, axis: str, centre: tuple[float, float, float], radius: float, length: float
) -> None:
    if length == 0.0:
        shape: UsdGeom.Gprim = UsdGeom.Sphere.Define(stage, _collider_path(link))
    else:
        shape = UsdGeom.Capsule.Define(stage, _collider_path(link))
        shape.CreateHeightAttr(length)
        shape.CreateAxisAttr(axis)
    shape.CreateRadiusAttr(radius)
    _finish(shape, centre)
