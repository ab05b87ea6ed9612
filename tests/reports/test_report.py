"""The report shows the results as they are, to anyone, everywhere, in the same bytes."""

from __future__ import annotations

import dataclasses
import functools
import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from html import escape
from pathlib import Path

import pytest
from pages import NO_NUMBER, Page, numbers_in, printed

from flow_rag_vla.benchmark.command.atomic_files import read_json_object
from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.scoring.results import Still, Stills, read_run
from flow_rag_vla.benchmark.scoring.statistics.verdict import DEFINITIONS, RULE, Answer, Gain, Harmfulness, Limit
from flow_rag_vla.benchmark.scoring.summary import Summary
from flow_rag_vla.reports import tables, wording
from flow_rag_vla.reports.build import build_report
from flow_rag_vla.reports.table import pointer

Writer = Callable[..., Path]
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060"
    "0000000500017a5eab3f0000000049454e44ae426082"
)


def tables_of(html: str, name: str) -> str:
    start = html.index(f'id="table-{name}"')
    return html[start : html.index("</table>", start)]


def html_of(run_dir: Path) -> str:
    return build_report(run_dir).read_text(encoding="utf-8")


@functools.cache
def content(path: Path) -> object:
    return read_json_object(path)


def value_at(run_dir: Path, source: str) -> object:
    name, *keys = (key.replace("~1", "/").replace("~0", "~") for key in source.split("/"))
    value: object = content(run_dir / f"{name}.json")
    for key in keys:
        if value is None:
            return None
        value = value[int(key)] if isinstance(value, list) else value[key]  # type: ignore[index]
    return value


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """One run of two rounds with a picture, shared by the tests that only read it."""
    conftest = request.getfixturevalue("synthetic")
    run = conftest(tmp_path_factory.mktemp("shared") / "run")
    picture = run / "report/figures/still-repeated.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(PIXEL)
    picture.with_name("scene-beam.png").write_bytes(PIXEL)  # an earlier version's, of no episode of this run
    Stills([Still(picture.name, "flow_only fails again: post, collision in carry.")]).write(run)
    return run


@pytest.fixture(scope="module")
def html(run_dir: Path) -> str:
    return html_of(run_dir)


def test_every_number_on_the_page_is_in_the_results(run_dir: Path, html: str):
    page = Page(html)
    assert len(page.sourced) > 500
    for source, text in page.sourced:
        if text in NO_NUMBER:
            continue
        known = list(numbers_in(value_at(run_dir, source)))
        allowed = {form for value in known for form in printed(value)}
        if "< 0.001" in text:
            assert min(known) < 0.001, (source, text)
            text = text.replace("< 0.001", "")
        for shown in re.findall(r"[+-]?\d+(?:\.\d+)?", text.replace("\N{MINUS SIGN}", "-")):
            assert shown.lstrip("+") in allowed or f"-{shown}" in allowed, (source, text, known)


def test_what_has_no_number_is_null_in_the_results(run_dir: Path, html: str):
    for source, text in Page(html).sourced:
        if text in ("not measured", "not enough data"):
            value = value_at(run_dir, source)
            assert value is None or not any(numbers_in(value)), (source, value)


def test_no_table_cell_shows_a_number_without_a_source(html: str):
    facts = html.index('class="facts"')
    assert not [text for text in Page(html[:facts]).unsourced if re.search(r"\d", text) and text != "E1"]


def test_the_ablation_table_has_the_expectations_of_the_guide(run_dir: Path):
    frame = tables.ablation(read_run(run_dir)).frame()
    guide = frame[[column for column in frame.columns if column.endswith("guide")]]
    assert guide.loc["flow_only"].tolist() == ["20", "85 %", "500 model"]
    assert guide.loc["rag_only"].tolist() == ["100", "75 %", "100 database"]
    assert guide.loc["sequential"].tolist() == ["120", "88 %", "600 both"]
    assert guide.loc["parallel"].tolist() == ["25", "92 %", "600 both"]


def test_the_same_results_give_the_same_bytes(run_dir: Path, tmp_path: Path):
    copy = tmp_path / "elsewhere"
    build_report(run_dir)
    shutil.copytree(run_dir, copy)
    for file in ("index.html", "report.md", "figures/success.svg"):
        (copy / "report" / file).unlink()
    build_report(copy)
    files = sorted(p.relative_to(run_dir) for p in (run_dir / "report").rglob("*") if p.is_file())
    assert len(files) == 12
    for file in files:
        assert (copy / file).read_bytes() == (run_dir / file).read_bytes(), file


def test_the_page_needs_nothing_but_itself(html: str):
    page = Page(html)
    assert "default-src 'none'" in html
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed"}
    for tag, attributes in page.tags:
        for name in ("src", "href"):
            target = attributes.get(name) or "#"
            assert target.startswith(("#", "data:image/png;base64,")), (tag, target)
    assert "url(" not in html
    assert html.count("http") == html.count("http://www.w3.org/2000/svg") + html.count("http-equiv")


def test_links_within_the_page_lead_somewhere(html: str):
    tags = Page(html).tags
    names = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(names) == len(set(names))
    targets = {(a["href"] or "")[1:] for tag, a in tags if tag == "a"}
    targets |= {i for _, a in tags for i in (a.get("aria-labelledby") or "").split()}
    assert targets <= set(names)


def test_only_stills_of_this_runs_episodes_are_shown(run_dir: Path, html: str):
    assert html.count("<img") == 1
    assert "<figcaption>flow_only fails again: post, collision in carry.</figcaption>" in html
    assert "scene-beam" not in (run_dir / "report/report.md").read_text()


def test_tables_and_figures_are_named_for_screen_readers(html: str):
    tags = [tag for tag, _ in Page(html).tags]
    assert tags.count("caption") == tags.count("table") > 8
    assert tags.count("h1") == 1
    assert all(a.get("alt") for tag, a in Page(html).tags if tag == "img")
    assert html.count('role="img" aria-labelledby=') == 7
    assert all(a.get("scope") for tag, a in Page(html).tags if tag == "th" and a.get("class") != "group" and a)


def test_the_page_serves_dark_light_print_and_narrow_screens(html: str):
    for feature in ("prefers-color-scheme:dark", "@media print", "width=device-width", "overflow-x:auto"):
        assert feature in html


def test_figures_are_well_formed_files_with_both_colour_schemes(run_dir: Path):
    build_report(run_dir)
    for name in ("success", "repeats", "faults", "payoff", "prevalence", "rounds", "memory"):
        path = run_dir / f"report/figures/{name}.svg"
        assert ET.parse(path).getroot().tag.endswith("svg")
        assert "prefers-color-scheme:dark" in path.read_text()


def test_the_markdown_twin_refers_to_files_that_exist(run_dir: Path):
    build_report(run_dir)
    text = (run_dir / "report/report.md").read_text()
    targets = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert len(targets) == 8
    assert all((run_dir / "report" / target).is_file() for target in targets)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table


@pytest.mark.parametrize("arm", ["<img onerror=alert(1)>", "a|b", "`x` [l](http://e) **b**", "a/b~c&d"])
def test_a_hostile_arm_name_is_shown_as_text(arm: str, make_run: Writer):
    run = make_run(num_scenarios=21, fix_rate={"flow_only": 0.1, arm: 0.6})
    html = html_of(run)
    page = Page(html)
    assert "<img" not in html
    assert [text for source, text in page.sourced if pointer("summary", "arms", arm) in source]
    markdown = (run / "report/report.md").read_text()
    assert "<img" not in markdown
    assert not re.search(r"(?<!\\)\]\(http", markdown)
    assert "**b**" not in markdown
    for table in re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    for name in ("success", "repeats", "faults", "payoff", "prevalence"):
        ET.parse(run / f"report/figures/{name}.svg")


def test_a_hostile_manifest_is_shown_as_text(make_run: Writer):
    manifest = {"command": "run ```\n<script>x</script>", "versions": {"<b>": "a|b"}, "code": None}
    html = html_of(make_run(num_scenarios=14, manifest=manifest))
    assert "<script" not in html
    assert "<b>" not in html


@pytest.mark.parametrize(
    "changes",
    [{"records": []}, {"num_scenarios": 21, "invalid": 1.0}, {"num_scenarios": 14, "fix_rate": {"flow_only": 0.2}}],
)
def test_a_run_without_comparable_episodes_says_so(changes: dict, make_run: Writer):
    html = html_of(make_run(**changes))
    assert "Undetermined: nothing could be compared" in html
    assert "not enough data" in html
    assert ">None<" not in html
    assert not re.search(r"\bnan\b", html)


def test_the_first_screen_says_how_deep_the_pads_sank(make_run: Writer):
    run = make_run(num_scenarios=14)
    for page in (html_of(run), (run / "report/report.md").read_text()):
        first_screen = page.split("Ablation")[0]
        assert "Pads sunk in, deepest" in first_screen
        assert "0.44 mm" in first_screen
        assert "0 beyond 2" in first_screen
    assert "Pads sunk in" not in html_of(make_run("old", num_scenarios=14, penetration_mm=None))


def test_hard_impacts_are_on_the_first_screen_and_in_a_table(make_run: Writer, make_records: Callable):
    records = make_records(num_scenarios=70)
    struck = [
        dataclasses.replace(r, peak_grip_force_n=752.4)
        if (r.arm, r.exposure, r.outcome) == ("parallel", Exposure.NEAR, "success") and r.base_scenario_id < "s3"
        else r
        for r in records
    ]
    run = make_run(records=struck)
    hard = Summary.read(run).arms["parallel"].hard_impacts
    assert hard is not None
    assert hard.beyond.k > 0
    for screen in first_screens(run):
        assert "Gain within 100 N" in screen
        assert f"{hard.beyond.k}/{hard.beyond.n}, do not count" in screen
        assert wording.points(hard.success_diff) in screen
    table = tables_of(html_of(run), "hard-impacts")
    assert f">{hard.beyond.k}/{hard.beyond.n}<" in table
    assert ">752<" in table
    assert table.count(">reference<") == 2
    assert "Hard impacts: successes on NEAR" in (run / "report/report.md").read_text()
    exact = [r for r in records if r.exposure in ("e1", "exact")]
    assert "hard-impacts" not in html_of(make_run("exact", records=exact))


def test_an_arm_without_pairs_is_not_called_the_reference_of_hard_impacts(make_run: Writer, make_records: Callable):
    records = [
        dataclasses.replace(r, outcome="invalid", failure_type=None, failure_phase=None)
        if (r.arm, r.exposure) == ("flow_only", Exposure.NEAR)
        else r
        for r in make_records(num_scenarios=21)
    ]
    table = tables_of(html_of(make_run(records=records)), "hard-impacts")
    assert table.count(">reference<") == 2
    assert ">not enough data<" in table


UNCERTIFIED = {"physics": "newton_mjwarp", "uncertified_faults": ["beam", "post"]}


@pytest.mark.parametrize(
    ("manifest", "notice"),
    [
        ({**UNCERTIFIED, "certified_physics": None}, "No certificate on newton_mjwarp"),
        ({**UNCERTIFIED, "certified_physics": "newton_mjwarp"}, "Not certified: nothing shows"),
        ({**UNCERTIFIED, "uncertified_faults": []}, None),
    ],
)
def test_the_first_screen_says_what_is_not_certified(manifest: dict, notice: str | None, make_run: Writer):
    run = make_run(num_scenarios=14, manifest=manifest)
    for page in (html_of(run), (run / "report/report.md").read_text()):
        first_screen = page.split("Ablation")[0]
        assert ("beam, post" in first_screen) == (notice is not None)
        assert notice is None or notice in first_screen


@pytest.mark.parametrize("differs", [True, False])
def test_the_first_screen_says_where_another_run_would_give_other_numbers(differs: bool, make_run: Writer):
    run = make_run(num_scenarios=14, manifest={"reproducible": "no, not bit for bit: by chance"} if differs else {})
    for page in (html_of(run), (run / "report/report.md").read_text()):
        assert ("Reproducible: no, not bit for bit: by chance" in page.split("Ablation")[0]) is differs


def test_a_run_that_was_not_timed_says_so(make_run: Writer):
    html = html_of(make_run(num_scenarios=14, timing=False))
    assert "not measured" in html
    assert "Latency was not measured in this run." in html


POSSIBLE_LIMITS = {
    Harmfulness.BOUNDED: (Limit.KEPT, Limit.UNKNOWN),
    Harmfulness.SHOWN: tuple(Limit),
    Harmfulness.UNKNOWN: (Limit.UNKNOWN,),
}
"""Of 3.5 points, which is within the margin: what is kept is bounded or shown, what is exceeded is shown."""


@pytest.mark.parametrize(
    ("answer", "gain", "harm", "words"),
    [
        ("helps", "more", "bounded", "Memory helps"),
        ("helps_but_harms", "more", "shown", "Memory helps but harms"),
        ("harms", "less", "unknown", "Memory harms"),
        ("no_difference", "none", "bounded", "Memory makes no difference"),
        ("undetermined", "unknown", "bounded", "Undetermined: too few pairs to tell whether memory helps"),
        ("undetermined", "more", "unknown", "Undetermined: memory gains, but what it breaks is not known"),
        ("undetermined", "none", "unknown", "Undetermined: memory gains nothing, but what it breaks is not known"),
    ],
)
def test_the_verdict_is_said_plainly(answer: str, gain: str, harm: str, words: str, make_run: Writer):
    run = make_run(num_scenarios=14)
    summary = Summary.read(run)
    said = dataclasses.replace(summary.verdict, answer=Answer(answer), gain=Gain(gain), harm=Harmfulness(harm))
    pairs = summary.arms["parallel"].harm.n_pairs
    for limit in POSSIBLE_LIMITS[Harmfulness(harm)]:
        more = {
            Limit.KEPT: "",
            Limit.UNKNOWN: f"; that it breaks at most 3.5 points net is not shown (n = {pairs})",
            Limit.EXCEEDED: f"; it breaks more than 3.5 points net (n = {pairs})",
        }[limit]
        verdict = dataclasses.replace(said, max_harm=0.035, limit=limit)
        dataclasses.replace(summary, verdict=verdict).write(run)
        html = html_of(run)
        assert f">{words}{more}</h2>" in html
        assert f'class="verdict {answer}"' in html
        assert "<dd>3.5 points net (agent.max_harm)</dd>" in html
        known = {
            ("bounded", Limit.KEPT): "at most 3.5 points",
            ("bounded", Limit.UNKNOWN): "at most 5 points",
            ("shown", Limit.KEPT): "shown, at most 3.5 points",
            ("shown", Limit.UNKNOWN): "shown",
            ("shown", Limit.EXCEEDED): "shown",
            ("unknown", Limit.UNKNOWN): "not known",
        }
        assert f"<h3>Harm, net <small>{known[harm, limit]}</small></h3>" in html


@pytest.mark.parametrize(
    ("harm", "limit", "words"),
    [
        (Harmfulness.BOUNDED, Limit.KEPT, "at most 5 points"),
        (Harmfulness.SHOWN, Limit.KEPT, "shown, at most 20 points"),
        (Harmfulness.UNKNOWN, Limit.KEPT, "at most 20 points"),
        (Harmfulness.UNKNOWN, Limit.UNKNOWN, "not known"),
    ],
)
def test_of_two_bounds_of_the_harm_the_tighter_is_shown(harm: Harmfulness, limit: Limit, words: str, make_run: Writer):
    verdict = dataclasses.replace(
        Summary.read(make_run(num_scenarios=14)).verdict,
        answer=Answer.UNDETERMINED,
        gain=Gain.MORE,
        harm=harm,
        max_harm=0.2,
        limit=limit,
    )
    assert wording.harm_known(verdict) == words
    headline = wording.verdict_headline(verdict, "memory", 14, 14)
    assert ("not known" in headline) == (words == "not known")


def test_the_first_screen_says_what_was_run_and_shows_gain_beside_harm(make_run: Writer):
    settings = {
        "obs": "rgb",
        "vision": "default",
        "detector": "learned",
        "latency": "measured",
        "device": "cpu",
        "checkpoint": "mine.safetensors",
        "sites": 2,
    }
    run = make_run(num_scenarios=70, rounds=3, manifest={"settings": settings})
    for page in (html_of(run), (run / "report/report.md").read_text()):
        first_screen = page.split("Ablation")[0].replace("\\_", "_")
        for said in (
            "FlowRAG-PickPlace-Franka", "newton_mujoco on cpu", "flow_only, rag_only, sequential, parallel",
            "camera pictures, seen by default", "learned", "measured, in simulated time", "70, 2 sites",
            "E1 and 3 of E2", "policy mine.safetensors", "summary.json",
        ):  # fmt: skip
            assert said in first_screen, said
        assert "round 3 of 3" in first_screen
        assert first_screen.index("Gain") < first_screen.index("Harm") < first_screen.index("Repeat failures avoided")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"quick": True}, "Quick run: 14 scenarios"),
        ({"split": "development"}, "Development seeds"),
        ({"quick": False, "split": "evaluation"}, None),
    ],
)
def test_a_run_that_is_no_result_has_a_banner(settings: dict, words: str | None, make_run: Writer):
    run = make_run(num_scenarios=14, manifest={"settings": settings})
    html = html_of(run)
    assert ('<p class="banner">' in html) == (words is not None)
    for page in (html, (run / "report/report.md").read_text()):
        assert words is None or words in page.split("Ablation")[0]


def test_a_memory_that_retrieved_nothing_is_said_on_the_first_screen(make_run: Writer, make_records: Callable):
    records = make_records(num_scenarios=28)
    silent = [dataclasses.replace(r, retrievals=0) if r.arm == "parallel" else r for r in records]
    run = make_run(records=silent)
    for page in (html_of(run), (run / "report/report.md").read_text()):
        first_screen = page.split("Ablation")[0]
        assert "The memory of parallel retrieved nothing in the whole run" in first_screen
        assert "The memory of sequential" not in first_screen
    assert "retrieved nothing" not in html_of(make_run("heard", records=records))


def first_screens(run: Path) -> list[str]:
    """Of the page and of its Markdown twin."""
    return [page.split("Ablation")[0] for page in (html_of(run), (run / "report/report.md").read_text())]


def test_what_doing_nothing_solves_is_no_test_and_has_a_banner(make_run: Writer, make_records: Callable):
    records = make_records(num_scenarios=28, fix_rate={"flow_only": 0.1, "parallel": 0.6, "zero": 0.0}, rounds=2)
    failed = {"outcome": "failure", "failure_type": "timeout", "failure_phase": "reach", "failure_pose_bin": "9,0,4"}
    still = [dataclasses.replace(r, **failed) if r.arm == "zero" else r for r in records]
    assert not any("is no test" in screen for screen in first_screens(make_run("still", records=still)))
    solved = next(i for i, r in enumerate(still) if (r.arm, r.exposure, r.round) == ("zero", "near", 1))
    none = {"failure_type": None, "failure_phase": None, "failure_pose_bin": None}
    still[solved] = dataclasses.replace(still[solved], outcome="success", **none)
    run = make_run("solved", records=still)
    met = Summary.read(run).arms["zero"].rounds
    count = next(r.success for r in met if (r.round, r.exposure) == (1, "near"))
    assert count.k == 1
    for screen in first_screens(run):
        assert screen.count("is no test") == 1
        assert f"zero succeeds in 1/{count.n} on NEAR in round 1: a scenario solved by doing nothing at all" in screen


def test_who_is_told_the_hazard_is_marked_and_gets_no_verdict(make_run: Writer):
    rates = {"flow_only": 0.1, "expert": 1.0, "parallel_oracle": 0.9}
    alone = make_run("alone", num_scenarios=140, fix_rate=rates)
    for screen in first_screens(alone):
        assert "Undetermined: no agent ran beside flow_only" in screen
        assert "Told the hazard of every episode: parallel_oracle, expert." in screen
    beside = make_run("beside", num_scenarios=140, fix_rate=rates | {"parallel_wrong_type": 0.1})
    summary = Summary.read(beside)
    assert summary.verdict.arm == "parallel_wrong_type"
    assert {name for name, arm in summary.arms.items() if arm.answer is None} == set(rates)
    assert all(arm.vs_flow_only is not None for name, arm in summary.arms.items() if name != "flow_only")
    untold = make_run("untold", num_scenarios=14, fix_rate={"flow_only": 0.1, "parallel": 0.5})
    assert not any("Told the hazard" in screen for screen in first_screens(untold))


def test_no_interval_is_shown_with_equal_ends(html: str, make_run: Writer):
    wins = html_of(make_run(num_scenarios=210, fix_rate={"flow_only": 0.0, "parallel": 1.0}, invalid=0.0))
    for page in (html, wins):
        intervals = re.findall(r"\[([^\[\],]+), ([^\[\],]+)\]", page)
        assert len(intervals) > 20
        assert not [pair for pair in intervals if pair[0] == pair[1]]
    assert wording.interval((0.0, 0.00021)) == "[0.00, 0.02]"


def test_the_rule_and_every_definition_are_on_the_page(html: str, run_dir: Path):
    markdown = " ".join((run_dir / "report/report.md").read_text().split())
    for text in (RULE, *DEFINITIONS.values()):
        assert escape(text, quote=False).replace("'", "&#39;") in html
        assert text in markdown


def test_numbers_of_every_round_are_in_sight(html: str):
    before = html[: html.index('id="table-rounds"')]
    assert before.count("<details>") == before.count("</details>")
    assert "round 2 of 2" in html.split("Ablation")[0]


def test_what_every_arm_is_worth_is_drawn_and_listed(run_dir: Path, html: str):
    summary = Summary.read(run_dir)
    payoff = tables_of(html, "payoff")
    for name, arm in summary.arms.items():
        assert name in payoff
        if arm.answer is not None:
            assert f">{arm.answer.replace('_', ' ')}<" in payoff
    drawn = (run_dir / "report/figures/prevalence.svg").read_text()
    assert drawn.count("pays from") == len(summary.arms) - 1


RIVALS = {"flow_only": 0.05, "parallel": 0.6, "always_cautious": 0.05, "random_trigger": 0.6, "expert": 1.0}


def test_what_the_memory_itself_adds_is_listed_and_said(make_run: Writer):
    run = make_run(num_scenarios=280, fix_rate=RIVALS, invalid=0.0)
    adds = Summary.read(run).memory_adds
    assert adds is not None
    said = {"more": {"flow_only", "always_cautious"}, "unknown": {"random_trigger"}, "less": {"expert"}}
    assert {known: {n for n, over in adds.over.items() if over.near_known == known} for known in said} == said
    html = html_of(run)
    page = [(source, text) for source, text in Page(html).sourced if source.startswith("summary/memory_adds/")]
    for name, over in adds.over.items():
        shown = {text for source, text in page if source.startswith(f"summary/memory_adds/over/{name}/")}
        assert wording.points(over.near.success_diff) in shown
        assert wording.interval(over.near.ci95, signed=True) in shown
        at_5 = next(net for net in over.net if net.prevalence == 0.05)
        assert (wording.interval(at_5.ci95, signed=True) in shown) == (name != "expert")
    assert tables_of(html, "memory-adds").count(">not told apart<") == 1
    for screen in first_screens(run):
        assert "On NEAR parallel succeeds more often than always_cautious." in screen
        assert "On NEAR parallel is not told apart from random_trigger." in screen
        assert "expert" not in screen[screen.index("On NEAR") : screen.index("harm subtracted")]
        start = "By each share's own interval its net success, harm subtracted, is above"
        assert start in screen.replace("&#39;", "'")
        ahead = wording.shares(adds.over["always_cautious"].surely_ahead)
        assert f"that of always_cautious {ahead} hazards." in screen


def test_a_rival_that_met_no_scenario_of_the_memorys_is_not_compared(make_run: Writer, make_records: Callable):
    records = [
        r
        for r in make_records(num_scenarios=280, fix_rate=RIVALS, invalid=0.0)
        if (r.arm, r.exposure) != ("random_trigger", Exposure.NEAR)
    ]
    for screen in first_screens(make_run(records=records)):
        screen = screen.replace("\\_", "_")
        assert "On NEAR parallel was not compared with random_trigger: no scenario was met by both." in screen
        assert "not told apart" not in screen


def test_what_the_caption_of_the_memory_says_of_its_p_and_of_arms_that_act_otherwise(make_run: Writer):
    table = tables_of(html_of(make_run(num_scenarios=70, fix_rate={**RIVALS, "rag_only": 0.3})), "memory-adds")
    assert "Holm adjusts p over the rivals" in table
    assert "in more than the memory: in their chunks, or how they steer. Here: rag_only." in table
    assert table.count("(not adjusted)") == 2  # flow_only and the expert
    assert "by each share&#39;s own" in html_of(make_run("net", num_scenarios=70, fix_rate=RIVALS))


def test_where_nothing_has_a_memory_nothing_is_said_of_what_it_adds(make_run: Writer):
    run = make_run(num_scenarios=70, fix_rate={"flow_only": 0.1, "always_cautious": 0.4, "parallel_shuffled": 0.2})
    html = html_of(run)
    assert Summary.read(run).memory_adds is None
    assert "memory-adds" not in html
    assert "What the memory itself adds" not in (run / "report/report.md").read_text()


def test_new_layouts_stand_beside_the_old_in_what_the_memory_adds(make_run: Writer, make_records: Callable):
    records = make_records(num_scenarios=70, fix_rate=RIVALS, invalid=0.0)
    near = [r for r in records if r.exposure == "near"]
    far = [dataclasses.replace(r, exposure=Exposure.FAR, scenario_id=f"{r.base_scenario_id}-far") for r in near]
    run = make_run("far", records=[*records, *far])
    table = tables_of(html_of(run), "memory-adds")
    assert "over/expert/far/success_diff" in table
    assert "/far/" not in tables_of(html_of(make_run("near", records=records)), "memory-adds")


def test_what_was_left_out_is_said_where_the_verdict_needs_it(make_run: Writer, make_records: Callable):
    records = [r for r in make_records(num_scenarios=14) if r.exposure in ("e1", "exact", "clean")]
    html = html_of(make_run(records=records))
    assert "NEAR was not run: gain, and so the verdict, is unknown." in html
    assert "EXACT, CLEAN" in html
    assert "Neither CLEAN nor CONTROL was run" not in html


def test_what_became_of_each_correction_is_listed(run_dir: Path, html: str):
    corrections = Summary.read(run_dir).arms["parallel"].corrections["near"]
    assert sum(effect.n for effect in corrections.values()) > 0
    listed = tables_of(html, "corrections")
    for name, effect in corrections.items():
        assert name in listed
        assert effect.n == effect.helped + effect.no_effect + effect.harmed


def test_rounds_and_loss_chain_appear_only_where_they_exist(make_run: Writer, run_dir: Path):
    one = html_of(make_run(num_scenarios=14, fix_rate={"flow_only": 0.1, "always_cautious": 0.5}))
    assert 'id="table-rounds"' not in one
    assert 'id="table-loss-chain"' not in one
    two = html_of(run_dir)
    assert 'id="table-rounds"' in two
    assert 'id="table-loss-chain"' in two


@pytest.mark.parametrize(
    ("rate", "words"), [(1.0, "always_cautious helps"), (0.1, "always_cautious makes no difference")]
)
def test_an_arm_without_memory_is_judged_by_its_own_name(rate: float, words: str, make_run: Writer):
    run = make_run(num_scenarios=1400, fix_rate={"flow_only": 0.1, "always_cautious": rate}, invalid=0.0)
    assert f">{words}" in html_of(run)


def test_the_page_stays_small_however_many_episodes(run_dir: Path):
    assert build_report(run_dir).stat().st_size < 500_000


@pytest.mark.parametrize("key", ["a/b", "c~d", "~1", "~0/", "/~01~"])
def test_a_key_is_read_back_from_its_json_pointer(key: str):
    first, second = pointer("summary", key).split("/")
    assert first == "summary"
    # RFC 6901, section 4: first ~1, then ~0.
    assert second.replace("~1", "/").replace("~0", "~") == key
