#!/usr/bin/env bash
# Sets everything up: the environment (isaaclab.sh makes it on first use), then the models that the default
# configuration needs.  Arguments go to scripts/download_models.py.
#   bash scripts/setup.sh
#   bash scripts/setup.sh --model all
set -euo pipefail

SELF="$(readlink -f "${BASH_SOURCE[0]}")"
ROOT="$(cd "$(dirname "$SELF")/.." && pwd -P)"

"$ROOT/isaaclab.sh" -p -c 'import flow_rag_vla.tasks; print("flow_rag_vla is installed in", __import__("sys").prefix)'
exec "$ROOT/isaaclab.sh" -p "$ROOT/scripts/download_models.py" "$@"
