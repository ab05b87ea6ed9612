"""Do the same scenarios end alike on two engines?  By task, fault and arm, on the layouts that certificates rest on.

./isaaclab.sh -p scripts/compare_engines.py --task all --n 64 --json outputs/compare_engines.json

An avoidable fault brings its harmless twin (class control).  Native MuJoCo runs on the CPU alone, and there MuJoCo Warp
is some fifty times slower.  It can be played in pieces, here or on another machine, and compared afterwards:

./isaaclab.sh -p scripts/compare_engines.py --physics newton_mjwarp --task stack --json outputs/stack.json
./isaaclab.sh -p scripts/compare_engines.py --task stack --reuse outputs/stack.json --json outputs/both.json

--reuse plays only what its files lack, so it also goes on after an interruption.
"""

from __future__ import annotations

import sys
from argparse import BooleanOptionalAction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.agents.arms.catalogue import ALWAYS_CAUTIOUS, EXPERT, FLOW_ONLY, NOMINAL_EXPERT
from flow_rag_vla.benchmark.command.arguments import CommandParser, add_json_and_log, fields_of
from flow_rag_vla.benchmark.command.errors import ExitCode, UsageError
from flow_rag_vla.benchmark.command.main import run_command

if TYPE_CHECKING:
    from argparse import Namespace

    from flow_rag_vla.benchmark.engines.outcomes import PlayedCell

ARMS = [arm.name for arm in (NOMINAL_EXPERT, EXPERT, FLOW_ONLY, ALWAYS_CAUTIOUS)]
ENGINES = ["newton_mujoco", "newton_mjwarp"]


def _parser() -> CommandParser:
    parser = CommandParser(__doc__)
    parser.add_argument("--task", default="all", help="gym id or short name (default: all)")
    parser.add_argument("--fault", nargs="+", default=["all"], help="faults, none for clean scenarios (default: all)")
    parser.add_argument(
        "--controls", action=BooleanOptionalAction, default=True, help="the harmless twins of avoidable faults, too"
    )
    parser.add_argument("--arms", nargs="+", default=ARMS[:3], choices=ARMS)
    parser.add_argument("--n", type=int, default=64, help="episodes of a cell")
    parser.add_argument(
        "--physics", nargs="+", default=ENGINES, help="two physics presets, or one to leave its outcomes in --json"
    )
    parser.add_argument("--num_envs", type=int, default=1024, help="largest fleet")
    parser.add_argument("--seed", type=int, default=1, help="names a block of layouts (default: the certificates')")
    parser.add_argument("--checkpoint", default="default")
    parser.add_argument("--device", default="auto", help="of MuJoCo Warp: cpu or cuda:N (default: cuda:0 if any)")
    parser.add_argument(
        "--reuse", type=Path, nargs="+", default=[], metavar="FILE", help="take outcomes from what --json wrote before"
    )
    add_json_and_log(parser, "outputs/compare_engines.log")
    return parser


def _check(arguments: Namespace) -> None:
    for name in ("physics", "arms"):
        values = getattr(arguments, name)
        if len(set(values)) != len(values):
            raise UsageError(f"--{name} {' '.join(values)}: expected each name once")
    if len(arguments.physics) > 2:
        raise UsageError(f"--physics {' '.join(arguments.physics)}: expected one or two presets")
    if len(arguments.physics) == 1 and arguments.json is None:
        raise UsageError(f"--physics {arguments.physics[0]} alone: nothing to compare; expected --json FILE, too")


def _compare(arguments: Namespace, command: str) -> ExitCode:
    from flow_rag_vla.benchmark.command.provenance import code_state
    from flow_rag_vla.benchmark.command.quiet_run import quiet_run
    from flow_rag_vla.benchmark.engines.compare import CompareRequest, outcomes, world_here
    from flow_rag_vla.benchmark.engines.comparison import ComparisonRow, compare_engines, engine_result
    from flow_rag_vla.benchmark.engines.outcomes import write_outcomes
    from flow_rag_vla.benchmark.engines.tables import comparison_markdown, engine_markdown
    from flow_rag_vla.tasks.physics.presets import require_physics

    code, saved = code_state(), False

    def save(played: list[PlayedCell], rows: list[ComparisonRow] | None = None) -> None:
        nonlocal saved
        if arguments.json is not None:
            saved = True
            write_outcomes(arguments.json, world_here(), played, command=command, code=code, comparison=rows or [])

    with quiet_run(arguments.log) as console:
        for name in arguments.physics:
            require_physics(name)
        try:
            played = outcomes(fields_of(CompareRequest, arguments), console, save)
        except KeyboardInterrupt:
            if not saved:
                raise
            raise KeyboardInterrupt(f"go on with --reuse {arguments.json}") from None
    rows = compare_engines(played, *arguments.physics) if len(arguments.physics) == 2 else []
    save(played, rows)
    print(comparison_markdown(rows) if rows else engine_markdown([engine_result(cell) for cell in played]))
    return ExitCode.DONE


def main(argv: list[str]) -> int:
    """Parse, play, compare, print; returns the exit code."""
    body = partial(_compare, command=" ".join(["scripts/compare_engines.py", *argv]))
    return run_command(_parser(), body, argv, check=_check, files=("json", "log"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
