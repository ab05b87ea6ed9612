"""Visible object colours: names, and red, green, blue from 0 to 1."""

PALETTE: dict[str, tuple[float, float, float]] = {
    "red": (0.85, 0.15, 0.15),
    "orange": (0.90, 0.50, 0.10),
    "yellow": (0.90, 0.85, 0.15),
    "green": (0.15, 0.65, 0.25),
    "cyan": (0.10, 0.70, 0.80),
    "blue": (0.15, 0.30, 0.85),
    "purple": (0.55, 0.20, 0.75),
    "pink": (0.95, 0.55, 0.75),
    "white": (0.92, 0.92, 0.92),
    "black": (0.10, 0.10, 0.12),
}
