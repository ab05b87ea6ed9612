"""What a file is, told by its first bytes: for whoever gave a file of another kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive, as torch.save writes it (its pickle is never run)"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"\x7fELF", "a program"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"PAR1", "a parquet table"),
    (b"GGUF", "a GGUF model"),
    (b"version https://git-lfs", "a Git LFS pointer, whose file was not fetched (git lfs pull)"),
    (b"\x08\x07\x12", "an ONNX model"),
    (b"\x08\x08\x12", "an ONNX model"),
)

_LOOKED_AT = 4096


def kind_of_file(path: Path) -> str | None:
    """A few words on what lies at ``path``; None where its bytes do not say."""
    if path.is_dir():
        return "a folder"
    with path.open("rb") as file:
        start = file.read(_LOOKED_AT)
    if not start:
        return "an empty file"
    # A pickle names its protocol (2 to 5) first; what follows are instructions, which nothing here carries out.
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a Python pickle (which is never run)"
    for first, kind in _STARTS:
        if start.startswith(first):
            return kind
    return "a text file" if _is_text(start) else None


def _is_text(start: bytes) -> bool:
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        # A letter of several bytes may be cut off at the end.
        if error.start < _LOOKED_AT - 4:
            return False
        text = start[: error.start].decode()
    return all(character.isprintable() or character in "\t\r\n" for character in text)
