#!/usr/bin/env bash
# One shard; slurm_submit.sh submits it.  What a shard needs (a CPU one): raise with --cpus-per-task and --mem.
#SBATCH --job-name=flow-rag-vla
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --mem=6G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120
set -euo pipefail

folder="$1"
shift
here="${FLOW_RAG_VLA_HERE:?submit it with slurm_submit.sh}"
# shellcheck source=docker/cluster/in_image.sh
source "$here/in_image.sh"

# Two minutes before its time is over the shard is told: it keeps what is done, ends with 138 (128 and USR1's number), and
# goes on when Slurm starts it again.
"${IN_IMAGE[@]}" "$SHARD" "$SLURM_ARRAY_TASK_ID" "$SLURM_ARRAY_TASK_COUNT" "$folder" "$@" &
shard=$!
trap 'kill -USR1 "$shard" 2>/dev/null || true' USR1
trap 'kill -TERM "$shard" 2>/dev/null || true' TERM
code=0
wait "$shard" || code=$?
while kill -0 "$shard" 2>/dev/null; do    # a signal ends bash's wait, not the shard
    code=0
    wait "$shard" || code=$?
done
if ((code == 138)); then
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
    exit 0
fi
exit "$code"
