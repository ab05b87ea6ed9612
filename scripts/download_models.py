"""Fetch and verify weights that others trained; by default those that the default configuration needs.

./isaaclab.sh -p scripts/download_models.py
./isaaclab.sh -p scripts/download_models.py --vision outputs/vision_dinov2.safetensors
./isaaclab.sh -p scripts/download_models.py --model all

Exit codes: 0 everything is here and verified, 2 bad usage or a file with the wrong hash, 3 files are missing and the
hub cannot be reached.
"""

from __future__ import annotations

import argparse
import sys


def main(argv: list[str]) -> int:
    """Parse, fetch, print a line for each model; returns the exit code."""
    from flow_rag_vla.agents.policy.model_files import MODELS
    from flow_rag_vla.agents.vision.model_download import ModelMissingError, fetch, needed_models
    from flow_rag_vla.agents.vision.networks.image_encoder import KINDS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=("all", *MODELS), help="(default: minilm, all that the defaults need)")
    parser.add_argument("--encoder", choices=KINDS, help="also what this vision encoder needs, to be trained or run")
    parser.add_argument("--vision", help="also what this vision checkpoint was trained on, held to its sha256")
    arguments = parser.parse_args(argv)
    code = 0
    try:
        needed = needed_models(arguments.model, arguments.encoder, arguments.vision)
    except ValueError as error:
        parser.error(str(error))
    for model, asked in needed.items():
        try:
            print(fetch(model, asked))
        except ValueError as error:
            print(f"download_models.py: error: {error}", file=sys.stderr)
            code = 2
        except ModelMissingError as error:
            print(f"download_models.py: {error}", file=sys.stderr)
            code = max(code, 3) if code != 2 else 2
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
