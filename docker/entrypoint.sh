#!/usr/bin/env bash
# Starts isaaclab.sh for whoever runs the image, with caches in a folder that this user can write: the first of
# $FLOW_RAG_VLA_CACHE, /cache and one in the temporary folder.  The image may be read-only, HOME unset, the user unknown.
set -euo pipefail

ROOT="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd -P)"
BAKED="$ROOT-cache"               # what docker/warm_up.sh left

cache=""
[[ ! -d /cache ]] || mounted=/cache
for folder in "${FLOW_RAG_VLA_CACHE:-}" "${mounted:-}" "${TMPDIR:-/tmp}/flow-rag-vla-$(id -u)"; do
    if [[ -n "$folder" ]] && mkdir -p "$folder" 2>/dev/null && [[ -w "$folder" ]]; then cache="$folder"; break; fi
done
if [[ -z "$cache" ]]; then
    echo "No folder for caches can be written: mount one at /cache, or a temporary file system at /tmp." >&2
    exit 3
fi

# Many containers may start on one shared cache.
if [[ -d "$BAKED" && ! -e "$cache/.seeded" ]]; then
    (
        flock 9
        if [[ ! -e "$cache/.seeded" ]]; then
            cp -R --no-preserve=mode "$BAKED/." "$cache/"
            : >"$cache/.seeded"
        fi
    ) 9>"$cache/.lock"
fi
export XDG_CACHE_HOME="$cache" XDG_CONFIG_HOME="$cache/config" MPLCONFIGDIR="$cache/matplotlib"
export FLOW_RAG_VLA_CACHE="$cache/flow_rag_vla"
export TORCHINDUCTOR_CACHE_DIR="$cache/inductor" TRITON_CACHE_DIR="$cache/triton"
if [[ -z "${HOME:-}" || ! -w "$HOME" ]]; then
    export HOME="$cache/home"
    mkdir -p "$HOME"
fi
# Libraries ask for the user's name, and not every user id has one.
export USER="${USER:-$(id -un 2>/dev/null || echo "uid$(id -u)")}"

if [[ -n "${ISAACSIM_ROOT_PATH:-}" && -f "$ISAACSIM_ROOT_PATH/setup_conda_env.sh" ]]; then
    set +u
    # shellcheck disable=SC1091
    source "$ISAACSIM_ROOT_PATH/setup_conda_env.sh"
    set -u
fi
exec "$ROOT/isaaclab.sh" "$@"
