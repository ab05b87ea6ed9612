"""isaaclab.sh against a made-up Python that only takes notes; nothing is installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
TOOLS = (
    *("bash", "cat", "cp", "cut", "dirname", "env", "find", "flock", "grep", "head", "mkdir", "mktemp", "mv"),
    *("readlink", "rm", "rmdir", "sed", "sha256sum", "sleep", "tail", "touch", "tr", "wc"),
)

# Answers as Python 3.12 does to the questions of isaaclab.sh, notes what it was asked, and fails where it is told to.
FAKE_PYTHON = """#!/usr/bin/env bash
notes="$FAKE_NOTES"
site="${0%/bin/*}/lib/python3.12/site-packages"
case "$*" in
    *"sys.version_info"* | "-I -S -c ") exit 0 ;;
    *"find_spec"*) [[ -d "$site/flow_rag_vla" ]] || exit "${FAKE_LACKS_PROJECT:-1}" ;;
    *"importlib.metadata"*) echo forget >>"$notes" ;;
    "-m venv "*)
        echo venv >>"$notes"
        mkdir -p "$3/bin"
        cp "$0" "$3/bin/python" ;;
    *"pip install"*--editable*)
        echo project >>"$notes"
        mkdir -p "${PIP_TARGET:-${FAKE_PIP_CONF_TARGET:-$site}}/flow_rag_vla" ;;
    *"pip install"*)
        echo packages >>"$notes"
        echo "Collecting everything"
        for ((i = 0; i < ${FAKE_INSTALL_TICKS:-0}; i++)); do sleep 0.05; done
        if [[ -e "$FAKE_NOTES.fail" ]]; then echo "the mirror is down"; exit 1; fi
        mkdir -p "$site/torch" "$site/torch-2.dist-info" ;;
    *) echo "ran: $*${FAKE_SHOW:+ HOME=$HOME cache=${XDG_CACHE_HOME-}}"; exit "${FAKE_EXIT:-0}" ;;
esac
"""


class Checkout:
    """A folder with isaaclab.sh, and an environment in which only ``bin`` and the made-up home exist."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "checkout with space"
        self.bin = folder / "bin"
        self.notes_file = folder / "notes"
        self.home = folder / "home"
        for path in (self.root, self.bin, self.home):
            path.mkdir()
        shutil.copy(CHECKOUT / "isaaclab.sh", self.root)
        for name in ("requirements.lock", "pyproject.toml", "setup.py"):
            (self.root / name).write_text(f"{name} 1\n")
        for tool in TOOLS:
            target = shutil.which(tool)
            if target:
                (self.bin / tool).symlink_to(target)
        self.env = {
            "PATH": str(self.bin),
            "HOME": str(self.home),
            "FAKE_NOTES": str(self.notes_file),
            "FLOW_RAG_SETUP_POLL_S": "0.02",
        }

    def start(self, *args: str, **env: str) -> subprocess.Popen[str]:
        """Start isaaclab.sh with these arguments."""
        return subprocess.Popen(
            ["bash", str(self.root / "isaaclab.sh"), *args],
            env=self.env | env,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A test run in the background ignores Ctrl-C, and a shell cannot trap what its parent ignores.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def run(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run isaaclab.sh with these arguments to its end."""
        process = self.start(*args, **env)
        out, err = process.communicate(timeout=30)
        return subprocess.CompletedProcess(args, process.returncode, out, err)

    def notes(self) -> list[str]:
        """What the made-up Python was asked to do so far."""
        return self.notes_file.read_text().split() if self.notes_file.exists() else []


def write_program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.fixture
def with_python(checkout: Checkout) -> Checkout:
    write_program(checkout.bin / "python3.12", FAKE_PYTHON)
    return checkout


def test_without_python_312_one_line_says_so_and_nothing_is_made(checkout: Checkout) -> None:
    write_program(checkout.bin / "python3", "#!/usr/bin/env bash\nexit 1\n")  # another version
    result = checkout.run("-p", "x.py")
    assert result.returncode == 2
    assert "No Python 3.12" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (checkout.root / ".venv").exists()


def test_a_shim_that_does_not_run_is_passed_over_for_pyenvs_own_versions(checkout: Checkout) -> None:
    # HOME is elsewhere and PYENV_ROOT unset, so only the shim's own place tells where pyenv is.
    pyenv = checkout.home.parent / "pyenv"
    write_program(pyenv / "shims" / "python3.12", "#!/usr/bin/env bash\nexit 127\n")
    write_program(pyenv / "versions" / "3.12.1" / "bin" / "python", FAKE_PYTHON)
    result = checkout.run("-p", "x.py", PATH=f"{pyenv / 'shims'}:{checkout.bin}")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "ran: x.py\n"


def test_a_python_that_is_named_but_does_not_run_is_reported_and_another_one_used(with_python: Checkout) -> None:
    result = with_python.run("-p", "x.py", PYTHON="/no/such/python")
    assert result.returncode == 0
    assert "PYTHON=/no/such/python" in result.stderr


def test_the_first_start_sets_up_and_the_second_only_runs(with_python: Checkout) -> None:
    first = with_python.run("-p", "x.py")
    assert first.returncode == 0, first.stderr
    assert with_python.notes() == ["venv", "packages", "project"]
    assert "GB" in first.stderr
    second = with_python.run("-p", "x.py")
    assert (second.stdout, second.stderr) == ("ran: x.py\n", "")
    assert with_python.notes() == ["venv", "packages", "project"]


@pytest.mark.parametrize("code", [0, 7, 130])
def test_arguments_and_exit_codes_pass_through(with_python: Checkout, code: int) -> None:
    result = with_python.run("-p", "-m", "pytest", "two words", "", "--flag=*", FAKE_EXIT=str(code))
    assert result.returncode == code
    assert result.stdout == "ran: -m pytest two words  --flag=*\n"


def test_arguments_other_than_a_program_go_to_isaac_lab(with_python: Checkout) -> None:
    result = with_python.run("train", "--task", "FlowRAG-PickPlace-Franka", FAKE_EXIT="3")
    assert result.returncode == 3
    assert result.stdout == "ran: -m isaaclab train --task FlowRAG-PickPlace-Franka\n"


def test_a_failed_set_up_shows_the_log_and_is_begun_anew(with_python: Checkout) -> None:
    fail = Path(f"{with_python.notes_file}.fail")
    fail.touch()
    failed = with_python.run("-p", "x.py")
    assert failed.returncode == 1
    assert "the mirror is down" in failed.stderr
    assert ".setup/install.log" in failed.stderr
    assert failed.stdout == ""
    fail.unlink()
    (with_python.root / ".venv" / "left over").touch()
    assert with_python.run("-p", "x.py").returncode == 0
    assert with_python.notes() == ["venv", "packages", "venv", "packages", "project"]
    assert not (with_python.root / ".venv" / "left over").exists()


def test_an_interrupted_set_up_is_begun_anew(with_python: Checkout) -> None:
    process = with_python.start("-p", "x.py", FAKE_INSTALL_TICKS="400")
    while "packages" not in with_python.notes():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Interrupted" in err
    assert with_python.run("-p", "x.py").returncode == 0
    assert with_python.notes() == ["venv", "packages", "venv", "packages", "project"]


def test_an_interrupted_removal_is_begun_anew(with_python: Checkout) -> None:
    fail = Path(f"{with_python.notes_file}.fail")
    fail.touch()
    with_python.run("-p", "x.py")
    fail.unlink()
    remove = with_python.bin / "rm"
    remove.unlink()
    write_program(remove, "#!/usr/bin/env bash\nexec sleep 20\n")
    process = with_python.start("-p", "x.py")
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130, err
    remove.unlink()
    remove.symlink_to(shutil.which("rm") or "/bin/rm")
    with_python.notes_file.unlink()
    assert with_python.run("-p", "x.py").returncode == 0
    assert with_python.notes() == ["venv", "packages", "project"]
    assert not list((with_python.root / ".setup").glob("old.*"))


def test_a_changed_lock_is_installed_in_place(with_python: Checkout) -> None:
    with_python.run("-p", "x.py")
    (with_python.root / "requirements.lock").write_text("requirements.lock 2\n")
    changed = with_python.run("-p", "x.py")
    assert "requirements.lock has changed" in changed.stderr
    assert with_python.notes() == ["venv", "packages", "project", "packages", "project"]
    assert with_python.run("-p", "x.py").stderr == ""


def test_a_change_of_the_projects_own_set_up_reinstalls_only_the_project(with_python: Checkout) -> None:
    with_python.run("-p", "x.py")
    (with_python.root / "pyproject.toml").write_text("pyproject.toml 2\n")
    with_python.run("-p", "x.py")
    assert with_python.notes() == ["venv", "packages", "project", "project"]


def test_a_link_to_the_script_sets_its_own_checkout_up(with_python: Checkout) -> None:
    elsewhere = with_python.home / "bin"
    elsewhere.mkdir()
    (elsewhere / "direct.sh").symlink_to(with_python.root / "isaaclab.sh")
    (elsewhere / "isaaclab").symlink_to("direct.sh")
    result = subprocess.run(
        ["bash", str(elsewhere / "isaaclab"), "-p", "x.py"],
        env=with_python.env,
        cwd=with_python.home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "ran: x.py\n"), result.stderr
    assert (with_python.root / ".venv" / ".installed").exists()
    assert sorted(path.name for path in elsewhere.iterdir()) == ["direct.sh", "isaaclab"]


def test_pips_target_in_the_environment_sends_nothing_elsewhere(with_python: Checkout, tmp_path: Path) -> None:
    result = with_python.run("-p", "x.py", PIP_TARGET=str(tmp_path / "target"))
    assert result.returncode == 0, result.stderr
    assert not (tmp_path / "target").exists()
    assert (with_python.root / ".venv/lib/python3.12/site-packages/flow_rag_vla").is_dir()


def test_packages_that_pip_put_elsewhere_are_named_as_the_cause(with_python: Checkout, tmp_path: Path) -> None:
    result = with_python.run("-p", "x.py", FAKE_PIP_CONF_TARGET=str(tmp_path / "target"))
    assert result.returncode == 1
    assert "pip.conf" in result.stderr.splitlines()[-1]
    assert not (with_python.root / ".venv" / ".installed").exists()


def test_a_package_deleted_behind_the_stamp_is_installed_again(with_python: Checkout) -> None:
    with_python.run("-p", "x.py")
    (with_python.root / ".venv/lib/python3.12/site-packages/torch").rmdir()
    mended = with_python.run("-p", "x.py")
    assert (mended.returncode, mended.stdout) == (0, "ran: x.py\n")
    assert "torch; installing again" in mended.stderr
    assert with_python.notes() == ["venv", "packages", "project", "forget", "packages", "project"]
    assert with_python.run("-p", "x.py").stderr == ""


def test_another_version_of_a_package_is_left_alone(with_python: Checkout) -> None:
    with_python.run("-p", "x.py")
    site = with_python.root / ".venv/lib/python3.12/site-packages"
    (site / "torch-2.dist-info").rename(site / "torch-3.dist-info")
    assert with_python.run("-p", "x.py").stderr == ""


def test_a_python_that_does_not_run_any_more_is_replaced(with_python: Checkout) -> None:
    with_python.run("-p", "x.py")
    python = with_python.root / ".venv" / "bin" / "python"
    write_program(python, "not a program \0")
    mended = with_python.run("-p", "x.py")
    assert (mended.returncode, mended.stdout) == (0, "ran: x.py\n"), mended.stderr
    assert "does not run any more" in mended.stderr
    assert with_python.notes() == ["venv", "packages", "project"] * 2


def test_a_moved_checkout_is_set_up_again(with_python: Checkout) -> None:
    with_python.run("-p", "x.py")
    with_python.root = with_python.root.rename(with_python.root.parent / "elsewhere")
    assert with_python.run("-p", "x.py").returncode == 0
    assert with_python.notes().count("venv") == 2


@pytest.mark.parametrize("without", [None, "flock"])
def test_two_starts_at_once_set_up_once(with_python: Checkout, without: str | None) -> None:
    if without:
        (with_python.bin / without).unlink(missing_ok=True)
    starts = [with_python.start("-p", "x.py", FAKE_INSTALL_TICKS="10") for _ in range(2)]
    results = [process.communicate(timeout=20) for process in starts]
    assert [process.returncode for process in starts] == [0, 0], results
    assert [out for out, _ in results] == ["ran: x.py\n"] * 2
    assert sum("waiting for it" in err for _, err in results) == 1
    assert with_python.notes() == ["venv", "packages", "project"]


def test_a_cache_that_can_be_written_stays_where_it_is(with_python: Checkout, tmp_path: Path) -> None:
    home, mine = with_python.home, tmp_path / "my cache"
    assert with_python.run("-p", "x", FAKE_SHOW="1").stdout == f"ran: x HOME={home} cache=\n"
    assert (home / ".cache").is_dir()
    assert with_python.run("-p", "x", FAKE_SHOW="1", XDG_CACHE_HOME=str(mine)).stdout.endswith(f" cache={mine}\n")


def test_home_and_cache_that_cannot_be_written_are_replaced_by_a_temporary_folder(
    with_python: Checkout, tmp_path: Path
) -> None:
    with_python.run("-p", "x")
    own = tmp_path / f"flow-rag-vla-{os.geteuid()}"
    for _ in range(2):  # made once, then used again
        said = with_python.run("-p", "x", FAKE_SHOW="1", HOME="/proc/nobody", TMPDIR=str(tmp_path)).stdout
        assert said == f"ran: x HOME={own} cache={own}\n"
    assert own.stat().st_mode & 0o777 == 0o700
    said = with_python.run("-p", "x", FAKE_SHOW="1", XDG_CACHE_HOME="/proc/nobody", TMPDIR=str(tmp_path)).stdout
    assert said == f"ran: x HOME={with_python.home} cache={own}\n"


def test_a_temporary_folder_of_somebody_elses_is_not_used(with_python: Checkout, tmp_path: Path) -> None:
    (tmp_path / f"flow-rag-vla-{os.geteuid()}").write_text("a trap")
    said = with_python.run("-p", "x", FAKE_SHOW="1", HOME="/proc/nobody", TMPDIR=str(tmp_path)).stdout
    cache = Path(said.strip().partition("cache=")[2])
    assert cache.is_dir()
    assert cache.parent == tmp_path
    assert cache.stat().st_mode & 0o777 == 0o700


def test_an_active_environment_that_has_the_project_is_used(with_python: Checkout, tmp_path: Path) -> None:
    write_program(tmp_path / "env" / "bin" / "python", FAKE_PYTHON)
    result = with_python.run("-p", "x.py", VIRTUAL_ENV=str(tmp_path / "env"), FAKE_LACKS_PROJECT="0")
    assert (result.stdout, result.stderr) == ("ran: x.py\n", "")
    assert not (with_python.root / ".venv").exists()


def test_an_active_environment_without_the_project_is_left_alone(with_python: Checkout, tmp_path: Path) -> None:
    write_program(tmp_path / "env" / "bin" / "python", FAKE_PYTHON)
    with_python.run("-p", "x.py", VIRTUAL_ENV=str(tmp_path / "env"))
    assert (with_python.root / ".venv" / "bin" / "python").exists()


def test_an_environment_that_somebody_else_made_is_never_removed(with_python: Checkout) -> None:
    theirs = write_program(with_python.root / ".venv" / "bin" / "python", FAKE_PYTHON)
    result = with_python.run("-p", "x.py")
    assert result.returncode == 2
    assert "was not made by this script" in result.stderr
    assert theirs.exists()
    assert with_python.run("-p", "x.py", FAKE_LACKS_PROJECT="0").stdout == "ran: x.py\n"


def test_isaac_labs_own_checkout_is_preferred(with_python: Checkout, tmp_path: Path) -> None:
    write_program(tmp_path / "IsaacLab" / "isaaclab.sh", '#!/usr/bin/env bash\necho "theirs: $*"; exit 5\n')
    result = with_python.run("-p", "x.py", ISAACLAB_PATH=str(tmp_path / "IsaacLab"))
    assert (result.returncode, result.stdout) == (5, "theirs: -p x.py\n")
    assert with_python.notes() == []


def test_help_installs_nothing(with_python: Checkout) -> None:
    result = with_python.run("--help")
    assert result.returncode == 0
    assert "ISAACLAB_PATH" in result.stdout
    assert with_python.notes() == []


@pytest.mark.perf
def test_this_checkouts_launcher_starts_in_under_a_second() -> None:
    started = time.monotonic()
    env = {name: value for name, value in os.environ.items() if name != "ISAACLAB_PATH"}
    result = subprocess.run([CHECKOUT / "isaaclab.sh", "-p", "-c", "raise SystemExit(7)"], env=env, check=False)
    assert result.returncode == 7
    assert time.monotonic() - started < 1.0
