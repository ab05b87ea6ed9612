#!/usr/bin/env bash
# A run on several nodes by Ray, which moves a lost node's units to the others:
#   sbatch --nodes=4 docker/cluster/slurm_ray.sh FOLDER [arguments of scripts/benchmark.py]
# from the top of the checkout, whose environment has the extra `cluster`.  FOLDER lies on storage that all nodes see.
#SBATCH --job-name=flow-rag-vla-ray
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@120
set -euo pipefail

folder="$(readlink -f "$1")"
shift
root="${SLURM_SUBMIT_DIR:?submit it with sbatch}"
mkdir -p "$folder"

# Whoever has the token may run code on these nodes, so only this user can read it, and it goes with the job.
token="$folder/.ray-token-$SLURM_JOB_ID"
(umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$token")
trap 'rm -f "$token"' EXIT
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$token" RAY_USAGE_STATS_ENABLED=0

# Nodes talk over their own addresses; a port of this job's keeps it apart from other users' clusters.
head_node="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)"
address="$(srun --nodes=1 --ntasks=1 --nodelist="$head_node" hostname --ip-address | awk '{print $1}')"
port=$((20000 + SLURM_JOB_ID % 20000))

resume=()
started=("$folder"/*/manifest.json)
if [[ -e "${started[0]}" ]]; then resume=(--resume "$(dirname "${started[0]}")"); set --; else resume=(--out "$folder"); fi

srun --kill-on-bad-exit=0 "$root/isaaclab.sh" -p -m ray.scripts.scripts symmetric-run \
    --address "$address:$port" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --include-dashboard=false --temp-dir "/tmp/ray-$SLURM_JOB_ID" -- \
    "$root/isaaclab.sh" -p "$root/scripts/benchmark.py" --cluster auto "${resume[@]}" "$@" &
run=$!
trap 'kill -TERM "$run" 2>/dev/null || true' TERM USR1
code=0
wait "$run" || code=$?
while kill -0 "$run" 2>/dev/null; do code=0; wait "$run" || code=$?; done
exit "$code"
