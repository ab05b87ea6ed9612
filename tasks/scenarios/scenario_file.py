"""A user's own sites and faults, from a YAML file (``examples/warehouse.yaml`` shows one)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.tasks.catalogue.pick_place import TASK as DEFAULT_TASK
from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.contract import UnknownNameError
from flow_rag_vla.tasks.facts.colours import PALETTE
from flow_rag_vla.tasks.facts.layout import LANE_CENTRES_X_M
from flow_rag_vla.tasks.faults.registry import all_faults
from flow_rag_vla.tasks.scenarios.checked_yaml import parse_yaml, read_bytes
from flow_rag_vla.tasks.scenarios.fault_entry import make_fault
from flow_rag_vla.tasks.scenarios.scenario import Scenario
from flow_rag_vla.tasks.scenarios.scenario_schema import FaultEntry, FileEntry, SiteEntry, checked
from flow_rag_vla.tasks.scenarios.sites import Site

if TYPE_CHECKING:
    from flow_rag_vla.tasks.catalogue.task import Task
    from flow_rag_vla.tasks.faults.definition.fault import Fault

MOST_MISTAKES = 20
"""As many are told at once: whoever makes more has made one of them many times."""

NO_FAULT = Scenario.fault
"""What clean scenarios carry as their fault, and therefore no fault's name."""


@dataclass(frozen=True)
class ScenarioFile:
    """What a scenario file describes; it names no device and no number of environments."""

    content: bytes
    """As read: a run keeps a copy."""
    task: Task
    num_scenarios: int | None
    """None leaves the number to the benchmark."""
    faults: tuple[Fault, ...]
    """The user's own."""
    sites: tuple[Site, ...]
    site_names: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Hash of the file's bytes."""
        return hashlib.sha256(self.content).hexdigest()


def read_scenario_file(path: str | Path, task: str | None = None) -> ScenarioFile:
    """The sites and faults that the file at ``path`` describes.

    Args:
        path: A YAML file.
        task: Gym id or short name that the file must suit; None leaves the task to the file, or to the default.

    Raises:
        ValueError: one line for each mistake: file, place in it, what was got, what was expected or is available.
    """
    path = Path(path)
    content = read_bytes(path)
    mistakes: list[str] = []
    scenarios = _parsed(parse_yaml(content, path), content, task, mistakes)
    if scenarios is None or mistakes:
        raise ValueError("\n".join(f"{path}: {line}" for line in [*mistakes[:MOST_MISTAKES], *_left_out(mistakes)]))
    return scenarios


def _left_out(mistakes: Sequence[str]) -> list[str]:
    more = len(mistakes) - MOST_MISTAKES
    return [f"and {more} more mistakes"] if more > 0 else []


def site_seed(name: str) -> int:
    """The seed of a named site (31 bits of the name's sha256): it stays when other sites come and go."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) >> 1


def _parsed(data: Mapping, content: bytes, task_name: str | None, mistakes: list[str]) -> ScenarioFile | None:
    file = checked(FileEntry, data, "", mistakes)
    if file is None:
        # Go on with what is usable, so that all mistakes are told at once.
        faults, sites = ([*data[key]] if isinstance(data.get(key), list) else [] for key in ("faults", "sites"))
        named = data.get("task")
        file = FileEntry.model_construct(task=named if isinstance(named, str) else None, faults=faults, sites=sites)
    task = _task(file.task, task_name, mistakes)
    faults = _faults(file.faults, mistakes)
    if task is None:
        return None
    own = {name: fault for name, fault in faults.items() if fault is not None}
    sites, names = _sites(file.sites, task, faults, mistakes)
    if not mistakes:
        used = {name for site in sites for name in site.faults}
        mistakes += [
            f"faults[{i}]: fault {name!r} is at no site; put it under a site's colours, lanes or exogenous"
            for i, name in enumerate(own)
            if name not in used
        ]
    return ScenarioFile(content, task, file.num_scenarios, tuple(own.values()), tuple(sites), tuple(names))


def _task(in_file: str | None, asked_for: str | None, mistakes: list[str]) -> Task | None:
    try:
        chosen = get_task(in_file or asked_for or DEFAULT_TASK.name)
    except UnknownNameError as error:
        mistakes.append(f"task: {error}")
        return None
    if asked_for is not None and get_task(asked_for) is not chosen:
        mistakes.append(f"task: the file is about {chosen.slug}, but {get_task(asked_for).slug} was asked for")
        return None
    return chosen


def _faults(entries: Sequence[object], mistakes: list[str]) -> dict[str, Fault | None]:
    """Faults of the file by name; None for one with mistakes, so that its uses are not mistakes too."""
    entered = [checked(FaultEntry, value, f"faults[{i}]", mistakes) for i, value in enumerate(entries)]
    library = {fault.name for fault in all_faults()}
    written = [value.get("name") if isinstance(value, dict) else None for value in entries]
    faults: dict[str, Fault | None] = {name: None for name in written if isinstance(name, str)}
    for i, entry in enumerate(entered):
        if entry is None:
            continue
        place = f"faults[{i}]"
        if entry.name == NO_FAULT:
            mistakes.append(f"{place}.name: {NO_FAULT!r} stands for no fault; choose another name")
        elif entry.name in library:
            mistakes.append(f"{place}.name: {entry.name!r} is a fault of the library; choose another name")
        elif entry.name in written[:i]:
            mistakes.append(f"{place}.name: {entry.name!r} is already the name of faults[{written.index(entry.name)}]")
        else:
            faults[entry.name] = make_fault(entry, place, {*library, *faults}, mistakes)
    return faults


def _sites(
    entries: Sequence[object], task: Task, own: Mapping[str, Fault | None], mistakes: list[str]
) -> tuple[list[Site], list[str]]:
    """The sites without mistakes, and their names."""
    known = {**{fault.name: fault for fault in all_faults()}, **own}
    sites: list[Site] = []
    names: list[str] = []
    for i, value in enumerate(entries):
        entry = checked(SiteEntry, value, f"sites[{i}]", mistakes)
        if entry is None:
            continue
        if entry.name in names:
            mistakes.append(f"sites[{i}].name: {entry.name!r} is already the name of another site")
        names.append(entry.name)
        sites.append(_SiteBuilder(f"sites[{i}]", task, known, mistakes).build(entry))
    return sites, names


class _SiteBuilder:
    """Turns one entry into a site and notes what does not fit together."""

    def __init__(self, place: str, task: Task, known: Mapping[str, Fault | None], mistakes: list[str]) -> None:
        self._place, self._task, self._known, self._mistakes = place, task, known, mistakes
        self._held: dict[str, Fault] = {}

    def build(self, entry: SiteEntry) -> Site:
        colour_of: dict[str, str] = {}
        lane_of: dict[str, int] = {}
        all_lanes = range(len(LANE_CENTRES_X_M))
        for colour, name in entry.colours.items():
            place = f"colours.{colour}"
            if colour not in PALETTE:
                self._note(place, f"unknown colour {colour!r}; available: {', '.join(PALETTE)}")
            elif self._hold(name, place, "object"):
                colour_of[name] = colour
        for lane, name in entry.lanes.items():
            place = f"lanes.{lane}"
            if lane not in all_lanes:
                self._note(place, f"lane {lane} does not exist; there are lanes 0 to {all_lanes[-1]}")
            elif fault := self._hold(name, place, "region"):
                if fault.lanes and lane not in fault.lanes:
                    self._note(place, f"fault {name!r} may only be in lanes {', '.join(map(str, fault.lanes))}")
                lane_of[name] = lane
        for i, name in enumerate(entry.exogenous):
            self._hold(name, f"exogenous[{i}]", "none")
        plain_colours = tuple(colour for colour in PALETTE if colour not in entry.colours)
        plain_lanes = tuple(lane for lane in all_lanes if lane not in entry.lanes)
        if not plain_colours:
            self._note("colours", "no colour is left plain, expected at least one for clean scenarios")
        if not plain_lanes:
            self._note("lanes", "no lane is left plain, expected at least one for clean scenarios")
        if not (entry.colours or entry.lanes or entry.exogenous):
            self._mistakes.append(f"{self._place}: holds no fault, expected one in colours, lanes or exogenous")
        return Site(
            seed=site_seed(entry.name),
            task=self._task,
            faults=self._held,
            colour_of=colour_of,
            lane_of=lane_of,
            plain_colours=plain_colours,
            plain_lanes=plain_lanes,
        )

    def _note(self, place: str, text: str) -> None:
        self._mistakes.append(f"{self._place}.{place}: {text}")

    def _hold(self, name: str, place: str, cue: str) -> Fault | None:
        """The fault called ``name``, if it may have ``cue`` at this site."""
        if name not in self._known:
            self._note(place, f"unknown fault {name!r}; available: {', '.join(self._known)}")
            return None
        fault = self._known[name]
        if fault is None:
            return None
        if fault.cue != cue:
            where = {"object": "under colours", "region": "under lanes", "none": "in exogenous"}[fault.cue]
            self._note(place, f"fault {name!r} has the cue {fault.cue!r} and belongs {where}")
            return None
        if name in self._held:
            self._note(place, f"fault {name!r} is already at this site")
            return None
        if not fault.applies_to(self._task.slug):
            offered = ", ".join(f.name for f in self._known.values() if f and f.applies_to(self._task.slug))
            self._note(place, f"fault {name!r} is not offered by {self._task.slug}; available: {offered}")
            return None
        if not fault.objects_of(self._task.objects):
            objects = ", ".join(self._task.objects)
            self._note(place, f"fault {name!r} suits none of the objects of {self._task.slug} ({objects})")
            return None
        self._held[name] = fault
        return fault
