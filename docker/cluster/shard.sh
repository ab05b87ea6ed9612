#!/usr/bin/env bash
# Runs one shard of a run, from wherever a scheduler starts it; started again, it goes on where it was:
#   shard.sh INDEX COUNT FOLDER [arguments of scripts/benchmark.py]
# INDEX counts from 0, as Slurm's arrays and Kubernetes' indexed jobs do.  All shards of a run have the same COUNT,
# FOLDER (on storage that all of them see) and arguments.  Exit codes are the benchmark's: README.md has them.
set -euo pipefail

index="$1" count="$2" folder="$3"
shift 3
root="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd -P)"

launch=("$root/isaaclab.sh")
if [[ -d "$root-cache" ]]; then launch=("$root/docker/entrypoint.sh"); fi   # in the image

own="$folder/shard-$index-of-$count"
mkdir -p "$own"
started=("$own"/*/manifest.json)
if [[ -e "${started[0]}" ]]; then
    set -- --resume "$(dirname "${started[0]}")"
else
    set -- --out "$own" "$@"
fi
cd "$root"
exec "${launch[@]}" -p scripts/benchmark.py --shard "$((index + 1))/$count" "$@"
