"""The objects that are handled: shape, size and mass.  All are one rigid body whose shape is chosen per environment."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from flow_rag_vla.tasks.contract import named


class Shape(StrEnum):
    """Collision shape; cylinders stand upright."""

    BOX = "box"
    CYLINDER = "cylinder"


@dataclass(frozen=True)
class ObjectModel:
    """One kind of object."""

    name: str
    shape: Shape
    size_m: tuple[float, float, float]
    """Edge lengths along the object's own axes; a cylinder's first two are its diameter."""
    mass_kg: float

    @property
    def inertia_diagonal_kg_m2(self) -> tuple[float, float, float]:
        """Of a solid body of 1 kg about its centre."""
        x, y, z = (edge**2 for edge in self.size_m)
        if self.shape is Shape.CYLINDER:
            across = (3.0 * x / 4.0 + z) / 12.0
            return (across, across, x / 8.0)
        return ((y + z) / 12.0, (x + z) / 12.0, (x + y) / 12.0)


_MODELS = (
    ObjectModel("cube", Shape.BOX, (0.05, 0.05, 0.05), 0.1),
    ObjectModel("block", Shape.BOX, (0.045, 0.055, 0.06), 0.1),
    ObjectModel("cylinder", Shape.CYLINDER, (0.048, 0.048, 0.06), 0.1),
    ObjectModel("bar", Shape.BOX, (0.14, 0.04, 0.04), 0.15),
)

OBJECTS: dict[str, ObjectModel] = {model.name: model for model in _MODELS}

FLAT_SIDED: tuple[str, ...] = tuple(model.name for model in _MODELS if model.shape is Shape.BOX)
"""Objects that touch the finger pads with a face: both engines let a cylinder touch a pad in one point, on which it
rocks where friction is what matters."""

MAX_HALF_EXTENTS_M: tuple[float, float, float] = (0.07, 0.03, 0.03)
"""Boxes are built at this size and shrunk."""


def get_object(name: str) -> ObjectModel:
    """The object called ``name``.

    Raises:
        UnknownNameError: naming the objects that exist.
    """
    return named(OBJECTS, name, "object")
