"""Measure whether a failure memory keeps a policy from failing the same way again.

./isaaclab.sh -p scripts/benchmark.py --ablation parallel
./isaaclab.sh -p scripts/benchmark.py --ablation all --seed 1 physics=newton_mjwarp
"""

from __future__ import annotations

import sys

from flow_rag_vla.benchmark.command.stop_signals import end_process
from flow_rag_vla.benchmark.run.cli import main
from flow_rag_vla.reports.reporter import RunReporter

if __name__ == "__main__":
    end_process(main(sys.argv[1:], RunReporter()))
