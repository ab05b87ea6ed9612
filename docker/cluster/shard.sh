#!/usr/bin/env bash
# Runs one shard of a run, from wherever a scheduler starts it; started again, it goes on where it was:
#   shard.sh INDEX COUNT FOLDER [arguments of scripts/benchmark.py]
# INDEX counts from 0, as Slurm's arrays and Kubernetes' indexed jobs do.  All shards of a run have the same COUNT,
# FOLDER (on storage that all of them see) and arguments.  A pass of shards runs what can run before the memories are
# merged: after each comes merge.sh, then the next, which begins with copies of what was merged.  Exit codes are the
# benchmark's: README.md has them.
set -euo pipefail

index="$1" count="$2" folder="$3"
shift 3
root="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd -P)"

launch=("$root/isaaclab.sh")
if [[ -d "$root-cache" ]]; then launch=("$root/docker/entrypoint.sh"); fi   # in the image

pass=1
while [[ -e "$folder/merged-$pass/manifest.json" ]]; do pass=$((pass + 1)); done
own="$folder/pass-$pass/shard-$index-of-$count"
mkdir -p "$folder/pass-$pass"
started=("$own"/*/manifest.json)
if [[ -e "${started[0]}" ]]; then
    set -- --resume "$(dirname "${started[0]}")"
elif ((pass > 1)); then
    rm -rf "$own.copy"    # one that was cut off
    mkdir "$own.copy"
    cp -r "$folder/merged-$((pass - 1))" "$own.copy/run"
    rm -rf "$own"
    mv "$own.copy" "$own"
    set -- --resume "$own/run"
else
    mkdir -p "$own"
    set -- --out "$own" "$@"
fi
cd "$root"
exec "${launch[@]}" -p scripts/benchmark.py --shard "$((index + 1))/$count" "$@"
