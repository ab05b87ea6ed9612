"""YAML that a user wrote: plain data only, no key twice, no aliases, and one line about what is wrong with it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from flow_rag_vla.tasks.facts.plain_text import hides_something

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 256 * 1024
"""Far more than a scenario file needs, and little enough to parse at once."""


class _Loader(yaml.SafeLoader):
    """Refuses what YAML allows and a reader would trip over: repeated keys, and aliases that grow without bound."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.MarkedYAMLError(problem=f"alias *{event.anchor} is not allowed", problem_mark=event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode):
                # The value and not the text: 1, 0x1 and yes are one key of a Python mapping.
                key = self.construct_object(key_node)
                if key in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"key {key_node.value!r} repeats an earlier one", problem_mark=key_node.start_mark
                    )
                seen.add(key)
        return super().construct_mapping(node, deep)


# As in YAML 1.2 and in every other notation; YAML 1.1 takes 1e0 for a text, and wants 1.0e+0.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$", re.ASCII), list("-+.0123456789")
)


def read_bytes(path: Path) -> bytes:
    """The content of a user's file.

    Raises:
        ValueError: there is no such file, or it is too large or unreadable; one line.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such file")
    if not path.is_file():
        raise ValueError(f"{path}: is a {'directory' if path.is_dir() else 'special file'}, expected a YAML file")
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise ValueError(f"{path}: has {size} bytes, expected at most {MAX_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None


def parse_yaml(content: bytes, path: Path) -> dict[str, Any]:
    """The mapping that ``content`` holds; ``path`` is for messages.

    Raises:
        ValueError: not YAML, not a mapping, a repeated key, an alias or a text with control characters; one line.
    """
    try:
        value = yaml.load(content.decode(), _Loader)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = "" if mark is None else f" line {mark.line + 1}, column {mark.column + 1}:"
        raise ValueError(f"{path}:{place} {error.problem or error.context}".replace("\n", " ")) from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ValueError(f"{path}: is nested too deeply") from None
    except ValueError as error:
        # Scalars that look like a date or a number and are none, such as 2026-02-31.
        raise ValueError(f"{path}: holds a value that does not exist: {error}") from None
    if (text := _hiding_text(value)) is not None:
        raise ValueError(f"{path}: holds the text {text[:60]!r} with control characters, expected one that can be read")
    if not isinstance(value, dict):
        found = "nothing" if value is None else f"a {type(value).__name__}"
        raise ValueError(f"{path}: holds {found}, expected a mapping with the keys of a scenario file")
    return value


def _hiding_text(value: Any) -> str | None:
    """The first text in ``value``, keys included, that a terminal or a report would not show as it is."""
    match value:
        case str():
            return value if any(hides_something(line) for line in value.split("\n")) else None
        case dict():
            parts: list[Any] = [*value, *value.values()]
        case list():
            parts = value
        case _:
            return None
    return next((text for part in parts if (text := _hiding_text(part)) is not None), None)
