"""Bytes as received -> the documents inside: gzip, zip, tar and their like, told apart by content, never by name.

A label may lie either way (field-notes-reports.md F-08 to F-12), so only the bytes decide. Everything is bounded:
the size after decompression, over all members together, is counted while it streams, never believed from a header.
"""

from __future__ import annotations

import binascii
import re
import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from io import BytesIO
from typing import Protocol

from msgspec import Struct

from tlsrpt.core.errors import LimitError, ReportError
from tlsrpt.core.findings import DOCUMENT, SENDERS_FAULT, Finding
from tlsrpt.core.limits import DEFAULT_LIMITS, Limits
from tlsrpt.core.report import Report
from tlsrpt.core.text import printable

GZIP_MAGIC = b"\x1f\x8b"
_ZIP_MAGIC = b"PK\x03\x04"
_ZIP_ENTRY = b"PK\x01\x02"  # one for each member, in the directory at the end
_STEP = 1024 * 1024  # bytes of output at a time; up to one step the ratio is not looked at
_SLICE = 64 * 1024  # bytes of input at a time: what follows a stream is copied out of a slice, not out of the whole
_PEEK = 64  # bytes of a damaged stream, enough to see what it was
_TAR_BLOCK = 512
_BASE64 = re.compile(rb"(?:H4sI|eyJ|ewo|ew0|UEsDB)[A-Za-z0-9+/\s]+={0,2}\s*")  # gzip, `{"`, `{\n`, `{\r\n`, zip


class Leaf(Struct, frozen=True, kw_only=True):
    """One document found inside: nothing that we could unpack further.

    Attributes:
        data: its bytes.
        packing: the layers around it, outermost first.
        member: its name in the archive, safe to show.
        findings: what was odd about the layers themselves.
        damage: why `data` is only a beginning; empty for a whole document.
    """

    data: bytes
    packing: tuple[str, ...] = ()
    member: str = ""
    findings: tuple[Finding, ...] = ()
    damage: str = ""


class _Stream(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _best_inflater() -> tuple[Callable[[int], _Stream], type[Exception]]:
    """The inflater and what it raises: isal's if the extra `speed` is installed, with the same checks, else zlib's."""
    try:
        isal = import_module("isal.isal_zlib")
    except ImportError:
        return zlib.decompressobj, zlib.error
    return isal.decompressobj, isal.error


_inflater, _inflater_error = _best_inflater()
_DAMAGED = (zlib.error, _inflater_error, OSError, EOFError)  # bz2 raises OSError; xz its own, which is added there


class _Damaged(Exception):  # noqa: N818 - never leaves this file
    """A stream that breaks off; carries how it began."""

    def __init__(self, beginning: bytes, why: str) -> None:
        self.beginning, self.why = beginning, why
        super().__init__(why)


class Budget:
    """What is left of the limits in one document, over all its layers and members; in a mail, over its attachments.

    Bytes, files, and what the reports in them may have in all: a store keeps a document in one transaction, so that
    what one document may hold is how long all others wait.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits, self.left, self.members = limits, limits.decompressed_bytes, 0
        self.policies, self.failure_details = limits.policies, limits.failure_details

    def check(self, output: int, compressed: int) -> None:
        """Refuse an output that goes past a limit."""
        if output > self.left:
            mib = self.limits.decompressed_bytes / (1 << 20)
            raise LimitError(f"larger than {mib:g} MiB once decompressed", limit="decompressed_bytes")
        if output > _STEP and output > compressed * self.limits.ratio:
            raise LimitError(f"decompresses to more than {self.limits.ratio} times its size", limit="ratio")

    def count_member(self) -> None:
        """Count one more file, or one more stream in a row."""
        self.members += 1
        if self.members > self.limits.archive_members:
            raise LimitError(f"more than {self.limits.archive_members} files in the archive", limit="archive_members")

    def count_report(self, report: Report) -> None:
        """Count what one more report has; one without policies takes a row, too.

        Raises:
            LimitError: that is too much, and so is every report from here on.
        """
        self.policies -= max(1, len(report.policies))
        self.failure_details -= sum(len(entry.failure_details or ()) for entry in report.policies)
        if self.policies < 0:
            raise LimitError(f"more than {self.limits.policies} policies in one document", limit="policies")
        if self.failure_details < 0:
            what = f"more than {self.limits.failure_details} failure-details in one document"
            raise LimitError(what, limit="failure_details")


def unpack(data: bytes, limits: Limits = DEFAULT_LIMITS, budget: Budget | None = None) -> Iterator[Leaf | ReportError]:
    """Every document inside, one after the other; what can't be opened comes as the error that says why.

    Never raises for what the bytes hold. After a LimitError nothing follows.

    Args:
        budget: what other attachments of the same mail have left; None: all that the limits allow.
    """
    if len(data) > limits.compressed_bytes:
        mib = limits.compressed_bytes / (1 << 20)
        yield LimitError(f"larger than {mib:g} MiB", limit="compressed_bytes")
        return
    try:
        yield from _open(Leaf(data=data), budget or Budget(limits))
    except LimitError as error:
        yield error


def _open(leaf: Leaf, budget: Budget) -> Iterator[Leaf | ReportError]:
    """Open one layer, and what is found in it."""
    layer = _layer(leaf.data)
    if layer is None:
        yield leaf
        return
    if len(leaf.packing) >= budget.limits.archive_depth:
        depth = budget.limits.archive_depth
        raise LimitError(f"more than {depth} compressions inside each other", limit="archive_depth", where=leaf.member)
    name, opened = layer
    try:
        for inner in opened(leaf, (*leaf.packing, name), budget):
            if isinstance(inner, Leaf):
                yield from _open(inner, budget)
            else:
                yield inner
    except _Damaged as damage:
        yield Leaf(
            data=damage.beginning,
            packing=(*leaf.packing, name),
            member=leaf.member,
            findings=leaf.findings,
            damage=damage.why,
        )


_Opened = Callable[[Leaf, tuple[str, ...], Budget], Iterator["Leaf | ReportError"]]


def _layer(data: bytes) -> tuple[str, _Opened] | None:
    """The outermost layer by its magic, with the function that opens it."""
    if data[:1] in b"{[" and data:  # the usual case first: plain JSON
        return None
    if data.startswith(GZIP_MAGIC):
        return "gzip", _open_gzip
    if data.startswith((_ZIP_MAGIC, b"PK\x05\x06")):
        return "zip", _open_zip
    if data.startswith(b"BZh") and data[4:10] in (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90"):
        return "bzip2", _open_bzip2
    if data.startswith(b"\xfd7zXZ\x00"):
        return "xz", _open_xz
    # zlib's header (RFC 1950): deflate with a window of 32 KiB, and a check that makes it a multiple of 31.
    if data[:1] == b"\x78" and len(data) > 2 and data[1:2] in b"\x01\x5e\x9c\xda":
        return "zlib", _open_zlib
    if _is_tar(data):
        return "tar", _open_tar
    if data[:3] in (b"H4s", b"eyJ", b"ewo", b"ew0", b"UEs") and _BASE64.fullmatch(data):
        return "base64", _open_base64
    return None


def gunzip(data: bytes) -> bytes | None:
    """The content of the usual gzip, at once: one stream, nothing behind it, of up to 1 MiB. None for any other."""
    stream = _inflater(31)
    try:
        content = stream.decompress(data, _STEP)
    except _DAMAGED:
        return None
    return content if stream.eof and not stream.unused_data else None


def _open_gzip(leaf: Leaf, packing: tuple[str, ...], budget: Budget) -> Iterator[Leaf]:
    return _open_streams(leaf, packing, budget, lambda: _inflater(31), GZIP_MAGIC)


def _open_zlib(leaf: Leaf, packing: tuple[str, ...], budget: Budget) -> Iterator[Leaf]:
    return _open_streams(leaf, packing, budget, lambda: _inflater(15), None)


def _open_bzip2(leaf: Leaf, packing: tuple[str, ...], budget: Budget) -> Iterator[Leaf]:
    import bz2

    def new() -> _Stream:
        return bz2.BZ2Decompressor()

    return _open_streams(leaf, packing, budget, new, b"BZh")


def _open_xz(leaf: Leaf, packing: tuple[str, ...], budget: Budget) -> Iterator[Leaf]:
    import lzma

    memory = 64 * 1024 * 1024 + budget.limits.decompressed_bytes  # its dictionary is as large as the header says

    def new() -> _Stream:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=memory)

    return _open_streams(leaf, packing, budget, new, b"\xfd7zXZ\x00", (*_DAMAGED, lzma.LZMAError))


def _open_streams(
    leaf: Leaf,
    packing: tuple[str, ...],
    budget: Budget,
    new: Callable[[], _Stream],
    magic: bytes | None,
    damages: tuple[type[Exception], ...] = _DAMAGED,
) -> Iterator[Leaf]:
    """Decompress a stream, and those of the same kind that follow it: together they are one document (RFC 1952 2.2)."""
    data, size = leaf.data, len(leaf.data)
    output, position = BytesIO(), 0
    while True:
        budget.count_member()
        try:
            end = _decompress_one(new(), data, position, output, budget)
        except damages as error:
            budget.left -= output.tell()
            why = f"the {packing[-1]} stream is damaged: {error}"
            raise _Damaged(_beginning(new(), data, damages), why) from error
        if end is None:
            budget.left -= output.tell()
            raise _Damaged(output.getvalue(), f"the {packing[-1]} stream ends early")
        position = end
        if magic is None or not data.startswith(magic, position):
            break
    budget.left -= output.tell()
    findings = leaf.findings if position == size else (*leaf.findings, _trailing(packing[-1], size - position))
    yield Leaf(data=output.getvalue(), packing=packing, member=leaf.member, findings=findings)


def _decompress_one(stream: _Stream, data: bytes, position: int, output: BytesIO, budget: Budget) -> int | None:
    """Decompress one stream into the output; where it ends in the input, or None if the input ends first."""
    size = len(data)
    while position < size:
        part = data[position : position + _SLICE]
        position += len(part)
        while True:
            output.write(stream.decompress(part, _STEP))
            budget.check(output.tell(), size)
            if stream.eof:
                return position - len(stream.unused_data)
            part = getattr(stream, "unconsumed_tail", b"")  # zlib hands back what it has not read; the others keep it
            if not part and getattr(stream, "needs_input", True):
                break
    while more := stream.decompress(b"", _STEP):  # output that did not fit the last step
        output.write(more)
        budget.check(output.tell(), size)
    return size - len(stream.unused_data) if stream.eof else None


def _beginning(stream: _Stream, data: bytes, damages: tuple[type[Exception], ...]) -> bytes:
    """The first bytes of a damaged stream, if any can be had: enough to tell JSON from anything else."""
    try:
        return stream.decompress(data[:_SLICE], _PEEK)
    except damages:
        return b""


def _trailing(layer: str, size: int) -> Finding:
    return Finding(
        code="trailing-data",
        severity="warning",
        where=DOCUMENT,
        message=f"{size} byte{'s' if size > 1 else ''} follow the end of the {layer} data",
        consequence="read up to its end; what follows was not read",
        fix=SENDERS_FAULT,
    )


def _open_base64(leaf: Leaf, packing: tuple[str, ...], budget: Budget) -> Iterator[Leaf]:
    try:
        content = binascii.a2b_base64(leaf.data)
    except binascii.Error as error:
        raise _Damaged(b"", f"the base64 text is damaged: {error}") from error
    finding = Finding(
        code="encoding-base64",
        severity="warning",
        where=DOCUMENT,
        message="the document is base64 text, as it stands inside a mail",
        consequence="decoded, then read",
        fix="save the attachment, not the source of the mail; else a fault of the sender",
    )
    yield Leaf(data=content, packing=packing, member=leaf.member, findings=(*leaf.findings, finding))


def _open_zip(leaf: Leaf, packing: tuple[str, ...], budget: Budget) -> Iterator[Leaf | ReportError]:
    """The files of a zip; their sizes are counted, not believed."""
    import zipfile

    if leaf.data.count(_ZIP_ENTRY) > budget.limits.archive_members:  # before its directory is read into memory
        budget.members = budget.limits.archive_members
        budget.count_member()
    broken: tuple[type[Exception], ...] = (
        *_DAMAGED,
        zipfile.BadZipFile,
        ValueError,
        OverflowError,
        RuntimeError,  # NotImplementedError too: a method or a version that zipfile does not know
    )
    try:
        archive = zipfile.ZipFile(BytesIO(leaf.data))
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    except broken as error:
        raise _Damaged(_first_of_zip(leaf.data), f"the zip is damaged: {printable(str(error), 120)}") from error
    for entry in entries:
        budget.count_member()
        name = _member(leaf, entry.filename)
        if entry.flag_bits & 1:
            yield ReportError("encrypted with a password", where=name)
            continue
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
            yield ReportError(f"compressed by a method that is not read here ({entry.compress_type})", where=name)
            continue
        output = BytesIO()
        try:
            with archive.open(entry) as file:
                while piece := file.read(_SLICE):
                    output.write(piece)
                    budget.check(output.tell(), entry.compress_size + 1)
        except broken as error:
            budget.left -= output.tell()
            damage = f"damaged in the zip: {printable(str(error), 120)}"
            yield Leaf(data=output.getvalue(), packing=packing, member=name, findings=leaf.findings, damage=damage)
            continue
        budget.left -= output.tell()
        yield Leaf(data=output.getvalue(), packing=packing, member=name, findings=leaf.findings)


def _first_of_zip(data: bytes) -> bytes:
    """How the first file of a damaged zip begins; what stands before it needs no directory (APPNOTE 4.3.7)."""
    name, extra = int.from_bytes(data[26:28], "little"), int.from_bytes(data[28:30], "little")
    content = data[30 + name + extra :]
    return _beginning(_inflater(-15), content, _DAMAGED) if data[8:10] == b"\x08\0" else content[:_PEEK]


def _is_tar(data: bytes) -> bool:
    """Whether a tar begins here: its header names itself, or its checksum is right (the oldest ones have no name)."""
    if len(data) < _TAR_BLOCK:
        return False
    return data[257:262] == b"ustar" or (data[0] > 0x20 and b"\0" in data[:100] and _tar_checksum_is_right(data[:512]))


def _tar_checksum_is_right(header: bytes) -> bool:
    said = _octal(header[148:156])
    return said is not None and said == sum(header) - sum(header[148:156]) + 8 * 0x20


def _octal(field: bytes) -> int | None:
    digits = field.strip(b" \0")
    return int(digits, 8) if digits and re.fullmatch(rb"[0-7]{1,12}", digits) else None


def _open_tar(leaf: Leaf, packing: tuple[str, ...], budget: Budget) -> Iterator[Leaf | ReportError]:
    """The plain files of a tar (POSIX 1003.1, GNU long names); links, devices and sparse files hold no report."""
    data, position, long_name = leaf.data, 0, ""
    while position + _TAR_BLOCK <= len(data):
        header = data[position : position + _TAR_BLOCK]
        if not header.strip(b"\0"):
            return  # the end: blocks of zeros
        size = _octal(header[124:136])
        if size is None or not _tar_checksum_is_right(header):
            yield ReportError("the tar is damaged", where=leaf.member)
            return
        begin, kind = position + _TAR_BLOCK, header[156:157]
        position = begin + -(-size // _TAR_BLOCK) * _TAR_BLOCK
        budget.count_member()
        if kind == b"L":
            long_name = data[begin : begin + min(size, 4096)].rstrip(b"\0").decode("utf-8", "replace")
            continue
        if kind not in (b"0", b"\0"):
            continue
        prefix = header[345:500] if header[257:262] == b"ustar" and header[262:263] == b"\0" else b""
        short = b"/".join(filter(None, (prefix.split(b"\0")[0], header[:100].split(b"\0")[0])))
        name, long_name = _member(leaf, long_name or short.decode("utf-8", "replace")), ""
        damage = "the tar ends early" if begin + size > len(data) else ""
        yield Leaf(data=data[begin : begin + size], packing=packing, member=name, findings=leaf.findings, damage=damage)
    if position < len(data):
        yield ReportError("the tar ends early", where=leaf.member)


def _member(leaf: Leaf, name: str) -> str:
    """The name of a member, safe to show, behind the name of the archive it is in."""
    return f"{leaf.member}/{printable(name, 200)}" if leaf.member else printable(name, 200)
