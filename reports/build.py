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
from flow_rag_vla.benchmark.scoring.arms import REFERENCE_ARM
from flow_rag_vla.benchmark.scoring.results import RunResults, Still, read_run, write_report_file
from flow_rag_vla.benchmark.scoring.statistics.verdict import DEFINITIONS, RULE
from flow_rag_vla.reports import figures, first_screen, payoff_figures, payoff_tables, tables, timing_tables, wording
from flow_rag_vla.reports.drawing.palette import DARK, LIGHT, css_variables
from flow_rag_vla.reports.drawing.svg import FONT, Drawing
from flow_rag_vla.reports.markdown import code_block, escape_markdown, markdown_table
from flow_rag_vla.reports.table import Table


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
        "payoff": payoff_figures.gain_against_harm(results),
        "prevalence": payoff_figures.net_gain_by_prevalence(results),
        "rounds": payoff_figures.success_by_round(results),
        "memory": payoff_figures.memory_by_round(results),
    }
    drawings = {name: drawing for name, drawing in drawings.items() if drawing is not None}
    for name, drawing in drawings.items():
        write_report_file(run_dir / run_files.FIGURES / f"{name}.svg", drawing.file_bytes())
    content = _content(results)
    page = environment(html=True).get_template("index.html.j2")
    html = page.render(
        **content,
        figures={name: Markup(drawing.inline(name)) for name, drawing in drawings.items()},
        pictures=[_Picture.inlined(run_dir, still) for still in results.stills],
        **look(),
    )
    markdown = (
        environment(html=False)
        .get_template("report.md.j2")
        .render(
            **content,
            figures={name: Alternative(f"figures/{name}.svg", drawing) for name, drawing in drawings.items()},
            pictures=[_Picture(f"figures/{still.file}", still.caption) for still in results.stills],
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
    def inlined(cls, run_dir: Path, still: Still) -> _Picture:
        data = base64.b64encode((run_dir / run_files.FIGURES / still.file).read_bytes()).decode()
        return cls(f"data:image/png;base64,{data}", still.caption)


class Alternative:
    """A figure as Markdown refers to it."""

    def __init__(self, source: str, drawing: Drawing) -> None:
        """``drawing`` lies at ``source``, seen from the page."""
        self.source, self.caption = source, drawing.title


def _content(results: RunResults) -> dict[str, Any]:
    summary = results.summary
    every_table = [
        tables.ablation(results), tables.first_exposure(results), tables.success(results),
        tables.comparisons(results), payoff_tables.hard_impacts(results),
        tables.repeats(results, Exposure.NEAR), tables.repeats(results, Exposure.EXACT),
        tables.reductions(results), payoff_tables.payoff(results), payoff_tables.corrections(results),
        payoff_tables.memory_adds(results), payoff_tables.memory_net(results),
        tables.loss_chain(results), tables.faults(results), tables.rounds(results),
        timing_tables.latency(results), timing_tables.fleet(results),
    ]  # fmt: skip
    optional = ("corrections", "hard-impacts", "loss-chain", "memory-adds", "memory-net", "rounds")
    by_name: dict[str, Table | None] = dict.fromkeys(optional)
    by_name |= {table.name: table for table in every_table if table is not None}
    return {
        "title": f"Flow-RAG-VLA: {summary.task}",
        "summary": summary,
        "reference": REFERENCE_ARM,
        "headline": first_screen.headline(results),
        "explanation": first_screen.explanation(results),
        "memory_adds": first_screen.memory_adds(results),
        "banners": first_screen.banners(results),
        "warnings": first_screen.warnings(results),
        "effects": first_screen.effects(results),
        "facts": first_screen.facts(results),
        "tiles": first_screen.tiles(results),
        "rule": RULE,
        "definitions": {wording.answer(answer): text for answer, text in DEFINITIONS.items()},
        "tables": by_name,
        "caveats": wording.caveats(results),
        "command": _text(results.manifest.get("rerun") or results.manifest.get("command")),
        "provenance": _provenance(results),
        "exposures": wording.EXPOSURES,
        "terms": wording.TERMS,
        "episodes": results.num_episodes,
    }


def _provenance(results: RunResults) -> list[tuple[str, str]]:
    rows = [("task", results.summary.task), ("physics", results.summary.physics)]
    rows += [("episode records", str(results.num_episodes))]
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


def look() -> dict[str, Markup]:
    """What the style sheet of a page asks for: colours and letters."""
    return {"light": Markup(css_variables(LIGHT)), "dark": Markup(css_variables(DARK)), "font": Markup(FONT)}


def environment(*, html: bool) -> Environment:
    """Where templates come from; without ``html`` they are Markdown, whose values are escaped as such."""
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=None if html else escape_markdown,
    )
    found.filters |= {"markdown_table": markdown_table, "code_block": code_block}
    return found
