"""Colours, once: the same names in the page and in the figures, for light and dark.

Repeated, substituted and resolved are Okabe and Ito's vermillion, orange and blue, which stay apart for all
common forms of colour blindness; they are darkened or lightened until text on them is readable.
"""

from __future__ import annotations

LIGHT: dict[str, str] = {
    "page": "#fdfcfa",
    "surface": "#f5f3ee",
    "ink": "#1d2126",
    "muted": "#59626d",
    "rule": "#d8d4cb",
    "accent": "#0a5c91",
    "repeated": "#b84e00",
    "on-repeated": "#ffffff",
    "substituted": "#e8a31c",
    "on-substituted": "#1d2126",
    "resolved": "#0067a3",
    "on-resolved": "#ffffff",
}

DARK: dict[str, str] = {
    "page": "#14171b",
    "surface": "#1c2126",
    "ink": "#e8e6e1",
    "muted": "#a0a9b3",
    "rule": "#363d45",
    "accent": "#6db7ea",
    "repeated": "#ee8042",
    "on-repeated": "#14171b",
    "substituted": "#f0c458",
    "on-substituted": "#14171b",
    "resolved": "#5caee6",
    "on-resolved": "#14171b",
}


def css_variables(colours: dict[str, str]) -> str:
    """``colours`` as CSS custom properties."""
    return "".join(f"--{name}:{value};" for name, value in colours.items())
