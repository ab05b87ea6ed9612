"""Command line of ``scripts/train.py``: flags are shorthand for one ``key=value`` override each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from flow_rag_vla.benchmark.command.composition import quoted
from flow_rag_vla.benchmark.training.settings import PRESETS, compose_training, leaves

EXIT_DONE, EXIT_INCOMPLETE, EXIT_INTERRUPTED = 0, 3, 130

_WITHOUT_FLAG = ("validation.", "collection.")
"""Groups whose keys are too general to be flags."""


def _parser() -> tuple[argparse.ArgumentParser, dict[str, str]]:
    """The parser, and the key that each flag stands for."""
    parser = argparse.ArgumentParser(
        prog="train.py",
        description="From nothing to a policy: records missing demonstrations, trains, validates in simulation.",
        epilog="Any key=value overrides that setting: validation.every=0, collection.num_demonstrations=1024. "
        "See agents/training/README.md.",
        allow_abbrev=False,
    )
    keys = {}
    for key, default in leaves():
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
        return f"tasks=[{','.join(quoted(name) for name in str(value).split(','))}]"
    return f"{key}={str(value).lower() if isinstance(value, bool) else quoted(value)}"


def main(argv: Sequence[str], scripts: Path) -> int:
    """Train; returns the exit code: 0 done, 2 bad usage, 3 a validation or the training failed, 130 interrupted.

    Args:
        argv: Arguments.
        scripts: Folder of the scripts that record demonstrations and evaluate, a process each.
    """
    parser, keys = _parser()
    arguments, rest = parser.parse_known_args(argv)
    if unknown := [word for word in rest if word.startswith("-") or "=" not in word]:
        parser.error(f"unrecognized argument {unknown[0]!r}; expected a flag of --help or key=value")
    overrides = [_override(key, given) for flag, key in keys.items() if (given := getattr(arguments, flag)) is not None]
    folder: Path | None = arguments.resume
    if folder is not None and (overrides or rest or arguments.overwrite):
        parser.error("--resume takes the run's own settings; give no others")
    try:
        settings = None if folder is not None else compose_training([*overrides, *rest])
    except ValueError as error:
        parser.error(str(error))
    # Late, so that --help and typos answer at once.
    from flow_rag_vla.agents.training.trainer import TrainingDivergedError
    from flow_rag_vla.benchmark.training.run import TrainingRun
    from flow_rag_vla.benchmark.training.subprocesses import SubprocessError

    try:
        run = (
            TrainingRun.create(settings, scripts, overwrite=arguments.overwrite)
            if settings is not None
            else TrainingRun.reopen(arguments.resume, scripts)
        )
    except ValueError as error:
        parser.error(str(error))
    try:
        complete = run.finish()
    except ValueError as error:
        parser.error(str(error))
    except TrainingDivergedError as error:
        print(f"train.py: {error}", file=sys.stderr)
        return EXIT_INCOMPLETE
    except SubprocessError as error:
        print(f"train.py: {error}; go on with --resume {run.folder}", file=sys.stderr)
        return EXIT_INCOMPLETE
    except KeyboardInterrupt:
        print(f"train.py: interrupted; finish it with --resume {run.folder}", file=sys.stderr)
        return EXIT_INTERRUPTED
    return EXIT_DONE if complete else EXIT_INCOMPLETE
