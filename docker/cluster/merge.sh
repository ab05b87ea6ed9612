#!/usr/bin/env bash
# Merges the last pass of shards: merge.sh FOLDER [last], the folder that shard.sh was given.  Where nothing is left to
# run, the run is scored, reported and checked; else the next pass goes on.  Started again after it was cut off, it does
# what is missing.  Exit code 3: units are left after the last pass.
set -euo pipefail

folder="$(readlink -f "$1")"
root="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd -P)"

launch=("$root/isaaclab.sh")
if [[ -d "$root-cache" ]]; then launch=("$root/docker/entrypoint.sh"); fi   # in the image

cd "$root"
runs=()
for ((pass = 1; ; pass++)); do
    begun=("$folder/pass-$pass"/shard-*/*/manifest.json)
    [[ -e "${begun[0]}" ]] || break
    runs=("${begun[@]%/manifest.json}")
done
pass=$((pass - 1))
if ((pass == 0)); then
    echo "$folder/pass-1 holds no shard that has begun" >&2
    exit 3
fi
code=0
"${launch[@]}" -p scripts/merge.py "${runs[@]}" --out "$folder/merged-$pass" || code=$?
# Whole or not at all; what a shard has given up the next pass tries again.
if ((code == 3)) && [[ "${2-}" != last && -e "$folder/merged-$pass/gaps.json" ]]; then exit 0; fi
if ((code)); then exit "$code"; fi
if [[ -e "$folder/merged-$pass/summary.json" ]]; then
    "${launch[@]}" -p scripts/verify_run.py "$folder/merged-$pass"
elif [[ "${2-}" == last ]]; then
    exit 3
fi
