"""What is measured: plan, rollout, statistics, run directory."""
