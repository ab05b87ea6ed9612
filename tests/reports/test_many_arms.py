"""A report of the whole suite: figures have room for every arm, and who does nothing stretches no axis."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from flow_rag_vla.agents.arms.registry import benchmark_arms
from flow_rag_vla.reports.build import build_report
from flow_rag_vla.reports.drawing.marks import label_places

SVG = "{http://www.w3.org/2000/svg}"
LONGEST_TYPE_PX = 60.0
"""Of ``misalignment`` in ten-point type."""


@pytest.fixture(scope="module")
def figures(tmp_path_factory, make_records: Callable, synthetic_run: Callable[..., Path]) -> dict[str, ET.Element]:
    """Of a run of two rounds of the suite ``full``."""
    rates = {arm.name: 0.0 if arm.holds_still else 0.5 for arm in benchmark_arms()}
    run = synthetic_run(tmp_path_factory.mktemp("run"), make_records(num_scenarios=70, fix_rate=rates, rounds=2))
    build_report(run)
    return {path.stem: ET.parse(path).getroot() for path in (run / "report/figures").glob("*.svg")}


def test_every_text_lies_within_its_figure(figures: dict[str, ET.Element]):
    assert {"success", "repeats", "faults", "payoff", "prevalence", "rounds", "memory"} <= set(figures)
    for name, figure in figures.items():
        _, _, width, height = map(float, figure.attrib["viewBox"].split())
        for text in figure.iter(f"{SVG}text"):
            x, y = float(text.attrib["x"]), float(text.attrib["y"])
            assert 0 <= x <= width, (name, text.text)
            assert 0 <= y <= height, (name, text.text)


def test_names_in_a_column_do_not_cover_one_another(figures: dict[str, ET.Element]):
    for name in ("payoff", "rounds"):
        columns = [t for t in figures[name].iter(f"{SVG}text") if float(t.attrib["x"]) >= 520.0]
        heights = sorted(float(text.attrib["y"]) for text in columns)
        assert len(heights) >= len(benchmark_arms()) - 2
        assert all(below - above > 12.0 for above, below in itertools.pairwise(heights)), name


def test_a_cell_of_the_faults_holds_its_failure_type(figures: dict[str, ET.Element]):
    texts = [text.text for text in figures["faults"].iter(f"{SVG}text")]
    assert {arm.name for arm in benchmark_arms()} <= set(texts)
    cells = [float(cell.attrib["width"]) for cell in figures["faults"].iter(f"{SVG}rect")]
    assert min(width for width in cells if width > 20.0) > LONGEST_TYPE_PX


def test_who_holds_still_is_in_the_tables_and_in_no_figure_of_gain_and_harm(figures: dict[str, ET.Element]):
    for name in ("payoff", "prevalence"):
        assert "zero" not in [text.text for text in figures[name].iter(f"{SVG}text")]
    assert "zero" in [text.text for text in figures["success"].iter(f"{SVG}text")]


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        ([], []),
        ([10.0, 40.0, 70.0], [10.0, 40.0, 70.0]),
        ([10.0, 11.0, 12.0], [10.0, 25.0, 40.0]),
        ([90.0, 95.0, 99.0], [70.0, 85.0, 100.0]),
        ([10.0, 95.0, 120.0], [10.0, 85.0, 100.0]),
    ],
)
def test_labels_are_a_line_apart_and_stay_above_the_bottom(wanted: list[float], places: list[float]):
    assert label_places(wanted, 100.0) == places
