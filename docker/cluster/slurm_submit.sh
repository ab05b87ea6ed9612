#!/usr/bin/env bash
# Submits a run as an array of N shards, and the job that merges them once all have ended:
#   bash docker/cluster/slurm_submit.sh N FOLDER [arguments of scripts/benchmark.py]
# FOLDER lies on storage that all nodes see.  SBATCH_* variables (SBATCH_ACCOUNT, SBATCH_PARTITION, SBATCH_TIMELIMIT) hold
# for both jobs.  IMAGE=flow-rag-vla.sif runs everything in that Apptainer image, GPU=1 asks for a GPU a shard.
set -euo pipefail

shards="$1" folder="$2"
shift 2
here="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)"
mkdir -p "$folder/log"
folder="$(readlink -f "$folder")"
export FLOW_RAG_VLA_HERE="$here" IMAGE="${IMAGE:+$(readlink -f "$IMAGE")}" GPU="${GPU:-}"

array=$(sbatch --parsable --array="0-$((shards - 1))" --output="$folder/log/%A_%a.log" ${GPU:+--gpus=1} \
    "$here/slurm_array.sh" "$folder" "$@")
merge=$(sbatch --parsable --dependency="afterany:${array%%;*}" --output="$folder/log/merge_%j.log" \
    "$here/slurm_merge.sh" "$folder")
echo "shards: job ${array%%;*}; merged by job ${merge%%;*}; logs in $folder/log"
