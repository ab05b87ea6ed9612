"""Where generated files are kept between runs, and how they are written once although many processes start together."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def _candidate_dirs() -> Iterator[Path]:
    if explicit := os.environ.get("FLOW_RAG_VLA_CACHE"):
        yield Path(explicit).expanduser()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        yield Path(xdg).expanduser() / "flow_rag_vla"
    if home := os.environ.get("HOME"):
        yield Path(home) / ".cache" / "flow_rag_vla"
    yield Path(tempfile.gettempdir()) / f"flow_rag_vla-{os.getuid()}"


def cache_dir() -> Path:
    """The first writable of $FLOW_RAG_VLA_CACHE, $XDG_CACHE_HOME/flow_rag_vla, ~/.cache/flow_rag_vla, a temp folder.

    Raises:
        OSError: none of them can be written.
    """
    tried = []
    for folder in _candidate_dirs():
        tried.append(str(folder))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    raise OSError(f"no writable cache folder among {tried}; set FLOW_RAG_VLA_CACHE")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an advisory lock; released by the kernel if the process dies."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def built_once(name: str, build: Callable[[Path], None]) -> Path:
    """The cached file ``name``, made by ``build(path)`` if it is not there yet.

    Builders of several processes wait for one another, and the file appears complete or not at all.
    """
    target = cache_dir() / name
    if target.exists():
        return target
    with _locked(target.with_name(f".{name}.lock")):
        if target.exists():
            return target
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as scratch:
            # The suffix tells the file format.
            draft = Path(scratch) / name
            build(draft)
            draft.replace(target)
    return target
