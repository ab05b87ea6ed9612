#!/usr/bin/env bash
# Takes Isaac Lab's own arguments and runs them where Isaac Lab and this project are installed:
#   1. $ISAACLAB_PATH/isaaclab.sh                          if that variable points at an Isaac Lab checkout
#   2. the active virtual or conda environment             if it has isaaclab and this checkout's flow_rag_vla
#   3. .venv in this checkout                              made here once, from requirements.lock, if need be
# Exit codes are those of the program that runs; 1 = the set-up failed, 2 = it could not begin, 130 = interrupted.
set -euo pipefail

SELF="$(readlink -f "${BASH_SOURCE[0]}")"          # a link to this script stands for the checkout that the script lies in
ROOT="$(cd "$(dirname "$SELF")" && pwd -P)"
VENV="$ROOT/.venv"
SITE="$VENV/lib/python3.12/site-packages"
STATE="$ROOT/.setup"              # lock and log of the set-up
LOG="$STATE/install.log"
MADE_HERE="$VENV/.made-by-isaaclab-sh"
STAMP="$VENV/.installed"          # written last: what is installed, and where
CONTENTS="$VENV/.contents"        # what the installation put into $SITE

say() { printf '[setup] %s\n' "$*" >&2; }
die() { local code=$1; shift; say "$*"; exit "$code"; }

# ---- running -------------------------------------------------------------------------------------------------------

# Compiled kernels, meshes and fonts are kept in the user's cache folder.  Where that cannot be written (a read-only home, a
# user id that has none: containers) libraries end in tracebacks, so home and caches are then in a temporary folder.
ensure_cache() {
    local home=~ folder
    folder="${XDG_CACHE_HOME:-$home/.cache}"
    if [[ "$folder" == /* ]] && mkdir -p "$folder" 2>/dev/null && [[ -w "$folder" ]]; then return; fi
    folder="${TMPDIR:-/tmp}/flow-rag-vla-$EUID"
    mkdir -m 700 "$folder" 2>/dev/null || [[ -d "$folder" && -O "$folder" && ! -L "$folder" ]] || folder="$(mktemp -d)"
    export XDG_CACHE_HOME="$folder"
    if [[ "$home" != /* || ! -w "$home" ]]; then export HOME="$folder"; fi
}

# launch PYTHON ARGS...: become Isaac Lab's command line.  -p is run directly, as importing the command line takes seconds.
launch() {
    local python=$1; shift
    ensure_cache
    # Two OpenMP pools (torch, faiss) that spin on few cores cost more than they compute; must be set before either loads.
    export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-0}"
    case "${1-}" in
        -p | --python) shift; exec "$python" "$@" ;;
        *) exec "$python" -m isaaclab "$@" ;;
    esac
}

launch_venv() {
    export VIRTUAL_ENV="$VENV" PATH="$VENV/bin:$PATH"
    unset PYTHONHOME
    launch "$VENV/bin/python" "$@"
}

# has_project PYTHON: it has isaaclab, and flow_rag_vla from this checkout.  -P: what lies in the current folder is not installed.
has_project() {
    command -v "$1" >/dev/null 2>&1 && "$1" -P -c '
import importlib.util, os, sys
tasks = importlib.util.find_spec("isaaclab") and importlib.util.find_spec("flow_rag_vla.tasks")
sys.exit(not (tasks and os.path.samefile(os.path.dirname(tasks.origin), os.path.join(sys.argv[1], "tasks"))))
' "$ROOT" >/dev/null 2>&1
}

# ---- what is installed ---------------------------------------------------------------------------------------------

checksum() {
    if command -v sha256sum >/dev/null 2>&1; then sha256sum; else shasum -a 256; fi
}

# Two lines: packages (and the folder, as an environment cannot be moved), then the project's own installation.
wanted_stamp() {
    printf 'packages %s %s\n' "$(checksum <"$ROOT/requirements.lock" | cut -d' ' -f1)" "$ROOT"
    printf 'project %s\n' "$(cat "$ROOT/pyproject.toml" "$ROOT/setup.py" | checksum | cut -d' ' -f1)"
}

python_runs() { [[ -x "$VENV/bin/python" ]] && "$VENV/bin/python" -I -S -c '' >/dev/null 2>&1; }

# Names of what was installed and is not there any more; versions may change, so .dist-info is not looked at.
missing() {
    [[ -f "$CONTENTS" ]] || return 0
    local name
    while IFS= read -r name; do
        [[ -e "$SITE/$name" ]] || printf '%s\n' "$name"
    done <"$CONTENTS"
}

is_ready() {
    [[ -f "$STAMP" && "$(<"$STAMP")" == "$(wanted_stamp)" ]] && python_runs && [[ -z "$(missing)" ]]
}

# ---- a Python 3.12 that runs ---------------------------------------------------------------------------------------

python_candidates() {
    [[ -z "${PYTHON-}" ]] || printf '%s\n' "$PYTHON"
    printf '%s\n' python3.12
    # pyenv's shims exist for every version and fail for those not selected, so look at the versions themselves, also
    # where $HOME is not pyenv's: its commands lie in <root>/bin and <root>/shims.
    local roots=("${PYENV_ROOT:-${HOME:-/nonexistent}/.pyenv}" "${HOME:-/nonexistent}/.pyenv") name path root
    for name in pyenv python3.12; do
        path="$(command -v "$name" || true)"
        [[ -z "$path" ]] || roots+=("$(dirname "$(dirname "$path")")")
    done
    for root in "${roots[@]}"; do
        for path in "$root"/versions/3.12*/bin/python; do
            [[ ! -x "$path" ]] || printf '%s\n' "$path"
        done
    done
    ! command -v uv >/dev/null 2>&1 || uv python find 3.12 2>/dev/null || true
    printf '%s\n' python3 python
}

runs_as_312() {
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info[:2] != (3, 12))' >/dev/null 2>&1
}

find_python() {
    if [[ -n "${PYTHON-}" ]] && ! runs_as_312 "$PYTHON"; then
        say "PYTHON=$PYTHON is not a Python 3.12 that runs; looking for another one."
    fi
    local candidate
    while IFS= read -r candidate; do
        if runs_as_312 "$candidate"; then printf '%s\n' "$candidate"; return; fi
    done < <(python_candidates)
    die 2 "No Python 3.12 that runs (with venv and ensurepip) was found. Install one, or name it: PYTHON=/path/to/python3.12 $0 ..."
}

# ---- set-up --------------------------------------------------------------------------------------------------------

JOB=""
# Without the stamp the next start begins anew, so nothing else needs undoing.
on_interrupt() {
    trap - INT TERM
    if [[ -n "$JOB" ]]; then kill "$JOB" 2>/dev/null || true; wait "$JOB" 2>/dev/null || true; fi
    [[ ! -t 2 ]] || printf '\n' >&2
    say "Interrupted; the next start begins the set-up anew."
    exit 130
}

# Collected and installed packages so far.
progress() {
    local total collected installed
    total="$(grep -c '^[A-Za-z0-9]' "$ROOT/requirements.lock" || true)"
    if grep -q '^Installing collected packages' "$LOG"; then
        installed="$(find "$VENV"/lib/python3.12/site-packages -maxdepth 1 -name '*.dist-info' 2>/dev/null | wc -l)"
        ((installed < total)) || installed=$total  # pip's own and the project's are not in the lock
        printf 'installing, %d of %d packages, %d s' "$installed" "$total" "$1"
    else
        collected="$(grep -cE '^(Collecting|Requirement already)' "$LOG" || true)"
        printf 'fetching, %d of %d packages, %d s' "$collected" "$total" "$1"
    fi
}

# run_logged COMMAND...: run it with its output in the log, and say on one line how far it is.
run_logged() {
    local started=$SECONDS reported=0 elapsed
    "$@" >>"$LOG" 2>&1 &
    JOB=$!
    while kill -0 "$JOB" 2>/dev/null; do
        elapsed=$((SECONDS - started))
        if [[ -t 2 ]]; then
            printf '\r[setup] %s ' "$(progress "$elapsed")" >&2
        elif ((elapsed >= reported + 30)); then
            say "$(progress "$elapsed")"
            reported=$elapsed
        fi
        sleep "${FLOW_RAG_SETUP_POLL_S:-1}"
    done
    [[ ! -t 2 ]] || printf '\r\033[K' >&2
    local code=0
    wait "$JOB" || code=$?
    JOB=""
    return "$code"
}

# -I: neither PYTHONPATH nor the user's own packages may stand in for a locked one.  Byte code is made on first import.
# Where pip gets packages from is the user's to say; where they go is not.
pip_install() {
    unset PIP_TARGET PIP_PREFIX PIP_ROOT PIP_USER PIP_DRY_RUN PIP_PYTHON
    run_logged "$VENV/bin/python" -I -m pip install --no-input --no-deps --no-compile --progress-bar off "$@"
}
install_packages() { pip_install --requirement "$ROOT/requirements.lock"; }
install_project() { pip_install --no-build-isolation --editable "$ROOT"; }

create_venv() {
    local python
    python="$(find_python)" || exit $?
    say "Setting up $VENV once: about 9 GB, 2 to 6 minutes. Details go to $LOG"
    # Moved first: an interrupted removal must not leave a .venv without the mark of who made it.
    if [[ -e "$VENV" || -L "$VENV" ]]; then mv "$VENV" "$STATE/old.$$" || return 1; fi
    run_logged rm -rf "$STATE"/old.*
    mkdir "$VENV" && : >"$MADE_HERE" && run_logged "$python" -m venv "$VENV"
}

# pip takes a package for installed as long as its .dist-info is there.
forget_incomplete() {
    run_logged "$VENV/bin/python" -I -c '
import importlib.metadata, shutil
for package in importlib.metadata.distributions():
    tops = {file.parts[0] for file in package.files or () if file.parts[0] != ".."}
    if not all(package.locate_file(top).exists() for top in tops):
        shutil.rmtree(package._path)
'
}

# Bring what exists up to date; fails if it cannot.
update_venv() {
    local installed gone
    installed="$(<"$STAMP")"
    gone="$(missing | head -n 3 | tr '\n' ' ')"
    rm -f "$STAMP"
    if [[ -n "$gone" ]]; then
        say "Missing from $VENV: ${gone% }; installing again. Details go to $LOG"
        forget_incomplete && install_packages || return 1
    elif [[ "${installed%%$'\n'*}" != "$(wanted_stamp | head -n 1)" ]]; then
        say "requirements.lock has changed; updating $VENV. Details go to $LOG"
        install_packages || return 1
    fi
    install_project
}

note_contents() {
    local path name
    for path in "$SITE"/*; do
        name="${path##*/}"
        case "$name" in *.dist-info | __pycache__ | '*') ;; *) printf '%s\n' "$name" ;; esac
    done >"$CONTENTS"
}

set_up() {
    : >"$LOG"
    if [[ -e "$STAMP" ]] && ! python_runs; then
        say "$VENV/bin/python does not run any more."
    fi
    if [[ -f "$STAMP" && "$(head -n 1 "$STAMP")" == *" $ROOT" ]] && python_runs && update_venv; then
        :
    elif ! { create_venv && install_packages && install_project; }; then
        [[ -s "$LOG" ]] && { tail -n 15 "$LOG" >&2; }
        die 1 "The set-up failed; its last lines are above, all of them in $LOG. The next start begins it anew."
    fi
    if ! has_project "$VENV/bin/python"; then
        die 1 "pip has installed isaaclab or this project outside $VENV; a pip.conf with target, prefix or root may send them there. Details are in $LOG"
    fi
    note_contents
    # A lock edited during the installation is noticed at the next start, as the stamp names what was read before it.
    printf '%s\n' "$WANTED" >"$STAMP.new"
    mv "$STAMP.new" "$STAMP"
    say "Ready after $SECONDS s."
}

# hold_lock: one set-up at a time in this checkout; the lock goes with the process.
hold_lock() {
    mkdir -p "$STATE" || die 2 "Cannot write in $ROOT, where the set-up puts .venv."
    local waiting="Another set-up of this checkout is running; waiting for it."
    if command -v flock >/dev/null 2>&1; then
        exec 9>"$STATE/lock"
        flock -n 9 || { say "$waiting"; flock 9; }
    else
        local told="" owner
        while ! mkdir "$STATE/lock.d" 2>/dev/null; do
            owner="$(cat "$STATE/lock.d/pid" 2>/dev/null || true)"
            if [[ -n "$owner" ]] && ! kill -0 "$owner" 2>/dev/null; then rm -rf "$STATE/lock.d"; continue; fi
            [[ -n "$told" ]] || { say "$waiting"; told=yes; }
            sleep 1
        done
        printf '%s\n' $$ >"$STATE/lock.d/pid"
        trap 'rm -rf "$STATE/lock.d"' EXIT
    fi
}

release_lock() {
    if [[ -d "$STATE/lock.d" ]]; then rm -rf "$STATE/lock.d"; trap - EXIT; else exec 9>&-; fi
}

# ---- the story -----------------------------------------------------------------------------------------------------

if [[ -n "${ISAACLAB_PATH-}" ]]; then
    if [[ -f "$ISAACLAB_PATH/isaaclab.sh" && ! "$ISAACLAB_PATH/isaaclab.sh" -ef "$ROOT/isaaclab.sh" ]]; then
        export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-0}"
        # Its Python need not have this project installed: typings/ links the folders under their installed names.
        export PYTHONPATH="${PYTHONPATH:+$PYTHONPATH:}$ROOT/typings"
        exec bash "$ISAACLAB_PATH/isaaclab.sh" "$@"
    fi
    say "ISAACLAB_PATH=$ISAACLAB_PATH has no isaaclab.sh; not using it."
fi

for active in "${VIRTUAL_ENV-}" "${CONDA_PREFIX-}"; do
    if [[ -n "$active" && ! "$active" -ef "$VENV" ]] && has_project "$active/bin/python"; then
        launch "$active/bin/python" "$@"
    fi
done

if is_ready; then launch_venv "$@"; fi

# Somebody's own .venv is used if it will do, and never removed.
if [[ -d "$VENV" && ! -e "$MADE_HERE" ]] && ! rmdir "$VENV" 2>/dev/null; then
    if has_project "$VENV/bin/python"; then launch_venv "$@"; fi
    die 2 "$VENV was not made by this script and lacks isaaclab or this project; move it away and start again."
fi

if has_project python; then launch python "$@"; fi

if [[ "${1-}" == -h || "${1-}" == --help ]]; then  # no need to install 9 GB for that
    sed -n '2,6s/^# //p' "$SELF"
    printf 'Nothing is set up yet; any other argument does it, for example:  ./isaaclab.sh -p scripts/benchmark.py --help\n'
    exit 0
fi

trap on_interrupt INT TERM
hold_lock
if ! is_ready; then  # else another start has set it up meanwhile
    WANTED="$(wanted_stamp)"
    set_up
fi
trap - INT TERM
release_lock
launch_venv "$@"
