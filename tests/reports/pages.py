"""Reads what a page shows: texts with the places in the results that they name, and the numbers of such a place."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

NO_NUMBER = ("not measured", "not enough data", "reference", "none", "\N{EN DASH}")


class Page(HTMLParser):
    """Texts that name their source, and table cells that name none."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.sourced: list[tuple[str, str]] = []
        self.unsourced: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._source: str | None = None
        self._plain_cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.append((tag, named))
        if tag == "td":
            self._plain_cell = named.get("class") != "guide"
        if "data-source" in named:
            self._source = named["data-source"]

    def handle_endtag(self, tag: str) -> None:
        if tag in ("span", "small"):
            self._source = None
        if tag in ("td", "table"):
            self._plain_cell = False

    def handle_data(self, data: str) -> None:
        if self._source is not None:
            self.sourced.append((self._source, data))
        elif self._plain_cell and data.strip():
            self.unsourced.append(data)


def numbers_in(value: object) -> Iterator[float]:
    if isinstance(value, dict):
        for item in value.values():
            yield from numbers_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from numbers_in(item)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield float(value)


def printed(value: float) -> set[str]:
    forms = {f"{value:.{digits}f}" for digits in range(4)} | {f"{value * 100:.{digits}f}" for digits in (1, 2, 3)}
    return forms | {f"{value / 1e6:.1f}"}
