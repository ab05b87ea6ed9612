"""Train the flow policy: from nothing to a checkpoint in one command.

./isaaclab.sh -p scripts/train.py
./isaaclab.sh -p scripts/train.py --tasks pick_place --iterations 2000 --name short validation.every=1000
./isaaclab.sh -p scripts/train.py --resume outputs/train/short
"""

from __future__ import annotations

import sys
from pathlib import Path

from flow_rag_vla.benchmark.training.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path(__file__).resolve().parent))
