#!/usr/bin/env bash
# Fills a cache folder with what the first run would otherwise make: warm_up.sh FOLDER.  The image's build calls it; on a
# GPU machine it fills a shared cache once (then DEVICE=cuda:0, about 4 minutes).
set -euo pipefail

cache="$1"
root="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd -P)"
runs="$(mktemp -d)"
trap 'rm -rf "$runs"' EXIT
mkdir -p "$cache"
export XDG_CACHE_HOME="$cache" XDG_CONFIG_HOME="$cache/config" MPLCONFIGDIR="$cache/matplotlib"
export FLOW_RAG_VLA_CACHE="$cache/flow_rag_vla"

"$root/isaaclab.sh" -p "$root/scripts/benchmark.py" --quick --scenarios 16 --num_envs 32 \
    --device "${DEVICE:-cpu}" --out "$runs"
# Whoever runs the image may read it.
chmod -R a+rX "$cache"
