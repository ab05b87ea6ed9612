"""Train the flow policy on recorded demonstrations.

./isaaclab.sh -p scripts/train.py --demonstrations demonstrations/* --out outputs/policy.safetensors
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import fields
from pathlib import Path


def main(argv: list[str]) -> int:
    """Parse, train, save; returns the exit code."""
    from flow_rag_vla.agents.training import TrainingCfg

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demonstrations", type=Path, nargs="+", default=[Path("demonstrations/pick_place")])
    parser.add_argument("--out", type=Path, default=Path("outputs/policy.safetensors"))
    parser.add_argument("--threads", type=int, default=2, help="torch threads; part of what fixes the weights")
    parser.add_argument("--bank_size", type=int, default=20_000, help="demonstrated states kept for rag_only")
    defaults = TrainingCfg()
    for item in fields(TrainingCfg):
        default = getattr(defaults, item.name)
        if isinstance(default, bool):
            parser.add_argument(f"--{item.name}", default=default, action=argparse.BooleanOptionalAction)
        else:
            parser.add_argument(f"--{item.name}", default=default, type=type(default))
    arguments = parser.parse_args(argv)

    import torch

    from flow_rag_vla.agents.checkpoint import save_checkpoint
    from flow_rag_vla.agents.demonstration_bank import save_bank
    from flow_rag_vla.agents.demonstration_set import load_demonstrations
    from flow_rag_vla.agents.training import train_policy
    from flow_rag_vla.benchmark.progress import Progress
    from flow_rag_vla.benchmark.seeds import require_split

    torch.set_num_threads(arguments.threads)
    cfg = TrainingCfg(**{item.name: getattr(arguments, item.name) for item in fields(TrainingCfg)})
    try:
        data = load_demonstrations(arguments.demonstrations)
        require_split(data.layout_seeds, "train")
    except ValueError as error:
        parser.error(str(error))
    try:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"cannot write to --out {arguments.out}: {error.strerror}")
    print(f"{len(data.actions)} steps of demonstrations")
    start = time.monotonic()
    with Progress(cfg.iterations, "iterations") as progress:
        checkpoint, _ = train_policy(
            data,
            cfg,
            lambda i, loss: progress.update(i, f"loss {loss:.4f}"),
            provenance={"steps": len(data.actions), "threads": arguments.threads},
        )
    sha = save_checkpoint(arguments.out, checkpoint)
    bank = arguments.out.with_name(f"{arguments.out.stem}_bank.safetensors")
    save_bank(bank, data, cfg.horizon, arguments.bank_size)
    print(f"trained in {time.monotonic() - start:.0f} s; final loss {checkpoint.training['final_loss']:.4f}")
    print(f"{arguments.out} sha256 {sha}")
    print(f"{bank} holds {arguments.bank_size} demonstrated states for rag_only")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
