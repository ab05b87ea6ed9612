"""Measure that contacts are what statics says: what a grip holds, what the hand presses with, how far it opens.

./isaaclab.sh -p scripts/measure_contacts.py --physics newton_mujoco --docs

Where a preset is slow, ``--forces 10 --ratios 0.85,0.95,1.05,1.15`` leaves out grips and masses.

The exit code is 0 where everything is met, 1 where a complaint is printed.
"""

from __future__ import annotations

import sys
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.command.arguments import CommandParser, add_json_and_log, add_physics_and_device, comma_list
from flow_rag_vla.benchmark.command.errors import ExitCode, UsageError
from flow_rag_vla.benchmark.command.main import run_command

if TYPE_CHECKING:
    from argparse import Namespace

    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv


def _parser() -> CommandParser:
    parser = CommandParser(__doc__)
    parser.add_argument("--forces", help="comma list of forces of a finger, N (default: all)")
    parser.add_argument("--ratios", help="comma list of masses as multiples of statics' (default: 0.7 to 1.3)")
    add_physics_and_device(parser)
    parser.add_argument("--docs", action="store_true", help="write the engine's part of tasks/physics/CONTACTS.md")
    add_json_and_log(parser, "outputs/measure_contacts.log")
    return parser


def _numbers(flag: str, text: str | None) -> list[float] | None:
    try:
        numbers = None if text is None else [float(word) for word in comma_list(text)]
    except ValueError:
        raise UsageError(f"{flag}: expected numbers such as 10,20, got {text!r}") from None
    if numbers is not None and (min(numbers) <= 0 or len(set(numbers)) != len(numbers)):
        raise UsageError(f"{flag}: expected different positive numbers, got {text!r}")
    return numbers


def _check(arguments: Namespace) -> None:
    arguments.forces = _numbers("--forces", arguments.forces)
    arguments.ratios = _numbers("--ratios", arguments.ratios)


def _measure(arguments: Namespace, command: str) -> ExitCode:
    from flow_rag_vla.benchmark.certification.certify import engine_versions
    from flow_rag_vla.benchmark.command.atomic_files import write_json_atomic
    from flow_rag_vla.benchmark.command.progress import Progress
    from flow_rag_vla.benchmark.command.quiet_run import quiet_run
    from flow_rag_vla.benchmark.contacts import holding, opening, pressing
    from flow_rag_vla.benchmark.contacts.contact_docs import (
        Contacts,
        holding_table,
        opening_line,
        pressing_table,
        verdict,
        write_docs,
    )
    from flow_rag_vla.benchmark.contacts.contact_record import contact_record
    from flow_rag_vla.benchmark.contacts.threshold import RATIOS
    from flow_rag_vla.tasks.env.make import make_fleet, resolve_device, resolve_physics

    with quiet_run(arguments.log) as console:
        device = resolve_device(arguments.device)
        physics = resolve_physics(arguments.physics, device)

        def fleet(num_envs: int) -> ManipulationEnv:
            return make_fleet("lift", num_envs, physics=physics, device=device, max_steps=holding.NUM_STEPS + 1)

        grips = [g for g in holding.GRIPS if arguments.forces is None or g.force_n in arguments.forces]
        if not grips:
            forces = sorted({g.force_n for g in holding.GRIPS})
            raise ValueError(f"--forces {arguments.forces}: no grip has one of them; available: {forces}")
        trials = holding.plan_holding(grips, arguments.ratios or RATIOS)
        with closing(fleet(len(trials))) as env, Progress(holding.NUM_STEPS, "steps of holding", console) as progress:
            held = holding.measure_holding(env, trials, progress.update)
        with closing(fleet(len(pressing.PLACES))) as env:
            with Progress(pressing.NUM_STEPS, "steps of pressing", console) as progress:
                pressed = pressing.measure_pressing(env, on_step=progress.update)
            with Progress(opening.NUM_STEPS, "steps of opening", console) as progress:
                opened = opening.measure_opening(env, progress.update)
    contacts = Contacts(physics, tuple(held), tuple(pressed), opened)
    print(
        f"{physics}\n{holding_table(contacts.holding)}\n\n{pressing_table(contacts.pressing)}\n\n{opening_line(opened)}"
    )
    if arguments.docs:
        write_docs(contacts, command, ", ".join(f"{name} {version}" for name, version in engine_versions().items()))
    if arguments.json is not None:
        write_json_atomic(arguments.json, contact_record(contacts))
    complaints = verdict(contacts)
    print("\n".join(complaints) if complaints else "contacts are what statics says")
    return ExitCode.GATE_FAILED if complaints else ExitCode.DONE


def main(argv: list[str]) -> int:
    """Parse, measure, print; returns the exit code."""
    body = partial(_measure, command=" ".join(["scripts/measure_contacts.py", *argv]))
    return run_command(_parser(), body, argv, check=_check, files=("json", "log"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
