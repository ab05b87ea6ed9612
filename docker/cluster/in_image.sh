# Sourced by Slurm's jobs: IN_IMAGE is what runs a command in $IMAGE, or nothing; SHARD and MERGE are the scripts there.
# $folder is the run's, and all that the image may write.
# shellcheck shell=bash disable=SC2034,SC2154
if [[ -n "${IMAGE:-}" ]]; then
    inside=/opt/flow-rag-vla/docker/cluster
    IN_IMAGE=(apptainer exec --cleanenv --containall --no-home --bind "$folder:$folder" --pwd /opt/flow-rag-vla)
    # Kernels that are made once are kept for the other shards.
    mkdir -p "$folder/cache"
    IN_IMAGE+=(--bind "$folder/cache:/cache")
    if [[ -n "${GPU:-}" ]]; then IN_IMAGE+=(--nv); fi
    IN_IMAGE+=("$IMAGE")
else
    inside="$here"
    IN_IMAGE=(env)
fi
SHARD="$inside/shard.sh" MERGE="$inside/merge.sh"
