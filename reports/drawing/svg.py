"""A small SVG drawing: deterministic bytes, colours by name, readable inline and as a file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from flow_rag_vla.reports.drawing.palette import DARK, LIGHT, css_variables

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"

_FILE_STYLE = (
    f"svg{{{css_variables(LIGHT)}font-family:{FONT}}}@media (prefers-color-scheme:dark){{svg{{{css_variables(DARK)}}}}}"
)


@dataclass
class Drawing:
    """Shapes in drawing units; ``title`` and ``description`` are what a screen reader says."""

    width: float
    height: float
    title: str
    description: str
    _shapes: list[str] = field(default_factory=list)

    def rect(self, x: float, y: float, width: float, height: float, colour: str, opacity: float = 1.0) -> None:
        """A filled rectangle."""
        self._shapes.append(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" '
            f'fill="var(--{colour})" fill-opacity="{_n(opacity)}"/>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1.0, dash: str = "") -> None:
        """A straight line."""
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self._shapes.append(
            f'<line x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}" '
            f'stroke="var(--{colour})" stroke-width="{_n(width)}"{dashes}/>'
        )

    def circle(self, x: float, y: float, radius: float, colour: str, *, hollow: bool = False) -> None:
        """A point."""
        fill = "page" if hollow else colour
        self._shapes.append(
            f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}" fill="var(--{fill})" '
            f'stroke="var(--{colour})" stroke-width="1.8"/>'
        )

    def diamond(self, x: float, y: float, radius: float, colour: str) -> None:
        """A point that stands out."""
        corners = ((x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y))
        self._shapes.append(f'<polygon points="{_corners(corners)}" fill="var(--{colour})"/>')

    def curve(self, points: Sequence[tuple[float, float]], colour: str, width: float = 1.6, dash: str = "") -> None:
        """A line through ``points``."""
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self._shapes.append(
            f'<polyline points="{_corners(points)}" fill="none" stroke="var(--{colour})" '
            f'stroke-width="{_n(width)}"{dashes}/>'
        )

    def area(self, points: Sequence[tuple[float, float]], colour: str, opacity: float) -> None:
        """What ``points`` enclose."""
        self._shapes.append(
            f'<polygon points="{_corners(points)}" fill="var(--{colour})" fill-opacity="{_n(opacity)}"/>'
        )

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        colour: str = "ink",
        size: float = 12.5,
        anchor: str = "start",
        bold: bool = False,
        turn: float = 0.0,
    ) -> None:
        """A line of text; ``y`` is its baseline, ``turn`` degrees clockwise about its anchor."""
        weight = ' font-weight="600"' if bold else ""
        rotate = f' transform="rotate({_n(turn)} {_n(x)} {_n(y)})"' if turn else ""
        self._shapes.append(
            f'<text x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}" text-anchor="{anchor}" '
            f'fill="var(--{colour})"{weight}{rotate}>{escape(text)}</text>'
        )

    def inline(self, name: str) -> str:
        """The drawing as an element of a page that defines the colours."""
        return self._element(name, "")

    def file_bytes(self) -> bytes:
        """The drawing as a file that brings its colours along."""
        return (self._element("figure", f"<style>{_FILE_STYLE}</style>") + "\n").encode()

    def _element(self, name: str, style: str) -> str:
        title_id, description_id = f"{name}-title", f"{name}-desc"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(self.width)} {_n(self.height)}" '
            f'role="img" aria-labelledby="{title_id} {description_id}">'
            f'<title id="{title_id}">{escape(self.title)}</title>'
            f'<desc id="{description_id}">{escape(self.description)}</desc>{style}' + "".join(self._shapes) + "</svg>"
        )


def _corners(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{_n(x)},{_n(y)}" for x, y in points)


def _n(value: float) -> str:
    """A coordinate with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
