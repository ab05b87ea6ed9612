"""Command line of ``scripts/benchmark.py``: flags are shorthand for one ``key=value`` override each."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.agents.arms.catalogue import FLOW_ONLY, PARALLEL
from flow_rag_vla.benchmark.command.arguments import OverridesParser, comma_list
from flow_rag_vla.benchmark.command.errors import ExitCode, UsageError, usage_errors
from flow_rag_vla.benchmark.command.main import run_command

if TYPE_CHECKING:
    from flow_rag_vla.benchmark.run.conclusion import Reporter


def _parser() -> OverridesParser:
    parser = OverridesParser(
        "Does a policy that failed once fail the same way again? Runs E1 and E2 and writes a report.",
        argparse.HelpFormatter,
        prog="scripts/benchmark.py",
        epilog="Any key=value of flow_rag_vla.benchmark.run.config.BenchmarkSettings overrides that setting, "
        "for example physics=newton_mjwarp or agent.execute=4. Every setting is given once: as a flag or as key=value, "
        "not both.",
        allow_abbrev=False,
    )
    flag = parser.add_argument
    flag(
        "--ablation",
        help=f"one arm, a comma list, all or full (default: {PARALLEL.name}; {FLOW_ONLY.name} always runs)",
    )
    flag("--task", help="gym id of the task")
    flag("--num_envs", help="parallel environments (default: 1024 on CPU, 4096 on CUDA)")
    flag(
        "--scenarios",
        action="append",
        metavar="N or FILE",
        help="scenarios in E1 (default: 1024 on CPU, 4096 on CUDA), or a YAML file with sites and faults of your own; "
        "give the flag twice for both",
    )
    flag("--rounds", help="rounds of E2 (default: 2; 1 with --quick, 4 with --ablation full)")
    flag(
        "--exposures",
        help="how E2 meets the scenarios again, a comma list of exact, near, far, clean, control "
        "(default: all but far; with --ablation full all)",
    )
    flag("--sites", help="sites to spread the scenarios over (default: 1)")
    flag("--seed", help="run seed (default: 0)")
    flag("--device", help="cpu or cuda:N (default: cuda:0 if there is one)")
    flag("--latency", help="off, seed, measured, milliseconds, or ARM=ms,... (default: off)")
    flag("--checkpoint", help="policy checkpoint (default: the one that ships with the project)")
    flag("--obs", help="state or rgb: what the agents perceive objects from (default: state)")
    flag("--vision", help="vision checkpoint for --obs rgb: the CNN's or DINOv2's (default: the one that ships)")
    flag(
        "--vision_async",
        action="store_const",
        const="true",
        help="look at pictures in a worker thread, so that no decision waits for them; results then depend on timing "
        "and are not reproducible bit for bit",
    )
    flag("--out", help="folder for run directories (default: runs)")
    flag("--resume", metavar="DIR", help="finish the run in DIR; its own settings apply")
    flag(
        "--workers",
        metavar="N",
        help="processes that run the units, or auto: one for each `threads` cores "
        "(default: 1, this process; auto with --cluster); results do not depend on it",
    )
    flag("--devices", type=comma_list, default=(), metavar="A,B", help="one worker on each, such as cuda:0,cuda:1")
    flag(
        "--cluster",
        metavar="WHERE",
        help="run the units where Ray finds room: local, auto (the cluster of this machine, or RAY_ADDRESS) or "
        "ray://HOST:PORT",
    )
    flag(
        "--shard",
        metavar="i/N",
        help="run only the i-th of N shares of the units that can run; scripts/merge.py puts the shares together",
    )
    parser.add_argument("--quick", action="store_true", help="the same path with small numbers")
    parser.add_argument("--headless", action="store_true", help="accepted for habit; there is no window")
    return parser


def _overrides(arguments: argparse.Namespace) -> list[str]:
    """Flags that were given, as overrides; quoted, so that Hydra takes commas and equals signs literally."""
    skipped = {"resume", "quick", "headless", "scenarios", "overrides", "workers", "devices", "cluster", "shard"}
    given = {k: v for k, v in vars(arguments).items() if k not in skipped and v is not None}
    for value in arguments.scenarios or ():
        is_number = value.isascii() and value.removeprefix("-").isdecimal()
        key = "scenarios" if is_number else "scenario_file"
        if not value or key in given:
            raise UsageError(f"--scenarios got {value!r}, expected a number once and a YAML file once at most")
        if key == "scenario_file" and not Path(value).exists():
            raise UsageError(f"--scenarios {value!r}: no such file; expected a number or a YAML file")
        given[key] = value
    # Late, as Hydra takes a moment to import.
    from flow_rag_vla.benchmark.command.composition import quoted

    overrides = [f"{key}={quoted(value)}" for key, value in given.items()]
    return [*overrides, "quick=true"] if arguments.quick else overrides


def _benchmark(arguments: argparse.Namespace, argv: Sequence[str], reporter: Reporter) -> ExitCode:
    from flow_rag_vla.benchmark.workers.launch import Launch
    from flow_rag_vla.benchmark.workers.shard import Shard

    shard = None if arguments.shard is None else Shard.of(arguments.shard)
    workers = arguments.workers or ("1" if arguments.cluster is None else "auto")
    launch = Launch(workers, arguments.devices, arguments.cluster, shard)
    overrides = [*_overrides(arguments), *arguments.overrides]
    if launch.devices and not any(override.startswith("device=") for override in overrides):
        overrides = [*overrides, f"device={launch.devices[0]}"] if arguments.resume is None else overrides
    if arguments.resume is not None and overrides:
        raise UsageError("--resume takes the run's own settings; give no others")
    with usage_errors():
        if arguments.resume is not None:
            from flow_rag_vla.benchmark.run.resume import resume_benchmark

            finished = resume_benchmark(arguments.resume, reporter, launch)
        else:
            from flow_rag_vla.benchmark.run.config import compose_settings

            settings = compose_settings(overrides)
            # After the settings, whose mistakes need no torch to be seen.
            from flow_rag_vla.benchmark.run.start import start_benchmark

            finished = start_benchmark(settings, list(argv), reporter, launch)
    return ExitCode.DONE if finished else ExitCode.INCOMPLETE


def main(argv: Sequence[str], reporter: Reporter) -> int:
    """Run the benchmark; returns the exit code: 0 done, 3 incomplete, 128 + N by signal N; bad usage exits with 2."""
    return run_command(_parser(), lambda arguments: _benchmark(arguments, argv, reporter), argv)
