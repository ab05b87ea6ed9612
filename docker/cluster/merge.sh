#!/usr/bin/env bash
# Merges the shards of a run into one report and checks it: merge.sh FOLDER, the one that shard.sh was given.
set -euo pipefail

folder="$(readlink -f "$1")"
root="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd -P)"

launch=("$root/isaaclab.sh")
if [[ -d "$root-cache" ]]; then launch=("$root/docker/entrypoint.sh"); fi   # in the image

cd "$root"
"${launch[@]}" -p scripts/merge.py "$folder"
for manifest in "$folder"/*/manifest.json; do
    [[ ! -e "$manifest" ]] || "${launch[@]}" -p scripts/verify_run.py "$(dirname "$manifest")"
done
