#!/usr/bin/env bash
# Submits a run as arrays of N shards, and after each the job that merges them once all have ended:
#   bash docker/cluster/slurm_submit.sh N FOLDER [arguments of scripts/benchmark.py]
# PASSES is how many: E1 and each round need one (3 by default, for 2 rounds; 5 with --rounds 4).
# FOLDER lies on storage that all nodes see.  SBATCH_* variables (SBATCH_ACCOUNT, SBATCH_PARTITION, SBATCH_TIMELIMIT) hold
# for both jobs.  IMAGE=flow-rag-vla.sif runs everything in that Apptainer image, GPU=1 asks for a GPU a shard.
set -euo pipefail

shards="$1" folder="$2"
shift 2
here="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)"
mkdir -p "$folder/log"
folder="$(readlink -f "$folder")"
export FLOW_RAG_VLA_HERE="$here" IMAGE="${IMAGE:+$(readlink -f "$IMAGE")}" GPU="${GPU:-}"

passes="${PASSES:-3}" after=()
for ((pass = 1; pass <= passes; pass++)); do
    array=$(sbatch --parsable "${after[@]}" --array="0-$((shards - 1))" --output="$folder/log/%A_%a.log" \
        ${GPU:+--gpus=1} "$here/slurm_array.sh" "$folder" "$@")
    last=()
    if ((pass == passes)); then last=(last); fi
    merge=$(sbatch --parsable --dependency="afterany:${array%%;*}" --output="$folder/log/merge_%j.log" \
        "$here/slurm_merge.sh" "$folder" "${last[@]}")
    echo "pass $pass: shards are job ${array%%;*}, merged by job ${merge%%;*}"
    after=(--dependency="afterany:${merge%%;*}")
done
echo "report: $folder/merged-$passes/report; logs: $folder/log"
