"""Command line of ``scripts/train.py``: flags are shorthand for one ``key=value`` override each."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from flow_rag_vla.benchmark.command.arguments import OverridesParser, comma_list
from flow_rag_vla.benchmark.command.composition import quoted
from flow_rag_vla.benchmark.command.errors import ExitCode, IncompleteError, UsageError, resume_flag, usage_errors
from flow_rag_vla.benchmark.command.main import run_command
from flow_rag_vla.benchmark.command.ranges import leaves
from flow_rag_vla.benchmark.training.settings import PRESETS, TrainSettings, compose_training

_WITHOUT_FLAG = ("validation.", "collection.")
"""Groups whose keys are too general to be flags."""


def _parser() -> tuple[OverridesParser, dict[str, str]]:
    """The parser, and the key that each flag stands for."""
    parser = OverridesParser(
        "From nothing to a policy: records missing demonstrations, trains, validates in simulation.",
        argparse.HelpFormatter,
        prog="train.py",
        epilog="Any key=value overrides that setting: validation.every=0, collection.num_demonstrations=1024. "
        "Every setting is given once: as a flag or as key=value, not both. See agents/training/README.md.",
        allow_abbrev=False,
    )
    keys = {}
    for key, default in leaves(TrainSettings()):
        if key.startswith(_WITHOUT_FLAG):
            continue
        flag = key.rpartition(".")[2]
        keys[flag] = key
        if isinstance(default, bool):
            parser.add_argument(f"--{flag}", default=None, action=argparse.BooleanOptionalAction)
        elif flag == "preset":
            parser.add_argument("--preset", help=f"{', '.join(PRESETS)} (default: default)")
        elif flag == "tasks":
            parser.add_argument("--tasks", metavar="A,B", help=f"(default: {','.join(default)})")
        else:
            parser.add_argument(f"--{flag}", metavar=type(default).__name__.upper(), help=f"(default: {default})")
    parser.add_argument("--resume", metavar="DIR", type=Path, help="finish the run in DIR; its own settings apply")
    parser.add_argument("--overwrite", action="store_true", help="begin the run anew where its folder exists")
    return parser, keys


def _override(key: str, value: str | bool) -> str:
    if key == "tasks":
        return f"tasks=[{','.join(quoted(name) for name in comma_list(str(value)))}]"
    return f"{key}={str(value).lower() if isinstance(value, bool) else quoted(value)}"


def _train(arguments: argparse.Namespace, keys: Mapping[str, str], scripts: Path) -> ExitCode:
    overrides = [_override(key, given) for flag, key in keys.items() if (given := getattr(arguments, flag)) is not None]
    overrides += arguments.overrides
    folder: Path | None = arguments.resume
    if folder is not None and (overrides or arguments.overwrite):
        raise UsageError("--resume takes the run's own settings; give no others")
    with usage_errors():
        settings = None if folder is not None else compose_training(overrides)
    # After the settings, whose typos are answered sooner.
    from flow_rag_vla.agents.training.trainer import TrainingDivergedError
    from flow_rag_vla.benchmark.training.run import TrainingRun
    from flow_rag_vla.benchmark.training.subprocesses import SubprocessError

    with usage_errors():
        if settings is not None:
            run = TrainingRun.create(settings, scripts, overwrite=arguments.overwrite)
        else:
            run = TrainingRun.reopen(arguments.resume, scripts)
        try:
            complete = run.finish()
        except TrainingDivergedError as error:
            raise IncompleteError(str(error)) from error
        except SubprocessError as error:
            raise IncompleteError(f"{error}; go on with {resume_flag(run.folder)}") from error
        except KeyboardInterrupt as stop:
            stop.args = (f"finish it with {resume_flag(run.folder)}",)
            raise
    return ExitCode.DONE if complete else ExitCode.INCOMPLETE


def main(argv: Sequence[str], scripts: Path) -> int:
    """Train; returns the exit code: 0 done, 3 a validation or the training failed, 128 + N by signal N.

    Args:
        argv: Arguments.
        scripts: Folder of the scripts that record demonstrations and evaluate, a process each.

    Raises:
        SystemExit: with 2 after bad usage.
    """
    parser, keys = _parser()
    return run_command(parser, lambda arguments: _train(arguments, keys, scripts), argv)
