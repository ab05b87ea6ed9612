"""Names that are too long, empty, or would act on a terminal, bombs for parsers: one line each, and nothing runs."""

from __future__ import annotations

import pickle
import runpy
from pathlib import Path
from typing import Any

import pytest

from flow_rag_vla.benchmark.run.cli import main as benchmark

NOBODY: Any = None
"""A reporter that nothing reaches."""

SCRIPTS = Path(__file__).parents[3] / "scripts"
REQUIRED = {
    "export_dataset.py": ("--out", "new"),
    "report.py": ("run",),
    "policy_table.py": ("--networks", "a=b"),
    "training_curve.py": ("run",),
}
NAMES = [path.name for path in sorted(SCRIPTS.glob("*.py"))]


def refusal(capsys, script: str, *arguments: str) -> str:
    """The one line that ``script`` answers before it ends with code 2."""
    main = runpy.run_path(str(SCRIPTS / script))["main"]
    others = {"benchmark.py": (None,), "train.py": (SCRIPTS,)}.get(script, ())
    with pytest.raises(SystemExit) as stop:
        main(list(arguments), *others)
    out, err = capsys.readouterr()
    # The simulator may say something of its own once.
    lines = [line for line in err.splitlines() if "error:" in line]
    assert (stop.value.code, out, len(lines), err.splitlines()[-1]) == (2, "", 1, lines[-1]), err
    assert lines[0].isprintable()
    assert len(lines[0]) < 2200
    return lines[0]


@pytest.mark.parametrize("script", NAMES)
@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("x" * 10_000, "has 10000 characters, expected at most 4096"),
        ("seed=" + "9" * 10_000, "characters, expected at most 4096"),
        ("a\x1b[31mred", "holds control characters"),
        ("a\nb", "holds control characters"),
        ("evil\u202egpj.exe", "holds control characters"),
        ("bytes \udcff\udcfe", "holds control characters"),
        ("", "is given an empty text, expected a value"),
        ("   ", "is given an empty text, expected a value"),
        ("--out=", "--out is given an empty text, expected a value"),
    ],
)
def test_words_that_nobody_means_are_refused_by_every_script(script, word, complaint, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert complaint in refusal(capsys, script, *REQUIRED.get(script, ()), "--out", word)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--scenarios", "x" * 300), "File name too long"),
        (("--resume", "x" * 300), "File name too long"),
        (("--checkpoint", "x" * 300), "no such file"),
        (("--out", "x" * 300), "File name too long"),
        (("--scenarios", "٣"), "no such file; expected a number or a YAML file"),
        (("--num_envs", "٣"), "num_envs is '٣', expected 1 to 262144 in the digits 0 to 9"),
        (("num_envs=٣",), "num_envs is ٣, expected 1 to 262144 in the digits 0 to 9"),
        (("--task", "<script>alert(1)</script>"), "unknown task '<script>alert(1)</script>'; available: pick_place"),
        (("--task", "größer 大きい"), "unknown task 'größer 大きい'; available: pick_place"),
        (("--checkpoint", "../../../../../etc/passwd"), "not a readable safetensors file (it is a text file)"),
        (("--resume", "../.."), "it is no run directory"),
        (("--out", "$(touch ran)/${HOME}"), "expected a value without ${...}: nothing is filled in"),
        (("out=`touch ran`",), "cannot be read as key=value; put a value with special characters in quotes"),
        (("hydra.run.dir=ran",), "expected key=value, got 'hydra.run.dir=ran'"),
        (("--seed", "1", "seed=2"), "seed is given twice, seed=1 and seed=2; give it once, as a flag or key=value"),
        (("seed=1", "seed=1"), "seed is given twice"),
        (("--ablation", "parallel,,rag_only"), "unknown arm ''; available: flow_only"),
        (("--vision_async=maybe",), "ignored explicit argument"),
        (("vision_async=maybe",), "vision_async is 'maybe', expected true or false"),
        (("seed=null",), "seed is null, expected"),
        (("--latency", "parallel=20, juggle=3"), "--latency names arm 'juggle'"),
    ],
)
def test_hostile_arguments_of_the_benchmark_get_one_line(arguments, complaint, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert complaint in refusal(capsys, "benchmark.py", *arguments)
    assert not list(tmp_path.iterdir())


class Bomb:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = str(mark)

    def __reduce__(self):
        return (open, (self._mark, "w"))


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("benchmark.py", ("--checkpoint", "BOMB")),
        ("benchmark.py", ("obs=rgb", "--vision", "BOMB")),
        ("benchmark.py", ("--scenarios", "BOMB")),
        ("evaluate.py", ("--checkpoint", "BOMB", "--log", "log", "--num_envs", "1")),
        ("demo.py", ("--arm", "flow_only", "--checkpoint", "BOMB")),
        ("evaluate_detector.py", ("--checkpoint", "BOMB")),
        ("quantize_model.py", ("--checkpoint", "BOMB")),
        ("optimize_tensorrt.py", ("--checkpoint", "BOMB")),
        ("collect_failures.py", ("--checkpoint", "BOMB", "--log", "log")),
        ("download_models.py", ("--vision", "BOMB")),
    ],
)
def test_a_pickle_is_refused_by_its_kind_and_never_run(script, arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bomb = tmp_path / "policy.safetensors"
    bomb.write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    line = refusal(capsys, script, *(str(bomb) if word == "BOMB" else word for word in arguments))
    assert "Python pickle" in line or "is not UTF-8 text" in line
    assert not (tmp_path / "ran").exists()


LIST = "[" + ",".join(["x"] * 9) + "]"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: &a " + LIST + "\n" + "".join(f"b{i}: &b{i} [*a,*a]\n" for i in range(9)), "alias *a is not allowed"),
        ("task: !!python/object/apply:os.system ['touch ran']\n", "could not determine a constructor"),
        ("sites:\n- {name: 'dock', colours: {red: &r post}, <<: *r}\n", "alias *r is not allowed"),
        ('sites: [{name: "\\e[31mdock"}]\n', "with control characters, expected one that can be read"),
        ('sites: [{name: "a\\u202eb"}]\n', "with control characters, expected one that can be read"),
        ('sites: [{name: "a\\nb", lanes: {1: post}}]\n', "sites[0].name: got 'a\\nb', expected"),
        ("[" * 100_000, "is nested too deeply"),
        ("num_scenarios: " + "9" * 5000 + "\n", "holds a value that does not exist"),
    ],
)
def test_hostile_scenario_files_get_one_line(text, complaint, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(text)
    assert complaint in refusal(capsys, "benchmark.py", "--scenarios", "mine.yaml")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


def test_a_file_full_of_mistakes_gets_a_page_of_lines(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fault, site = "- {" + "x" * 60 + ": 1}\n", "- {}\n"
    (tmp_path / "mine.yaml").write_text("faults:\n" + 2000 * fault + "sites:\n" + 900 * site)
    with pytest.raises(SystemExit) as stop:
        benchmark(["--scenarios", "mine.yaml"], NOBODY)
    lines = capsys.readouterr().err.splitlines()
    assert (stop.value.code, len(lines)) == (2, 21)
    assert lines[-1].startswith("benchmark.py: error: mine.yaml: and ")
    assert lines[-1].endswith(" more mistakes")
