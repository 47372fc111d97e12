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
SMALL = 1024 * 1024  # bytes below which a file is read at once, whatever is in it
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, OSError)


class Document(Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """One document, or, without `data`, a small file that is still to be read: one document or a container of some."""

    source: str  # where it is, for people: a path, with the place inside a container behind it
    name: str  # its own file name
    data: bytes | None = None
    path: bytes = b""  # as the file system has it
    alone_in_zip: bool = False  # the only file of a zip archive: how a report may have been sent (F-11)
    size: int = 0  # bytes of the named files done with once this document is; for a progress bar


class Unreadable(Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """A file that could not be opened or read at all, and why."""

    source: str
    reason: str
    size: int = 0


def documents(paths: list[Path], limits: Limits) -> Iterator[Document | Unreadable]:
    """Every document below these paths, in the order of the names, with its bytes."""
    for item in found(paths, limits):
        yield from opened(item, limits)


def found(paths: list[Path], limits: Limits) -> Iterator[Document | Unreadable]:
    """What is below these paths, in the order of the names: small files unread, for `opened`, large ones with data."""
    for path in paths:
        yield from _found(str(path), limits)


def _found(path: str, limits: Limits) -> Iterator[Document | Unreadable]:
    # Texts and not Paths: to make one takes as long as to ask the file system, and there is one for each mail.
    try:
        for file in files(path):
            size = os.stat(file).st_size  # noqa: PTH116
            source = _shown(file)
            if size < SMALL:
                yield Document(source=source, name=source.rpartition("/")[2], path=os.fsencode(file), size=size)
            else:
                yield from _open_large(file, source, size, limits)
    except OSError as error:  # a file or folder that may not be looked at, or is gone
        where = error.filename or path
        shown = _shown(os.fsdecode(where)) if isinstance(where, str | bytes) else path
        yield Unreadable(source=shown, reason=error.strerror or str(error))


def opened(item: Document | Unreadable, limits: Limits) -> Iterator[Document | Unreadable]:
    """The documents in what `found` gave, with their bytes: itself, or the members of a small container."""
    if isinstance(item, Unreadable) or item.data is not None:
        yield item
        return
    try:
        data = _read_small(item.path, item.size, limits)
    except LimitError as error:
        yield Unreadable(source=item.source, reason=str(error), size=item.size)
        return
    except OSError as error:
        yield Unreadable(source=item.source, reason=error.strerror or str(error), size=item.size)
        return
    kind = container_kind(data[:PEEK])
    if kind is None:
        yield Document(source=item.source, name=item.name, data=data, size=item.size)
    else:
        yield from _guarded(kind, io.BytesIO(data), item.source, limits)


def _shown(path: str) -> str:
    """A path as text that can be encoded, whatever bytes the file system has in it."""
    return path if path.isascii() else os.fsencode(path).decode(errors="backslashreplace")


def _read_small(path: bytes, size: int, limits: Limits) -> bytes:
    """A file's bytes, with as few system calls as can be: this is done for every mail of a mailbox.

    Raises:
        LimitError: there came more than the size said, as from a pipe, and more than any document may have.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        data = os.read(handle, size + 1)
        while more := os.read(handle, SMALL) if len(data) != size else b"":
            data += more
            if len(data) > limits.decompressed_bytes:
                raise LimitError(f"larger than {limits.decompressed_bytes:,} bytes", limit="decompressed_bytes")
        return data
    finally:
        os.close(handle)


def files(path: str) -> Iterator[str]:
    """The files below a path: of a Maildir what is in `new` and `cur`, of another folder everything not hidden.

    Raises:
        OSError: a folder may not be read.
    """
    if not os.path.isdir(path):  # noqa: PTH112
        yield path
        return
    if _is_maildir(path):
        yield from _sorted_files(f"{path}/new")
        yield from _sorted_files(f"{path}/cur")
        folders = [name for name in _sorted_dirs(path) if name.startswith(".") and _is_maildir(f"{path}/{name}")]
    else:
        yield from _sorted_files(path)
        folders = [name for name in _sorted_dirs(path) if not name.startswith(".") or _is_maildir(f"{path}/{name}")]
    for name in folders:
        yield from files(f"{path}/{name}")


def _is_maildir(path: str) -> bool:
    return os.path.isdir(f"{path}/cur") and os.path.isdir(f"{path}/new")  # noqa: PTH112


def _sorted_files(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_file())
    return [f"{folder}/{name}" for name in names]


def _sorted_dirs(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))


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
    try:
        if kind in ("zip", "tar.xz"):  # these need to seek
            yield from _guarded(kind, io.BytesIO(read_bounded(buffered, limits)), source, limits)
        elif kind:
            yield from _guarded(kind, buffered, source, limits)
        else:
            yield Document(source=source, name="", data=read_bounded(buffered, limits))
    except LimitError as error:
        yield Unreadable(source=source, reason=str(error))


def _open_large(path: str, source: str, size: int, limits: Limits) -> Iterator[Document | Unreadable]:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            kind = container_kind(file.read(PEEK))
            file.seek(0)
            if kind is None:
                yield Document(
                    source=source, name=source.rpartition("/")[2], data=read_bounded(file, limits), size=size
                )
            else:
                yield from _guarded(kind, file, source, limits)
    except OSError as error:
        yield Unreadable(source=source, reason=error.strerror or str(error), size=size)
    except LimitError as error:
        yield Unreadable(source=source, reason=str(error), size=size)


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
