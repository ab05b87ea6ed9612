"""Film a fault as it happens and is overcome: a video, and stills of the failures and the ends beside it.

./isaaclab.sh -p scripts/demo.py --task pick_place --fault post                  # the expert untold, then told
./isaaclab.sh -p scripts/demo.py --task pick_place --fault post --arm parallel   # a failure, remembered, then overcome
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.command.arguments import CommandParser
from flow_rag_vla.benchmark.command.errors import ExitCode, usage_errors
from flow_rag_vla.benchmark.command.main import run_command
from flow_rag_vla.benchmark.command.output_path import refuse_unwritable_folder

if TYPE_CHECKING:
    from argparse import Namespace


def _parser() -> CommandParser:
    parser = CommandParser(__doc__)
    parser.add_argument("--task", default="pick_place", help="short name or gym id")
    parser.add_argument("--fault", default="post", help="a fault of tasks/README.md at its default severity, or none")
    parser.add_argument(
        "--arm",
        default="experts",
        help="an arm, or experts: the scripted expert untold, then told",
    )
    parser.add_argument("--attempts", type=int, default=3, help="most episodes of an arm that may learn from failures")
    parser.add_argument("--seed", type=int, default=0, help="names site and layout")
    parser.add_argument("--out", type=Path, default=Path("outputs/demo"))
    parser.add_argument("--format", default="mp4", help="mp4 or gif")
    parser.add_argument("--width", type=int, default=640, help="pixels, a multiple of 64")
    parser.add_argument("--checkpoint", default="default")
    return parser


def _film(arguments: Namespace) -> ExitCode:
    from flow_rag_vla.benchmark.command.quiet_run import quiet_run
    from flow_rag_vla.benchmark.films.demo import DemoRequest, film_demo, prepare_demo

    with usage_errors():
        demo = prepare_demo(DemoRequest(**vars(arguments)))
    refuse_unwritable_folder(out=arguments.out)
    with quiet_run(arguments.out / "demo.log") as console:
        video = film_demo(demo, console)
    print(video)
    return ExitCode.DONE


def main(argv: list[str]) -> int:
    """Parse, film, print the video's path; returns the exit code."""
    return run_command(_parser(), _film, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
