#!/usr/bin/env bash
# Merges a pass of shards: merge.sh FOLDER [last], the folder that shard.sh was given.  Where nothing is left to run, the
# run is scored, reported and checked; else the next pass goes on.  Exit code 3: units are left after the last one.
set -euo pipefail

folder="$(readlink -f "$1")"
root="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd -P)"

launch=("$root/isaaclab.sh")
if [[ -d "$root-cache" ]]; then launch=("$root/docker/entrypoint.sh"); fi   # in the image

cd "$root"
pass=1
while [[ -e "$folder/merged-$pass/manifest.json" ]]; do pass=$((pass + 1)); done
runs=()
for manifest in "$folder/pass-$pass"/shard-*/*/manifest.json; do
    [[ ! -e "$manifest" ]] || runs+=("$(dirname "$manifest")")
done
if ((${#runs[@]} == 0)); then
    echo "$folder/pass-$pass holds no shard that has begun" >&2
    exit 3
fi
"${launch[@]}" -p scripts/merge.py "${runs[@]}" --out "$folder/merged-$pass"    # whole or not at all
if [[ -e "$folder/merged-$pass/summary.json" ]]; then
    "${launch[@]}" -p scripts/verify_run.py "$folder/merged-$pass"
elif [[ "${2-}" == last ]]; then
    exit 3
fi
