"""Builds a run's report: one HTML file that needs nothing else, and a Markdown twin with its figures."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.arms import HABIT_ARM, REFERENCE_ARM
from flow_rag_vla.benchmark.scoring.results import RunResults, notices, read_run, write_report_file
from flow_rag_vla.reports import figures, tables, timing_tables, wording
from flow_rag_vla.reports.markdown import code_block, escape_markdown, markdown_table
from flow_rag_vla.reports.palette import DARK, LIGHT, css_variables
from flow_rag_vla.reports.svg import FONT, Drawing
from flow_rag_vla.reports.table import Cell, Table, pointer


@dataclass(frozen=True)
class Tile:
    """One number of the verdict box."""

    label: str
    cell: Cell
    note: str = ""


def build_report(run_dir: Path) -> Path:
    """Write the report of a run directory and return the path of its HTML page.

    The same results give the same bytes.

    Raises:
        FileNotFoundError: the run has no summary or no manifest.
        ValueError: a result file is damaged.
    """
    results = read_run(run_dir)
    drawings = {
        "success": figures.success_forest(results),
        "repeats": figures.repeat_bars(results),
        "faults": figures.fault_heat_map(results),
    }
    for name, drawing in drawings.items():
        write_report_file(run_dir / run_files.FIGURES / f"{name}.svg", drawing.file_bytes())
    content = _content(results)
    page = _environment(html=True).get_template("index.html.j2")
    html = page.render(
        **content,
        figures={name: Markup(drawing.inline(name)) for name, drawing in drawings.items()},
        pictures=[_Picture.inlined(path) for path in results.pictures],
        light=Markup(css_variables(LIGHT)),
        dark=Markup(css_variables(DARK)),
        font=Markup(FONT),
    )
    markdown = (
        _environment(html=False)
        .get_template("report.md.j2")
        .render(
            **content,
            figures={name: _Alternative(f"figures/{name}.svg", drawing) for name, drawing in drawings.items()},
            pictures=[_Picture(f"figures/{path.name}", _caption(path)) for path in results.pictures],
        )
    )
    write_report_file(run_dir / run_files.REPORT_MARKDOWN, markdown.encode())
    path = run_dir / run_files.REPORT_HTML
    write_report_file(path, html.encode())
    return path


@dataclass(frozen=True)
class _Picture:
    source: str
    caption: str

    @classmethod
    def inlined(cls, path: Path) -> _Picture:
        data = base64.b64encode(path.read_bytes()).decode()
        return cls(f"data:image/png;base64,{data}", _caption(path))


class _Alternative:
    """A figure as Markdown refers to it."""

    def __init__(self, source: str, drawing: Drawing) -> None:
        self.source, self.caption = source, drawing.title


def _caption(path: Path) -> str:
    words = path.stem.replace("_", " ").replace("-", " ").strip()
    return words[:1].upper() + words[1:]


def _content(results: RunResults) -> dict[str, Any]:
    summary = results.summary
    every_table = [
        tables.ablation(results), tables.first_exposure(results), tables.success(results),
        tables.comparisons(results), tables.repeats(results, Exposure.NEAR), tables.repeats(results, Exposure.EXACT),
        tables.reductions(results), tables.loss_chain(results), tables.faults(results),
        tables.rounds(results), timing_tables.latency(results), timing_tables.fleet(results),
    ]  # fmt: skip
    by_name: dict[str, Table | None] = dict.fromkeys(("loss-chain", "rounds"))
    by_name |= {table.name: table for table in every_table if table is not None}
    return {
        "title": f"Flow-RAG-VLA: {summary.task}",
        "summary": summary,
        "reference": REFERENCE_ARM,
        "headline": wording.verdict_headline(summary.verdict, wording.verdict_subject(results)),
        "sentence": _sentence(results),
        "notices": notices(results.manifest),
        "tiles": _tiles(results),
        "tables": by_name,
        "caveats": wording.caveats(results),
        "command": _text(results.manifest.get("rerun") or results.manifest.get("command")),
        "provenance": _provenance(results),
        "exposures": wording.EXPOSURES,
        "terms": wording.TERMS,
        "episodes": len(results.episodes),
    }


def _sentence(results: RunResults) -> str:
    verdict = results.summary.verdict
    against = results.summary.arms[verdict.arm].vs_flow_only if verdict.arm else None
    if verdict.arm is None or against is None or against.success_diff is None:
        return (
            f"No pair of valid episodes of an arm and {REFERENCE_ARM} met the same scenario, so nothing can be said "
            "about the effect of a memory."
        )
    return (
        f"On displaced repetitions (NEAR), the success of {verdict.arm} differs from {REFERENCE_ARM}'s by "
        f"{wording.points(against.success_diff)}, 95 % interval {wording.interval(against.ci95, signed=True)}; "
        f"exact McNemar p {_equals(wording.p_value(against.mcnemar_p))}, {against.n_pairs} pairs."
    )


def _equals(p: str) -> str:
    return p if p.startswith("<") else f"= {p}"


def _tiles(results: RunResults) -> list[Tile]:
    verdict = results.summary.verdict
    physics = [Tile("Invalid episodes", Cell(str(verdict.invalid), pointer("summary", "verdict", "invalid")))]
    if (depth := results.summary.penetration) is not None:
        place = pointer("summary", "penetration", "deepest_mm")
        most = f"99.5 % of {depth.n} within {wording.number(depth.quantile_995_mm, 2)}"
        note = f"{most}; {depth.beyond} beyond {depth.bound_mm:g}"
        physics.append(Tile("Pads sunk in, deepest", Cell(f"{wording.number(depth.deepest_mm, 2)} mm", place), note))
    if verdict.arm is None:
        return physics
    arm, base = results.summary.arms[verdict.arm], ("summary", "arms", verdict.arm)
    against = arm.vs_flow_only
    if against is None:
        return physics
    tiles = [
        Tile(
            "Success, NEAR",
            Cell(wording.points(against.success_diff), pointer(*base, "vs_flow_only", "success_diff")),
            wording.interval(against.ci95, signed=True),
        ),
        Tile(
            "Repeat failures avoided",
            Cell(wording.percent(against.rfr_reduction), pointer(*base, "vs_flow_only", "rfr_reduction")),
            wording.interval(against.rfr_reduction_ci95),
        ),
        Tile(
            "Harm",
            Cell(wording.points(arm.harm.rate), pointer(*base, "harm", "rate")),
            wording.interval(arm.harm.ci95, signed=True),
        ),
        Tile(
            "Exact McNemar p",
            Cell(wording.p_value(against.mcnemar_p), pointer(*base, "vs_flow_only", "mcnemar_p")),
            f"{against.n_pairs} pairs",
        ),
        *physics,
    ]
    cautious = arm.vs_always_cautious
    if cautious is not None:
        place = pointer(*base, "vs_always_cautious", "success_diff")
        tiles.insert(
            1,
            Tile(
                f"Against {HABIT_ARM}",
                Cell(wording.points(cautious.success_diff), place),
                wording.interval(cautious.ci95, signed=True),
            ),
        )
    return tiles


def _provenance(results: RunResults) -> list[tuple[str, str]]:
    rows = [("task", results.summary.task), ("physics", results.summary.physics)]
    rows += [("episode records", str(len(results.episodes)))]
    skipped = {"command", "rerun"}
    for key in sorted(results.manifest.keys() - skipped):
        rows += _flatten(key, results.manifest[key])
    return rows


def _flatten(key: str, value: object) -> list[tuple[str, str]]:
    if isinstance(value, dict) and value:
        return [row for name in sorted(value) for row in _flatten(f"{key}.{name}", value[name])]
    return [(key, _text(value))]


def _text(value: object) -> str:
    if value is None:
        return "not recorded"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _environment(*, html: bool) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=None if html else escape_markdown,
    )
    environment.filters |= {"markdown_table": markdown_table, "code_block": code_block}
    return environment
