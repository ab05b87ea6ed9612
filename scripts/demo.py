"""Film a fault as it happens and is overcome: a video, and stills of the failures and the ends beside it.

./isaaclab.sh -p scripts/demo.py --task pick_place --fault post                  # the expert untold, then told
./isaaclab.sh -p scripts/demo.py --task pick_place --fault post --arm parallel   # a failure, remembered, then overcome
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Parse, film, print the video's path; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="pick_place", help="short name or gym id")
    parser.add_argument("--fault", default="post", help="a fault of tasks/README.md at its default severity, or none")
    parser.add_argument(
        "--arm",
        default="experts",
        help="nominal_expert, expert, an arm of the benchmark, or experts: the nominal one, then the one that was told",
    )
    parser.add_argument("--attempts", type=int, default=3, help="most episodes of an arm that may learn from failures")
    parser.add_argument("--seed", type=int, default=0, help="names site and layout")
    parser.add_argument("--out", type=Path, default=Path("outputs/demo"))
    parser.add_argument("--format", default="mp4", help="mp4 or gif")
    parser.add_argument("--width", type=int, default=640, help="pixels, a multiple of 64")
    parser.add_argument("--checkpoint", default="default")
    arguments = parser.parse_args(argv)

    # Imported late, so that --help answers at once.
    from flow_rag_vla.benchmark.command.output_path import refuse_unwritable_folder
    from flow_rag_vla.benchmark.films.demo import DemoRequest, film_demo, prepare_demo
    from flow_rag_vla.tasks.physics.quiet import quiet_console

    try:
        demo = prepare_demo(DemoRequest(**vars(arguments)))
        refuse_unwritable_folder(parser, out=arguments.out)
        with quiet_console(arguments.out / "demo.log") as console:
            video = film_demo(demo, console)
    except (ValueError, KeyError) as error:
        print(f"demo.py: error: {error.args[0]}", file=sys.stderr)
        return 2
    print(video)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
