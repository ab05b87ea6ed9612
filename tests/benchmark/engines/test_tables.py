"""How comparisons read."""

from __future__ import annotations

from flow_rag_vla.benchmark.engines.comparison import compare_cells, engine_result
from flow_rag_vla.benchmark.engines.tables import comparison_markdown, engine_markdown


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_comparison_shows_both_engines_and_what_sets_them_apart(played):
    first = played("newton_mujoco", "sssssff", mm=(0.5,) * 6 + (1.25,))
    row = compare_cells(first, played("newton_mjwarp", "fffffif", mm=(2.5,) * 7))
    head, _, line = comparison_markdown([row]).splitlines()
    assert cells(head)[4:6] == ["newton_mujoco succeeds [95 %]", "newton_mjwarp succeeds [95 %]"]
    shown = cells(line)
    assert shown[:4] == ["pick_place", "`slippery_object`", "avoidable", "`expert`"]
    assert shown[4:9] == ["5/7 [35.9, 91.8]", "0/7 [0.0, 35.4]", "0 / 1", "1.2 / 2.5", "1/7"]
    assert shown[9].startswith("-71.4 [")
    assert shown[10] == "0.062"


def test_one_engine_is_shown_alone(played):
    line = engine_markdown([engine_result(played("newton_mjwarp", "si", mm=(0.75, None)))]).splitlines()[-1]
    assert cells(line)[4:] == ["1/2 [9.5, 90.5]", "1", "0.8"]
