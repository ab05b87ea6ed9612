"""The page on memory sizes shows the runs' own numbers, says no more than they do, and is as readable as a report."""

from __future__ import annotations

import dataclasses
import re
import runpy
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pages import NO_NUMBER, Page, numbers_in, printed

from flow_rag_vla.benchmark.command.atomic_files import read_json_object
from flow_rag_vla.benchmark.policies.growth.memory_growth import Change, MemoryGrowth, Quantity, memory_growth
from flow_rag_vla.benchmark.policies.growth.sized_runs import read_sized_runs
from flow_rag_vla.benchmark.scoring.statistics import Interval
from flow_rag_vla.benchmark.scoring.statistics.prevalence import Estimate
from flow_rag_vla.benchmark.scoring.statistics.trend import Trend
from flow_rag_vla.reports.memory_growth import build_growth_page, sentence, sizes

Writer = Callable[..., Path]
SVG = "{http://www.w3.org/2000/svg}"
SCRIPT = Path(__file__).parents[2] / "scripts/compare_memory_sizes.py"
RATES = {"flow_only": 0.12, "sequential": 0.6, "parallel": 0.64}


@dataclasses.dataclass(frozen=True)
class Compared:
    """Three runs, of which the largest played CLEAN and CONTROL alone, and what the command made of them."""

    runs: Mapping[str, Path]
    """By number of scenarios."""
    folder: Path
    json: Path
    said: str

    @property
    def html(self) -> str:
        return (self.folder / "index.html").read_text()

    @property
    def markdown(self) -> str:
        return (self.folder / "report.md").read_text()

    def value_at(self, source: str) -> object:
        name, *keys = source.split("/")
        value: Any = read_json_object(self.json)
        if name != "growth":
            assert keys.pop(0) == "summary"
            value = read_json_object(self.runs[name] / "summary.json")
        for key in keys:
            value = None if value is None else value[int(key)] if isinstance(value, list) else value[key]
        return value


@pytest.fixture(scope="module")
def compared(
    tmp_path_factory: pytest.TempPathFactory, make_records: Callable[..., list], synthetic_run: Writer
) -> Compared:
    folder = tmp_path_factory.mktemp("sizes")
    runs = {}
    for n in (56, 140, 280):
        records = make_records(num_scenarios=n, fix_rate=RATES, invalid=0.0, seed=n)
        if n == 280:
            records = [r for r in records if r.exposure in ("e1", "clean", "control")]
        runs[str(n)] = synthetic_run(folder / f"run{n}", records)
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.print", lambda *words, sep=" ", **_: said.append(sep.join(map(str, words))))
        arguments = [*runs.values(), "--out", folder / "page", "--json", folder / "growth.json"]
        assert runpy.run_path(str(SCRIPT))["main"]([str(word) for word in arguments]) == 0
    return Compared(runs, folder / "page", folder / "growth.json", "\n".join(said))


def test_every_number_on_the_page_is_in_a_runs_summary_or_computed_of_those(compared: Compared):
    sourced = Page(compared.html).sourced
    assert sum(not source.startswith("growth") for source, _ in sourced) > 60
    for source, text in sourced:
        if text in NO_NUMBER or source.startswith(("growth/runs", "growth/commits")):
            continue
        allowed = {form for value in numbers_in(compared.value_at(source)) for form in printed(value)}
        for shown in re.findall(r"[+-]?\d+(?:\.\d+)?", text.replace("\N{MINUS SIGN}", "-")):
            assert shown.lstrip("+") in allowed or f"-{shown}" in allowed, (source, text)


def test_no_cell_shows_a_number_without_a_source(compared: Compared):
    unsourced = [text for text in Page(compared.html).unsourced if re.search(r"\d", text)]
    assert {text for text in unsourced if text not in ("E1", "EXACT, CLEAN")} <= {
        f"changes by at most {most:g} points" for most in (5, 100 * growth_of(compared).max_harm)
    }


def test_what_was_not_played_is_a_dash(compared: Compared):
    cells = {(row.name, row.cells[0].text): row.cells for row in sizes(growth_of(compared)).rows}
    success, gain, repeated, substituted, harm = (cells["280", "parallel"][i].text for i in (3, 4, 5, 6, 7))
    assert (success, gain, repeated, substituted) == ("\N{EN DASH}",) * 4
    assert harm.endswith(" pp")
    assert "\N{EN DASH}" not in [cell.text for cell in cells["140", "parallel"]]


def growth_of(compared: Compared) -> MemoryGrowth:
    return memory_growth(read_sized_runs(list(compared.runs.values())))


def test_the_command_prints_the_answer_the_table_and_last_the_pages_path(compared: Compared):
    lines = compared.said.splitlines()
    assert lines[0] == sentence(growth_of(compared))
    assert lines[-1] == str(compared.folder / "index.html")
    header, _, *rows = [line for line in lines if line.startswith("|")]
    assert [row.split("|")[1].strip() for row in rows] == ["56"] * 3 + ["140"] * 3 + ["280"] * 3
    assert header in compared.markdown
    assert lines[0].replace("_", "\\_") in compared.markdown.replace("_", "\\_")


def test_the_page_needs_nothing_but_itself_and_its_links_lead_somewhere(compared: Compared):
    tags = Page(compared.html).tags
    assert "default-src 'none'" in compared.html
    assert not {tag for tag, _ in tags} & {"script", "link", "iframe", "object", "embed"}
    names = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(names) == len(set(names))
    targets = {(a["href"] or "#")[1:] for tag, a in tags if tag == "a"}
    assert targets | {i for _, a in tags for i in (a.get("aria-labelledby") or "").split()} <= set(names)


def test_tables_and_figures_are_named_for_screen_readers(compared: Compared):
    tags = Page(compared.html).tags
    kinds = [tag for tag, _ in tags]
    assert kinds.count("caption") == kinds.count("table") == 3
    assert kinds.count("h1") == 1
    assert compared.html.count('role="img" aria-labelledby=') == kinds.count("svg") == 2
    assert all(a.get("scope") for tag, a in tags if tag == "th")
    assert compared.html.count('class="scroll" tabindex="0" role="region" aria-label=') == 5


def test_figures_hold_their_texts_and_the_markdown_twin_refers_to_them(compared: Compared):
    targets = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", compared.markdown)
    assert targets == ["figures/scenarios.svg", "figures/cases.svg"]
    for target in targets:
        figure = ET.parse(compared.folder / target).getroot()
        _, _, width, height = map(float, figure.attrib["viewBox"].split())
        texts = [(text.text, float(text.attrib["x"]), float(text.attrib["y"])) for text in figure.iter(f"{SVG}text")]
        assert all(0 <= x <= width and 0 <= y <= height for _, x, y in texts)
        assert len([text for text, *_ in texts if text == "parallel"]) == 5
    scenarios = ET.parse(compared.folder / targets[0]).getroot()
    places = {t.text: float(t.attrib["x"]) for t in scenarios.iter(f"{SVG}text") if t.text in compared.runs}
    # 56, 140, 280: by factors 2.5 and 2.
    assert (places["140"] - places["56"]) / (places["280"] - places["140"]) == pytest.approx(1.3219, abs=1e-3)


def test_the_same_runs_give_the_same_bytes(compared: Compared, tmp_path: Path):
    runs = read_sized_runs(list(compared.runs.values()))
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        build_growth_page(memory_growth(runs), [run.results for run in runs], folder, "the command")
    files = sorted(path.relative_to(folders[0]) for path in folders[0].rglob("*") if path.is_file())
    assert len(files) == 4
    assert all((folders[0] / file).read_bytes() == (folders[1] / file).read_bytes() for file in files)


def changed(trend: Trend, low: float, high: float) -> Change:
    value = Estimate((low + high) / 2, (low, high))
    return Change(512, 4096, value, value, trend, 0.05)


RISES, FALLS = changed(Trend.RISES, 0.01, 0.03), changed(Trend.FALLS, -0.09, -0.01)
LEVEL, UNKNOWN = changed(Trend.LEVEL, -0.02, 0.02), changed(Trend.UNKNOWN, -0.08, 0.02)


@pytest.mark.parametrize(
    ("gain", "harm", "words", "colour"),
    [
        (FALLS, RISES, "Gain falls; harm rises", "harms"),
        (LEVEL, RISES, "Gain changes by at most 5 points; harm rises", "harms"),
        (RISES, LEVEL, "Gain rises; harm changes by at most 5 points", "helps"),
        (
            UNKNOWN,
            LEVEL,
            "The interval does not tell whether gain falls; harm changes by at most 5",
            "undetermined",
        ),
        (LEVEL, UNKNOWN, "the interval does not tell whether harm rises", "undetermined"),
        (None, LEVEL, "Gain was measured at fewer than two sizes; harm changes by at most 5", "undetermined"),
    ],
)
def test_the_answer_says_what_intervals_say(
    gain: Change | None, harm: Change, words: str, colour: str, compared: Compared, tmp_path: Path
):
    runs = read_sized_runs(list(compared.runs.values()))
    known = {Quantity.GAIN: gain, Quantity.HARM: harm}
    changes = {"parallel": {quantity: change for quantity, change in known.items() if change is not None}}
    growth = at_largest(dataclasses.replace(memory_growth(runs), changes=changes), (0.2, 0.3), (-0.01, 0.04), 0.05)
    html = build_growth_page(growth, [run.results for run in runs], tmp_path, "").read_text()
    assert f'class="verdict {colour}"' in html
    assert words in html[html.index('id="answer-title"') : html.index("</h2>")]


def at_largest(growth: MemoryGrowth, gain: Interval | None, harm: Interval, max_harm: float) -> MemoryGrowth:
    """``growth`` with these intervals of the main arm's gain and harm in the largest run."""
    *smaller, last = growth.arms["parallel"]
    ends = {"gain": gain and Estimate(sum(gain) / 2, gain), "harm": Estimate(sum(harm) / 2, harm)}
    own = dataclasses.replace(last, **ends, harm_mcnemar_p=0.01)
    return dataclasses.replace(growth, arms=growth.arms | {"parallel": [*smaller, own]}, max_harm=max_harm)


@pytest.mark.parametrize(
    ("gain", "harm", "max_harm", "colour", "said"),
    [
        ((0.2, 0.3), (0.01, 0.02), 0.02, "helps", ", within the 2 points allowed)."),
        ((0.2, 0.3), (0.01, 0.04), 0.02, "undetermined", ", not known to be within the 2 points allowed)."),
        ((0.2, 0.3), (0.03, 0.04), 0.02, "undetermined", ", beyond the 2 points allowed)."),
        ((0.0, 0.3), (0.01, 0.02), 0.02, "undetermined", ", within the 2 points allowed)."),
        (None, (0.01, 0.02), 0.02, "undetermined", ", within the 2 points allowed)."),
    ],
)
def test_what_stays_level_helps_only_where_the_largest_run_helps(
    gain: Interval | None,
    harm: Interval,
    max_harm: float,
    colour: str,
    said: str,
    compared: Compared,
    tmp_path: Path,
):
    runs = read_sized_runs(list(compared.runs.values()))
    growth = dataclasses.replace(
        memory_growth(runs), changes={"parallel": {Quantity.GAIN: LEVEL, Quantity.HARM: LEVEL}}
    )
    growth = at_largest(growth, gain, harm, max_harm)
    html = build_growth_page(growth, [run.results for run in runs], tmp_path, "").read_text()
    assert f'class="verdict {colour}"' in html
    assert sentence(growth).endswith(said)


def test_the_sentence_has_the_changes_with_their_intervals_and_sizes(compared: Compared):
    growth = dataclasses.replace(
        growth_of(compared), changes={"parallel": {Quantity.GAIN: FALLS, Quantity.HARM: LEVEL}}
    )
    said = sentence(growth).replace("\N{MINUS SIGN}", "-")
    assert "gain falls (-5.00 pp [-9.00, -1.00] per doubling from 512 to 4096 scenarios; at 140 it is +" in said
    assert "harm changes by at most 5 points (0.00 pp [-2.00, +2.00] per doubling from 512 to 4096" in said
    (harm,) = (row.cells[7] for row in sizes(growth).rows if (row.name, row.cells[0].text) == ("280", "parallel"))
    assert f"at 280 it is {harm.text} {harm.note.split(' · ')[0]}" in sentence(growth)


def test_what_makes_the_numbers_no_result_is_on_the_page(make_run: Writer, tmp_path: Path):
    runs = [
        make_run(f"run{n}", num_scenarios=n, fix_rate=RATES, manifest={"settings": {"split": "development"}})
        for n in (28, 56)
    ]
    sized = read_sized_runs(runs)
    html = build_growth_page(memory_growth(sized), [run.results for run in sized], tmp_path / "page", "").read_text()
    for n in (28, 56):
        assert f'<p class="banner">{n} scenarios: Development seeds' in html
