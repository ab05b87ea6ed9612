"""A run that is whole passes; whatever is changed in one is named with its file and line."""

from __future__ import annotations

import hashlib
import json
import re
import runpy
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flow_rag_vla.benchmark.command.errors import ExitCode
from flow_rag_vla.benchmark.run.integrity.finding import MAX_PER_FILE, Finding, told
from flow_rag_vla.benchmark.run.integrity.verification import verify_run

SCRIPT = Path(__file__).parents[3] / "scripts/verify_run.py"


@pytest.fixture
def run(start_fake: Callable[..., Path]) -> Path:
    """E1 and a round of two arms, by a fleet without physics."""
    return start_fake()


def rows_of(run: Path, start: str) -> Path:
    """Of the first block."""
    return min(run.glob(f"units/{start}*/episodes.jsonl"))


def rewritten(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Other rows, of which ``DONE.json`` knows count and checksum."""
    text = b"".join(row + b"\n" for row in change(path.read_bytes().splitlines()))
    path.write_bytes(text)
    done = path.with_name("DONE.json")
    row = json.loads(done.read_text()) | {"sha256": hashlib.sha256(text).hexdigest(), "episodes": text.count(b"\n")}
    done.write_text(json.dumps(row))


def edited(path: Path, change: Callable[[dict], object]) -> None:
    row = json.loads(path.read_text())
    change(row)
    path.write_text(json.dumps(row))


def replanned(run: Path, change: Callable[[dict], object], start: str = "r1-parallel") -> None:
    """Another plan, of which the manifest knows the checksum."""
    rows = [json.loads(line) for line in (run / "plan.jsonl").read_text().splitlines()]
    change(next(row for row in rows if row.get("unit", "").startswith(start)))
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (run / "plan.jsonl").write_text(text)
    edited(run / "manifest.json", lambda row: row.update(plan_sha256=hashlib.sha256(text.encode()).hexdigest()))


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def flip_in_number(run: Path) -> None:
    """One bit of a row that stays a record."""
    path = rows_of(run, "r1-flow_only")
    text = path.read_bytes()
    (number, *_) = re.finditer(rb'"steps": \d+', text[text.index(b"\n") :])
    flip(path, text.index(b"\n") + number.end() - 1)


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def other_state(rows: list[bytes]) -> list[bytes]:
    return [rows[0], re.sub(rb'("initial_state_sha": ")\d', rb"\1f", rows[1]), *rows[2:]]


def table_of(run: Path, rows: Sequence[int]) -> None:
    path = run / "merged/episodes.parquet"
    pq.write_table(pq.read_table(path).take(list(rows)), path)


def renamed_arm(run: Path, old: str, new: str) -> None:
    path = run / "merged/episodes.parquet"
    table = pq.read_table(path)
    arms = pa.array([new if arm == old else arm for arm in table["arm"].to_pylist()])
    pq.write_table(table.set_column(table.column_names.index("arm"), "arm", arms), path)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a flipped bit in a row": (
        flip_in_number,
        r"r1-flow_only-[\w-]+/episodes\.jsonl:2: steps is \d+, .*parquet has \d+",
    ),
    "a flipped bit in a key": (
        lambda run: flip(rows_of(run, "r0"), rows_of(run, "r0").read_bytes().index(b'"arm"') + 1),
        r"r0-flow_only-[\w-]+/episodes\.jsonl:1: episode record does not match schema 1",
    ),
    "a missing row": (
        lambda run: rewritten(rows_of(run, "r1-parallel"), lambda rows: rows[:-1]),
        r"r1-parallel-[\w-]+/episodes\.jsonl: the planned \w+ episode \S+.*, attempt 1, is missing",
    ),
    "a doubled row": (
        lambda run: rewritten(rows_of(run, "r0"), lambda rows: [*rows, rows[2]]),
        r"r0-flow_only-[\w-]+/episodes\.jsonl:17: e1 episode \S+, attempt 0, is here twice, first on line 3",
    ),
    "a row of another unit": (
        lambda run: rewritten(
            rows_of(run, "r0"), lambda rows: [*rows[:-1], rows_of(run, "r1-parallel").read_bytes().splitlines()[0]]
        ),
        r"episodes\.jsonl:16: is of arm parallel, round 1; the unit is flow_only's, round 0",
    ),
    "a row that nobody planned": (
        lambda run: rewritten(
            rows_of(run, "r0"), lambda rows: [*rows[:-1], re.sub(rb'(scenario_id": ")\w', rb"\1x", rows[-1])]
        ),
        r"episodes\.jsonl:16: e1 episode x\S+, attempt 0, was not planned here",
    ),
    "a torn row": (lambda run: halve(rows_of(run, "r1-parallel")), r"r1-parallel.*jsonl:\d+: the last line has no end"),
    "another initial state": (
        lambda run: rewritten(rows_of(run, "r1-parallel"), other_state),
        r"r1-parallel-[\w-]+/episodes\.jsonl:2: initial_state_sha is 'f.*', flow_only has '0.*r1-flow_only.*jsonl:2\)",
    ),
    "an edited summary": (
        lambda run: (run / "summary.json").write_text(
            (run / "summary.json").read_text().replace('"fault_fired": 0', '"fault_fired": 3')
        ),
        r'summary\.json:\d+: "fault_fired": 3, the rows give "fault_fired": 0',
    ),
    "a cut summary": (lambda run: halve(run / "summary.json"), r"summary\.json: not valid JSON"),
    "a truncated table": (lambda run: halve(run / "merged/episodes.parquet"), r"parquet: is no table that can be read"),
    "a table with a row less": (
        lambda run: table_of(run, range(1, 72)),
        r"jsonl:\d+: .*episodes\.parquet lacks this",
    ),
    "a table with a row twice": (
        lambda run: table_of(run, [0, 0, *range(1, 72)]),
        r"episodes\.parquet: row \d: .* is here twice",
    ),
    "a table in another order": (
        lambda run: (table_of(run, range(71, -1, -1)), halve(run / "summary.json")),
        r"summary\.json: not valid JSON",
    ),
    "a table with a row of an arm that nobody planned": (
        lambda run: renamed_arm(run, "parallel", "paralel"),
        r"episodes\.parquet: holds paralel 1 \w+ .*, which no sound row tells of",
    ),
    "a number that no table holds": (
        lambda run: rewritten(
            rows_of(run, "r0"), lambda rows: [re.sub(rb'"steps": \d+', b'"steps": 1' + b"0" * 30, rows[0]), *rows[1:]]
        ),
        r"r0-flow_only-[\w-]+/episodes\.jsonl.*: ",
    ),
    "another plan": (
        lambda run: (run / "plan.jsonl").write_text((run / "plan.jsonl").read_text() + "\n"),
        r"plan\.jsonl: its sha256 is not the one in manifest\.json",
    ),
    "arms without pairs": (
        lambda run: replanned(run, lambda row: row["episodes"].pop()),
        r"plan\.jsonl:\d+: r1-flow_only-[\w-]+: flow_only meets \w+ \S+ in round 1, parallel does not",
    ),
    "an episode planned twice": (
        lambda run: replanned(run, lambda row: row["episodes"].append(row["episodes"][0]), "r0"),
        r"plan\.jsonl:\d+: r0-flow_only-[\w-]+ has e1 \S+, already in r0-flow_only-[\w-]+",
    ),
    "another memory": (
        lambda run: (run / "memories/r0-flow_only/failures.sqlite").write_bytes(b"others"),
        r"memories/r0-flow_only/failures\.sqlite: is not what its units' lessons were merged into",
    ),
    "other lessons": (
        lambda run: min(run.glob("units/r0*/lessons.safetensors")).write_bytes(b"others"),
        r"r0-flow_only-[\w-]+: .*lessons\.safetensors is not what DONE\.json has the sha256 of",
    ),
    "no rows": (lambda run: rows_of(run, "r0").unlink(), r"r0-flow_only-[\w-]+/episodes\.jsonl: is missing"),
    "a damaged DONE": (
        lambda run: rows_of(run, "r0").with_name("DONE.json").write_text(""),
        r"r0-flow_only-[\w-]+/DONE\.json: not valid JSON",
    ),
    "a unit of another run": (
        lambda run: edited(
            rows_of(run, "r0").with_name("DONE.json"), lambda d: d["bound"].update({"settings.seed": 9})
        ),
        r"DONE\.json: the unit was run with settings\.seed 9 \(in the manifest 0\)",
    ),
    "a damaged manifest": (lambda run: (run / "manifest.json").write_text("{"), r"manifest\.json: not valid JSON"),
    "damaged starts": (lambda run: (run / "starts.json").write_text("[]"), r"starts\.json: holds a JSON list"),
}


def test_a_whole_run_is_sound_and_nothing_is_written_in_it(run: Path, capsys: pytest.CaptureFixture[str]):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert verified(run) == 0
    assert capsys.readouterr().out == f"{run}: sound, 72 episodes in 5 units\n"
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_whatever_is_changed_is_named_with_file_and_line(run: Path, tmp_path: Path):
    for name, (spoil, finding) in DAMAGE.items():
        copy = tmp_path / name
        shutil.copytree(run, copy)
        spoil(copy)
        verification = verify_run(copy)
        assert verification.code == ExitCode.DAMAGED == 4, name
        assert any(re.search(finding, line) for line in verification.lines()), (name, verification.lines())
        assert all(line.startswith(str(copy)) for line in verification.lines()), name


def test_what_is_merely_not_there_yet_is_incomplete_and_not_damaged(run: Path, capsys: pytest.CaptureFixture[str]):
    (run / "summary.json").unlink()
    assert verified(run) == 3
    assert capsys.readouterr().out == f"{run}/summary.json: is missing: scripts/report.py makes it\n"
    (run / "merged/episodes.parquet").unlink()
    rows_of(run, "r1-parallel").with_name("DONE.json").unlink()
    assert verified(run) == 3
    (line,) = capsys.readouterr().out.splitlines()
    assert re.search(r"units/r1-parallel-[\w-]+: has not run to its end, there is no DONE\.json", line)


def test_of_a_file_with_very_many_findings_the_first_are_told_and_the_others_counted(tmp_path: Path):
    findings = [Finding(tmp_path / "rows", "is no record", line) for line in range(1, MAX_PER_FILE + 31)]
    lines = list(told([*findings, Finding(tmp_path / "other", "is \x1b[31mred\nand more")]))
    assert lines[0] == f"{tmp_path}/rows:1: is no record"
    assert lines[MAX_PER_FILE:] == [
        f"{tmp_path}/rows: 30 more of this file",
        f"{tmp_path}/other: is \\x1b[31mred\\nand more",
    ]


def test_a_folder_without_a_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        verified(tmp_path)
    assert stop.value.code == 2
    assert "no manifest.json there, so it is no run directory" in capsys.readouterr().err


def verified(run_dir: Path) -> int:
    return runpy.run_path(str(SCRIPT))["main"]([str(run_dir)])
