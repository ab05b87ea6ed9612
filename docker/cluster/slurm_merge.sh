#!/usr/bin/env bash
# Merges a pass of shards when all have ended, however they did; slurm_submit.sh submits it.
#SBATCH --job-name=flow-rag-vla-merge
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --mem=6G
#SBATCH --time=01:00:00
set -euo pipefail

folder="$1"
here="${FLOW_RAG_VLA_HERE:?submit it with slurm_submit.sh}"
# shellcheck source=docker/cluster/in_image.sh
source "$here/in_image.sh"
"${IN_IMAGE[@]}" "$MERGE" "$folder" "${2-}"
