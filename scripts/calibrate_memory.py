"""How much gain a memory's advice must promise, so that it breaks at most a given share of what works without it.

./isaaclab.sh -p scripts/calibrate_memory.py runs/RUN
./isaaclab.sh -p scripts/benchmark.py (as RUN) agent.uplift_threshold=(what was found)

--coverage asks instead whether such promises are kept: at each site of a run of development seeds one half of the
episodes chooses the threshold and the other half judges it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.command.arguments import CommandParser, add_json_and_log, comma_list, numbers
from flow_rag_vla.benchmark.command.errors import ExitCode
from flow_rag_vla.benchmark.command.main import run_command

if TYPE_CHECKING:
    from argparse import Namespace


def _parser() -> CommandParser:
    parser = CommandParser(__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory whose first encounter is complete")
    parser.add_argument(
        "--max_harm",
        type=float,
        help="points of CLEAN and of CONTROL (default: the run's agent.max_harm, 2 unless set)",
    )
    parser.add_argument("--error", type=float, default=5.0, help="chance, in points, that it is more (default 5)")
    parser.add_argument(
        "--episodes",
        type=int,
        default=300,
        help="played of either kind, twice each (default 300); with --coverage at each site",
    )
    parser.add_argument("--coverage", metavar="LIMITS", help="limits of harm to promise, in points, such as 10,20")
    parser.add_argument("--arm", help="whose advice; with --coverage a comma list (default parallel)")
    add_json_and_log(parser, "outputs/calibrate_memory.log")
    return parser


def _check(arguments: Namespace) -> None:
    if arguments.coverage is not None:
        arguments.coverage = numbers("--coverage", arguments.coverage)


def _calibrate(arguments: Namespace) -> ExitCode:
    from flow_rag_vla.agents.arms.catalogue import PARALLEL
    from flow_rag_vla.benchmark.command.quiet_run import quiet_run
    from flow_rag_vla.benchmark.policies.calibration.calibrate import CalibrationRequest, calibrate
    from flow_rag_vla.benchmark.policies.calibration.cover import CoverageRequest, cover

    run, error, episodes = arguments.run, arguments.error / 100.0, arguments.episodes
    arm = PARALLEL.name if arguments.arm is None else arguments.arm
    with quiet_run(arguments.log) as console:
        if arguments.coverage is None:
            max_harm = None if arguments.max_harm is None else arguments.max_harm / 100.0
            found = calibrate(CalibrationRequest(run, max_harm, error, episodes, arm), console)
        else:
            limits = tuple(limit / 100.0 for limit in arguments.coverage)
            found = cover(CoverageRequest(run, limits, error, episodes, comma_list(arm)), console)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found.to_dict(), sort_keys=True) + "\n")
    print(found)
    return ExitCode.DONE


def main(argv: list[str]) -> int:
    """Parse, calibrate or measure, print what was found; returns the exit code."""
    return run_command(_parser(), _calibrate, argv, check=_check, files=("json", "log"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
