"""From paths to documents: files, directories, Maildirs, mbox files, archives, standard input; one document at a time.

A path named by a person may be a folder of anything, so what a file is, its first bytes say and not its name. Archives
and mbox files are containers here: each member is a document with limits of its own, streamed, never unpacked to disk.
"""

from __future__ import annotations

import gzip
import io
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from msgspec import Struct

from tlsrpt.core.errors import LimitError, TlsrptError
from tlsrpt.core.limits import Limits
from tlsrpt.core.mbox import split_mbox

PEEK = 1024
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, OSError)


class Document(Struct, frozen=True, kw_only=True):
    """One document, or the promise of one: without `data`, `path` is still to be read."""

    source: str  # where it is, for people: a path, with the place inside a container behind it
    name: str  # its own file name
    data: bytes | None = None
    path: str | None = None
    alone_in_zip: bool = False  # the only file of a zip archive: how a report may have been sent (F-11)
    size: int = 0  # bytes of the named files done with once this document is; for a progress bar


class Unreadable(Struct, frozen=True, kw_only=True):
    """A file that could not be opened or read at all, and why."""

    source: str
    reason: str
    size: int = 0


def documents(paths: list[Path], limits: Limits) -> Iterator[Document | Unreadable]:
    """Every document below these paths, in the order of the names; a file is read only when its turn comes."""
    for path in paths:
        for file in files(path):
            yield from _expand_file(file, limits)


def files(path: Path) -> Iterator[Path]:
    """The files below a path: of a Maildir what is in `new` and `cur`, of another folder everything not hidden."""
    if not path.is_dir():
        yield path
        return
    if _is_maildir(path):
        for box in ("new", "cur"):
            yield from _sorted_files(path / box)
        folders = [p for p in _sorted_dirs(path) if p.name.startswith(".") and _is_maildir(p)]  # Maildir++
    else:
        yield from _sorted_files(path)
        folders = [p for p in _sorted_dirs(path) if not p.name.startswith(".") or _is_maildir(p)]
    for folder in folders:
        yield from files(folder)


def _is_maildir(path: Path) -> bool:
    return (path / "cur").is_dir() and (path / "new").is_dir()


def _sorted_files(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_file())
    return (folder / name for name in names)


def _sorted_dirs(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    return [folder / name for name in names]


def load(document: Document, limits: Limits) -> bytes:
    """The bytes of a document.

    Raises:
        OSError: its file can't be read.
        LimitError: it is larger than any document may be once decompressed; larger ones are not even read.
    """
    if document.data is not None:
        return document.data
    assert document.path is not None  # noqa: S101 - one of the two is always given
    with open(document.path, "rb") as file:  # noqa: PTH123 - faster, and this is the hot path
        return read_bounded(file, limits)


def read_bounded(file: BinaryIO, limits: Limits) -> bytes:
    """Read a file to its end, or raise LimitError when it is larger than `limits.decompressed_bytes`."""
    data = file.read(limits.decompressed_bytes + 1)
    if len(data) > limits.decompressed_bytes:
        raise LimitError(f"larger than {limits.decompressed_bytes:,} bytes", limit="decompressed_bytes")
    return data


def expand_stream(file: BinaryIO, source: str, limits: Limits) -> Iterator[Document | Unreadable]:
    """The documents on a stream that can't be read twice, such as standard input."""
    buffered = (
        io.BufferedReader(cast(io.RawIOBase, file)) if not hasattr(file, "peek") else cast(io.BufferedReader, file)
    )
    head = buffered.peek(PEEK)[:PEEK]
    kind = container_kind(head)
    if kind in ("zip", "tar.xz"):  # these need to seek
        yield from _guarded(kind, io.BytesIO(read_bounded(buffered, limits)), source, limits)
    elif kind:
        yield from _guarded(kind, buffered, source, limits)
    else:
        yield Document(source=source, name="", data=read_bounded(buffered, limits))


def _expand_file(path: Path, limits: Limits) -> Iterator[Document | Unreadable]:
    source = str(path)
    try:
        with path.open("rb") as file:
            kind = container_kind(file.read(PEEK))
            size = os.fstat(file.fileno()).st_size
            if kind is None:
                yield Document(source=source, name=path.name, path=source, size=size)
                return
            file.seek(0)
            yield from _guarded(kind, file, source, limits)
    except OSError as error:
        yield Unreadable(source=source, reason=error.strerror or str(error))


def container_kind(head: bytes) -> str | None:
    """What container begins with these bytes: mbox, zip, tar, tar.gz, tar.xz; None for a single document."""
    if head.startswith(b"From ") and b"\n" in head:
        return "mbox"
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    if head[257:262] == b"ustar":
        return "tar"
    if head.startswith(b"\xfd7zXZ\x00"):
        return "tar.xz"
    if head.startswith(b"\x1f\x8b"):
        try:
            inner = zlib.decompressobj(31).decompress(head, PEEK)
        except zlib.error:
            return None
        if inner[257:262] == b"ustar":
            return "tar.gz"
        if inner.startswith(b"From "):
            return "mbox.gz"
    return None


def _guarded(kind: str, file: BinaryIO, source: str, limits: Limits) -> Iterator[Document | Unreadable]:
    """The members of a container; one that is damaged gives what it has, and then says why there is no more."""
    try:
        yield from _MEMBERS[kind](file, source, limits)
    except DAMAGED as error:
        yield Unreadable(source=source, reason=f"damaged {kind.partition('.')[0]} file: {error}")
    except TlsrptError as error:
        yield Unreadable(source=source, reason=str(error))


def _mbox(file: BinaryIO, source: str, limits: Limits) -> Iterator[Document | Unreadable]:
    for n, message in enumerate(split_mbox(file, limits=limits), 1):
        where = f"{source}#{n}"
        if isinstance(message, bytes):
            yield Document(source=where, name="", data=message, size=len(message))
        else:
            reason = f"a message of {message.size_bytes:,} bytes; raise limits.compressed_bytes"
            yield Unreadable(source=where, reason=reason, size=message.size_bytes)


def _zip(file: BinaryIO, source: str, limits: Limits) -> Iterator[Document | Unreadable]:
    with zipfile.ZipFile(file) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        for member in members:
            where = f"{source}/{member.filename}"
            if member.flag_bits & 1:
                yield Unreadable(source=where, reason="encrypted; unpack it first")
                continue
            with archive.open(member) as content:
                yield from _member(cast(BinaryIO, content), where, member.filename, limits, len(members) == 1)


def _tar(file: BinaryIO, source: str, limits: Limits) -> Iterator[Document | Unreadable]:
    with tarfile.open(fileobj=file, mode="r|*") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            if content is not None:
                yield from _member(cast(BinaryIO, content), f"{source}/{member.name}", member.name, limits, False)
            archive.members.clear()  # type: ignore[attr-defined]  # or a long archive would be remembered whole


def _member(
    content: BinaryIO, source: str, name: str, limits: Limits, alone_in_zip: bool
) -> Iterator[Document | Unreadable]:
    try:
        data = read_bounded(content, limits)
    except LimitError as error:
        yield Unreadable(source=source, reason=str(error))
        return
    name = name.rpartition("/")[2]
    if container_kind(data[:PEEK]) == "mbox":
        yield from _mbox(io.BytesIO(data), source, limits)
    else:
        yield Document(source=source, name=name, data=data, alone_in_zip=alone_in_zip, size=len(data))


def _mbox_gz(file: BinaryIO, source: str, limits: Limits) -> Iterator[Document | Unreadable]:
    with gzip.open(file) as plain:
        yield from _mbox(cast(BinaryIO, plain), source, limits)


_MEMBERS = {"mbox": _mbox, "mbox.gz": _mbox_gz, "zip": _zip, "tar": _tar, "tar.gz": _tar, "tar.xz": _tar}
