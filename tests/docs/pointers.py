"""Finds pointers that lead nowhere: links with their anchors, paths, commands with their flags."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
FOLDERS = ("tasks", "agents", "memory", "benchmark", "reports", "scripts", "tests", "docker")
PAGES = sorted(path for path in CHECKOUT.glob("*.md")) + sorted(
    path for folder in FOLDERS for path in (CHECKOUT / folder).rglob("*.md")
)
SOURCES = sorted(
    path
    for pattern in ("*.py", "*.sh", "*.yaml", "*.toml", "*.j2", "Dockerfile", "run")
    for folder in (*FOLDERS, ".ci")
    for path in (CHECKOUT / folder).rglob(pattern)
    if path.is_file() and path.parent != Path(__file__).parent
) + [CHECKOUT / name for name in ("setup.py", "pyproject.toml", "isaaclab.sh", ".pre-commit-config.yaml")]

WRITTEN = {"outputs", "runs", "logs", "demonstrations", "failures"}
"""Folders that commands write and git ignores."""
MADE_UP = {"tasks/faults/library/gust.py", "scripts/toy.py"}
"""Examples of what a reader may add, and a test's."""
IN_RUNS = {"report.md", "failures.sqlite"}
"""Files of a run directory."""
OTHERS_FLAGS = {"--help", "--video"}
"""Of every script, and of Isaac Lab."""
NAMES = {path.name for path in (*PAGES, *SOURCES)} | {Path(path).name for path in IN_RUNS | MADE_UP}

LINK = re.compile(r"\]\(\s*<?([^)\s>]+)|^\s*\[[^\]]+\]:\s*(\S+)|\b(?:src|href)=\"([^\"]+)\"", re.MULTILINE)
SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
FENCE = re.compile(r"^\s*(```|~~~)")
PATH = re.compile(rf"(?<![\w./$<>{{}}:~-])(?:\./)?((?:{'|'.join(FOLDERS)})/[\w./*-]*)([$<{{])?")
RELATIVE = re.compile(r"(?<![\w./$<>{}:~*-])([\w-]+(?:/[\w-]+)*\.(?:py|sh))(?![\w/])")
PYTHON_NAME = re.compile(r"(?<![\w./{}*-])(\w+\.py)\b")
PAGE_NAME = re.compile(r"(?<![\w./{}-])([\w-]+\.md)\b")
COMMAND = re.compile(r"(?<![\w.-])((?:scripts|tests/perf|tests/faults)/\w+\.py)\b([^`'\"#;|\n]*)")
FLAG = re.compile(r"(?<![\w-])--[A-Za-z][\w-]*")
KEY = re.compile(r"(?<=\s)([a-z]\w*(?:\.\w+)*)=")
DOTTED = re.compile(r"\bflow_rag_vla\.(?!py\b)(\w+(?:\.\w+)*)")
ROOM = re.compile(r"^\|[^|]*`(\w+)/`[^|]*\|(.*)")


@dataclass(frozen=True)
class House:
    """A checkout, the flags of its scripts by their paths, and the fields of those that take ``key=value``.

    A script that is not listed is read instead.
    """

    root: Path
    flags: Mapping[str, set[str]] = field(default_factory=dict)
    settings: Mapping[str, set[str]] = field(default_factory=dict)

    def knows(self, script: str, flag: str) -> bool:
        """Whether ``script`` has ``flag``."""
        known = self.flags.get(script)
        text = "" if known is not None else (self.root / script).read_text(encoding="utf-8")
        return flag in {"--help"} or (f'"{flag}"' in text if known is None else flag in known)

    @functools.cached_property
    def flags_of_any(self) -> set[str]:
        """Flags that need no script beside them."""
        return OTHERS_FLAGS.union(*self.flags.values())


@functools.cache
def is_installed(root: Path, dotted: str) -> bool:
    """Whether the checkout has a module, or a name in a module, that is installed as ``flow_rag_vla.<dotted>``."""
    parts, place = dotted.split("."), root
    while parts and ((place / parts[0]).is_dir() or (place / f"{parts[0]}.py").is_file()):
        place = place / parts.pop(0)
    if not parts or parts[0].startswith("__"):
        return True
    module = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    return module.is_file() and bool(re.search(rf"\b{parts[0]}\b", module.read_text(encoding="utf-8")))


# ---- what a page says ----------------------------------------------------------------------------------------------


def lines_of(text: str) -> Iterator[tuple[int, str, bool]]:
    """Number, text and whether it is code of every line; a line that ends in a backslash goes on."""
    fenced, held, begun = False, "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        if FENCE.match(line):
            fenced = not fenced
            continue
        begun = begun or number
        if line.endswith("\\"):
            held += line[:-1]
            continue
        yield begun, held + line, fenced or (held + line).startswith("    ")
        held, begun = "", 0
    if held:
        yield begun, held, fenced


def prose_of(text: str) -> str:
    """The page without its code."""
    return "\n".join(SPAN.sub("", line) for _, line, is_code in lines_of(text) if not is_code)


def anchors_of(text: str) -> set[str]:
    """Anchors that GitHub gives the headings: small letters, punctuation dropped, hyphens for spaces, then numbers."""
    anchors: Counter[str] = Counter()
    found = set()
    for _, line, is_code in lines_of(text):
        if not is_code and (heading := re.match(r"#{1,6}\s+(.*?)\s*#*$", line)):
            plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
            found.add(f"{slug}-{anchors[slug]}" if anchors[slug] else slug)
            anchors[slug] += 1
    return found


# ---- what is wrong with it -----------------------------------------------------------------------------------------


def broken_links(page: Path, house: House) -> Iterator[str]:
    """Links that lead nowhere, out of the checkout, or to what only a command writes."""
    for groups in LINK.findall(prose_of(page.read_text(encoding="utf-8"))):
        link = next(filter(None, groups))
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target, root = (page.parent / name).resolve() if name else page, house.root.resolve()
        if not target.exists():
            yield f"link {link!r}: no such file"
        elif not target.is_relative_to(root) or WRITTEN & set(target.relative_to(root).parts[:1]):
            yield f"link {link!r}: is not in the checkout"
        elif anchor and anchor not in anchors_of(target.read_text(encoding="utf-8")):
            yield f"link {link!r}: no such heading"


def missing_paths(text: str, house: House) -> Iterator[str]:
    """Paths from the checkout's root that do not exist; those with a placeholder in them are no paths."""
    for path, placeholder in PATH.findall(text):
        name = path.rstrip(".-")
        if placeholder or name in MADE_UP | IN_RUNS or re.search(r"(^|[/_.])[A-Z]+(_[A-Z]+)*$", name.removesuffix("/")):
            continue
        exists = any(house.root.glob(name)) if "*" in name else (house.root / name).exists()
        if not exists:
            yield f"{name}: no such path"


def wrong_commands(text: str, house: House) -> Iterator[str]:
    """Scripts that do not exist, and flags and settings that they do not have."""
    for script, arguments in COMMAND.findall(text):
        if not (house.root / script).is_file():
            yield from () if script in MADE_UP else (f"{script}: no such script",)
            continue
        yield from (f"{script}: has no {flag}" for flag in FLAG.findall(arguments) if not house.knows(script, flag))
        if known := house.settings.get(script):
            yield from (
                f"{script}: has no setting {key}"
                for key in KEY.findall(arguments)
                if not known.issuperset(key.split("."))
            )


def unknown_names(text: str, house: House) -> Iterator[str]:
    """Installed names that no module has."""
    unknown = (name for name in DOTTED.findall(text) if not is_installed(house.root, name))
    yield from (f"flow_rag_vla.{name}: no such module or name" for name in unknown)


def page_mistakes(page: Path, house: House) -> list[str]:
    """Everything that ``page`` points at and that does not exist."""
    text = page.read_text(encoding="utf-8")
    mistakes = list(broken_links(page, house))
    for number, line, is_code in lines_of(text):
        spans = [line] if is_code else [span for _, span in SPAN.findall(line)]
        found: list[str] = []
        for span in spans:
            found += [*missing_paths(span, house), *wrong_commands(span, house), *unknown_names(span, house)]
            names = [] if is_code else [name for name in RELATIVE.findall(span) if not PATH.match(name)]
            places = (page.parent, house.root, house.root / "scripts")
            found += [f"{name}: no such file" for name in names if not any((p / name).exists() for p in places)]
            if FLAG.match(span) and (flag := FLAG.findall(span)[0]) not in house.flags_of_any:
                found.append(f"{flag}: no script has it")
        if (row := ROOM.match(line)) and page.parent != house.root and (room := page.parent / row[1]).is_dir():
            found += [
                f"{row[1]}/ has no {name}"
                for _, name in SPAN.findall(row[2])
                if re.fullmatch(r"[a-z]\w*/?", name) and not ((room / name).is_dir() or (room / f"{name}.py").is_file())
            ]
        mistakes += [f"line {number}: {mistake}" for mistake in dict.fromkeys(found)]
    return mistakes


def source_mistakes(source: Path, house: House) -> list[str]:
    """Paths, commands, pages and names in comments, docstrings and messages that do not exist."""
    mistakes, is_test = [], source.is_relative_to(house.root / "tests")
    for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), start=1):
        if not ("/" in line or ".md" in line or ".py" in line or "flow_rag_vla." in line):
            continue
        found = [*missing_paths(line, house), *wrong_commands(line, house), *unknown_names(line, house)]
        if not is_test:  # tests make their own files
            names = [*PAGE_NAME.findall(line), *PYTHON_NAME.findall(line)]
            found += [f"{name}: nothing is called so" for name in names if name not in NAMES]
        mistakes += [f"line {number}: {mistake}" for mistake in found]
    return mistakes
