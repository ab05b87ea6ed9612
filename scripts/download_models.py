"""Fetch and verify weights that others trained; by default those that the default configuration needs.

./isaaclab.sh -p scripts/download_models.py
./isaaclab.sh -p scripts/download_models.py --vision outputs/vision_dinov2.safetensors
./isaaclab.sh -p scripts/download_models.py --model all

Exit codes: 0 everything is here and verified, 2 bad usage or a file with the wrong hash, 3 files are missing and the
hub cannot be reached.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from flow_rag_vla.agents.policy.model_files import MODELS
from flow_rag_vla.agents.vision.networks.image_encoder import KINDS
from flow_rag_vla.benchmark.command.arguments import CommandParser
from flow_rag_vla.benchmark.command.errors import ExitCode, IncompleteError, UsageError, usage_errors
from flow_rag_vla.benchmark.command.main import run_command

if TYPE_CHECKING:
    from argparse import Namespace


def _parser() -> CommandParser:
    parser = CommandParser(__doc__)
    parser.add_argument("--model", choices=("all", *MODELS), help="(default: minilm, all that the defaults need)")
    parser.add_argument("--encoder", choices=KINDS, help="also what this vision encoder needs, to be trained or run")
    parser.add_argument("--vision", help="also what this vision checkpoint was trained on, held to its sha256")
    return parser


def _fetch(arguments: Namespace) -> ExitCode:
    from flow_rag_vla.agents.vision.model_download import ModelMissingError, fetch, needed_models

    with usage_errors():
        needed = needed_models(arguments.model, arguments.encoder, arguments.vision)
    wrong, missing = [], []
    for model, asked in needed.items():
        try:
            print(fetch(model, asked))
        except ValueError as error:
            wrong.append(str(error))
        except ModelMissingError as error:
            missing.append(str(error))
    if wrong:
        raise UsageError("\n".join([*wrong, *missing]))
    if missing:
        raise IncompleteError("\n".join(missing))
    return ExitCode.DONE


def main(argv: list[str]) -> int:
    """Parse, fetch, print a line for each model; returns the exit code."""
    return run_command(_parser(), _fetch, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
