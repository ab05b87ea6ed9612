"""Train what finds the object in the camera's picture: the small CNN, or a head on a frozen DINOv2.

./isaaclab.sh -p scripts/train_vision.py --renders outputs/renders --out outputs/vision_cnn.safetensors
./isaaclab.sh -p scripts/train_vision.py --encoder dinov2 --renders outputs/renders
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.agents.training.cfg import VisionTrainingCfg
from flow_rag_vla.agents.vision.networks.image_encoder import CNN, DINOV2, DINOV2_HEIGHT, DINOV2_WIDTH, KINDS
from flow_rag_vla.benchmark.command.arguments import CommandParser, add_fields, fields_of
from flow_rag_vla.benchmark.command.errors import ExitCode, UsageError, usage_errors
from flow_rag_vla.benchmark.command.main import run_command
from flow_rag_vla.benchmark.command.output_path import refuse_unwritable
from flow_rag_vla.benchmark.command.ranges import ANY_SEED

if TYPE_CHECKING:
    from argparse import Namespace

SIZE = {"height": DINOV2_HEIGHT, "width": DINOV2_WIDTH}


def _parser() -> CommandParser:
    parser = CommandParser(__doc__)
    parser.add_argument("--renders", type=Path, default=Path("outputs/renders"), help="pictures of training seeds")
    parser.add_argument("--validation", type=Path, help="pictures of development seeds, to measure the error on")
    parser.add_argument("--out", type=Path, help="(default: outputs/vision_ENCODER.safetensors)")
    parser.add_argument("--encoder", default=CNN, choices=KINDS, help="what to train (default: cnn)")
    parser.add_argument(
        "--backbone",
        type=Path,
        help="folder of DINOv2's config.json and model.safetensors, for --encoder dinov2 (default: dinov2-small in "
        "$FLOW_RAG_VLA_MODELS or ~/.cache/flow_rag_vla/models, or the hub's cache)",
    )
    for name, pixels in SIZE.items():
        parser.add_argument(f"--{name}", type=int, help=f"pixels that DINOv2 sees, multiples of 14 (default: {pixels})")
    parser.add_argument("--threads", type=int, default=2, help="torch threads; part of what fixes the weights")
    parser.add_argument("--measure", type=Path, help="measure this checkpoint on --validation instead of training")
    add_fields(parser, VisionTrainingCfg())
    return parser


def _check(arguments: Namespace) -> None:
    """Refuse what the other encoder has, then put in the defaults that depend on the encoder."""
    if arguments.encoder == DINOV2 and arguments.channels != VisionTrainingCfg.channels:
        raise UsageError("--channels is for --encoder cnn, got --encoder dinov2")
    for name in ("backbone", *SIZE):
        if getattr(arguments, name) is not None and arguments.encoder != DINOV2 and arguments.measure is None:
            raise UsageError(f"--{name} is for --encoder dinov2, got --encoder {arguments.encoder}")
    for name, pixels in SIZE.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, pixels)
    if arguments.out is None:
        arguments.out = Path(f"outputs/vision_{arguments.encoder}.safetensors")
    if arguments.measure is None:
        refuse_unwritable(out=arguments.out)


def _train(arguments: Namespace, command: str) -> ExitCode:
    import torch

    from flow_rag_vla.agents.vision.accuracy import accuracy
    from flow_rag_vla.agents.vision.checkpoint import VisionCheckpoint, load_vision, save_vision
    from flow_rag_vla.agents.vision.networks.dinov2 import DinoV2Encoder, DinoV2EncoderCfg, patch_grid
    from flow_rag_vla.agents.vision.networks.dinov2_backbone import load_dinov2
    from flow_rag_vla.agents.vision.training import load_pictures, num_steps, train_vision
    from flow_rag_vla.benchmark.command.progress import Progress
    from flow_rag_vla.benchmark.command.provenance import code_state
    from flow_rag_vla.benchmark.episodes.seeds import require_split

    torch.set_num_threads(arguments.threads)
    cfg = fields_of(VisionTrainingCfg, arguments)
    validation = new_network = None
    with usage_errors(OSError):
        if arguments.validation is not None:
            validation = load_pictures(arguments.validation)
            require_split(validation.layout_seeds, "development")
        if arguments.measure is not None:
            if validation is None:
                raise UsageError("--measure needs --validation")
            net = load_vision(arguments.measure, backbone=arguments.backbone).encoder
            print(*accuracy(net, validation), sep="\n")
            return ExitCode.DONE
        data = load_pictures(arguments.renders)
        require_split(data.layout_seeds, "train")
        if len(data.rgb) < cfg.batch_size:
            raise UsageError(f"{len(data.rgb)} pictures, expected at least one batch of {cfg.batch_size}")
        if arguments.encoder == DINOV2:
            backbone = load_dinov2(arguments.backbone)
            seen = DinoV2EncoderCfg(arguments.height, arguments.width)
            patch_grid(backbone, seen)
            new_network = partial(DinoV2Encoder, backbone, seen)
    print(f"{len(data.rgb)} pictures of {len(data.layout_seeds)} layouts", flush=True)
    start = time.monotonic()
    with Progress(num_steps(len(data.rgb), cfg), "steps") as progress:
        net = train_vision(data, cfg, lambda i, loss: progress.update(i, f"loss {loss:.3f}"), new_network)
    seconds = time.monotonic() - start
    training = {
        "command": command,
        "code": code_state(),
        "pictures": len(data.rgb),
        "layouts": len(data.layout_seeds),
        "threads": arguments.threads,
    }
    sha = save_vision(arguments.out, VisionCheckpoint(net, {**training, **asdict(cfg)}))
    print(f"trained in {seconds:.0f} s\n{arguments.out} sha256 {sha}")
    if validation is not None:
        print(*accuracy(net, validation), sep="\n")
    return ExitCode.DONE


def main(argv: list[str]) -> int:
    """Parse, train, measure, save; returns the exit code."""
    body = partial(_train, command="scripts/train_vision.py " + " ".join(argv))
    return run_command(_parser(), body, argv, ranges={"seed": ANY_SEED}, check=_check)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
