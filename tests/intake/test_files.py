"""From paths to documents: every container is opened, every document keeps to its own limits, nothing is skipped silently."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest

from tlsrpt.core.limits import DEFAULT_LIMITS, Limits
from tlsrpt.intake.files import Document, Unreadable, documents, expand_stream

MAIL = b"From: a@b.example\nSubject: one\n\nbody\n"
MBOX = b"From a@b.example Sun Mar  1 00:00:00 2026\n" + MAIL + b"\nFrom a@b.example Sun Mar  1 00:00:01 2026\n" + MAIL


def found(*paths: Path, limits: Limits = DEFAULT_LIMITS) -> list[tuple[str, bytes | None]]:
    """Sources (relative to the first path's folder) and bytes, None for what could not be read."""
    top = paths[0].parent
    return [
        (os.path.relpath(item.source, top), item.data if isinstance(item, Document) else None)
        for item in documents(list(paths), limits)
    ]


def a_zip(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), data)
    return out.getvalue()


def a_tar(mode: str, **members: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name.replace("_", "."))
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def test_a_file_is_one_document(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_bytes(b"{}")
    assert found(tmp_path / "r.json") == [("r.json", b"{}")]


def test_what_a_file_is_its_bytes_say_and_not_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(MBOX)
    (tmp_path / "b.eml").write_bytes(a_zip(x_json=b"{}"))
    (tmp_path / "c").write_bytes(a_tar("w:gz", x_json=b"{}"))
    assert [source for source, _ in found(tmp_path / "a.json", tmp_path / "b.eml", tmp_path / "c")] == [
        "a.json#1",
        "a.json#2",
        "b.eml/x.json",
        "c/x.json",
    ]


def test_a_maildir_is_new_and_cur_and_its_subfolders(tmp_path: Path) -> None:
    """tmp holds mails that are still being written; other files there are the mail server's own."""
    for folder in ("new", "cur", "tmp", ".Reports/new", ".Reports/cur", ".Reports/tmp"):
        (tmp_path / "m" / folder).mkdir(parents=True)
    for name in ("new/1", "cur/2:2,S", "tmp/3", ".Reports/cur/4", "dovecot-uidlist"):
        (tmp_path / "m" / name).write_bytes(MAIL)
    assert [source for source, _ in found(tmp_path / "m")] == ["m/new/1", "m/cur/2:2,S", "m/.Reports/cur/4"]


def test_a_folder_is_walked_in_the_order_of_names_without_hidden_files_and_loops(tmp_path: Path) -> None:
    for name in ("top/b.json", "top/a.json", "top/sub/c.json", "top/.git/d.json", "top/.e.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"{}")
    (tmp_path / "top/sub/loop").symlink_to(tmp_path / "top")
    os.mkfifo(tmp_path / "top/pipe")
    assert [source for source, _ in found(tmp_path / "top")] == ["top/a.json", "top/b.json", "top/sub/c.json"]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_members_of_a_tar_archive_are_documents(tmp_path: Path, mode: str) -> None:
    (tmp_path / "x").write_bytes(a_tar(mode, a_json=b"{}", b_eml=MAIL))
    assert found(tmp_path / "x") == [("x/a.json", b"{}"), ("x/b.eml", MAIL)]


def test_an_mbox_inside_an_archive_is_split(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(a_zip(m_mbox=MBOX))
    assert [source for source, _ in found(tmp_path / "x.zip")] == ["x.zip/m.mbox#1", "x.zip/m.mbox#2"]


def test_a_compressed_mbox_is_split(tmp_path: Path) -> None:
    (tmp_path / "m.mbox.gz").write_bytes(gzip.compress(MBOX))
    assert len(found(tmp_path / "m.mbox.gz")) == 2


def test_the_only_file_of_a_zip_is_marked(tmp_path: Path) -> None:
    """F-11: a report that was sent as a zip departs from the RFC; a person's archive of many does not."""
    (tmp_path / "one.zip").write_bytes(a_zip(a_json=b"{}"))
    (tmp_path / "two.zip").write_bytes(a_zip(a_json=b"{}", b_json=b"{}"))
    items = list(documents([tmp_path / "one.zip", tmp_path / "two.zip"], DEFAULT_LIMITS))
    assert [item.alone_in_zip for item in items if isinstance(item, Document)] == [True, False, False]


def test_a_member_past_the_limit_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    """A bomb costs no more memory than the limit."""
    (tmp_path / "x.zip").write_bytes(a_zip(a_json=bytes(3_000_000), b_json=b"{}"))
    items = list(documents([tmp_path / "x.zip"], Limits(decompressed_bytes=1_000_000)))
    assert isinstance(items[0], Unreadable)
    assert "limits.decompressed_bytes" in items[0].reason
    assert isinstance(items[1], Document)


@pytest.mark.parametrize("cut", [100, 1000])
def test_a_damaged_archive_says_so(tmp_path: Path, cut: int) -> None:
    (tmp_path / "x.tgz").write_bytes(a_tar("w:gz", a_json=os.urandom(3000))[:-cut])
    (tmp_path / "x.zip").write_bytes(a_zip(a_json=os.urandom(3000))[:-cut])
    items = list(documents([tmp_path / "x.tgz", tmp_path / "x.zip"], DEFAULT_LIMITS))
    assert sum(isinstance(item, Unreadable) and "damaged" in item.reason for item in items) == 2


def test_an_encrypted_member_is_named(tmp_path: Path) -> None:
    data = bytearray(a_zip(a_json=b"{}"))
    data[6] |= 1
    central = data.index(b"PK\x01\x02")
    data[central + 8] |= 1
    (tmp_path / "x.zip").write_bytes(data)
    (item,) = documents([tmp_path / "x.zip"], DEFAULT_LIMITS)
    assert isinstance(item, Unreadable)
    assert "encrypted" in item.reason


@pytest.mark.parametrize(
    "data",
    [b"{}", MAIL, MBOX, a_zip(a_json=b"{}"), a_tar("w:gz", a_json=b"{}"), a_tar("w:xz", a_json=b"{}")],
    ids=["json", "mail", "mbox", "zip", "tar.gz", "tar.xz"],
)
def test_standard_input_is_read_like_a_file(tmp_path: Path, data: bytes) -> None:
    """`tlsrpt read - < file` finds what `tlsrpt read file` finds."""
    (tmp_path / "x").write_bytes(data)
    piped = [item.data for item in expand_stream(io.BytesIO(data), "-", DEFAULT_LIMITS) if isinstance(item, Document)]
    assert piped == [data for _, data in found(tmp_path / "x")]


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere")
    (item,) = documents([tmp_path / "gone.json"], DEFAULT_LIMITS)
    assert isinstance(item, Unreadable)
    assert item.reason == "No such file or directory"


def test_a_file_of_a_megabyte_is_read_like_a_small_one(tmp_path: Path) -> None:
    """Large files are looked into before they are read: an mbox of a gigabyte is streamed."""
    (tmp_path / "a.json").write_bytes(b"{" + b" " * 2_000_000 + b"}")
    (tmp_path / "b.mbox").write_bytes(MBOX * 20_000)
    items = found(tmp_path / "a.json", tmp_path / "b.mbox")
    assert (len(items[0][1] or b""), len(items)) == (2_000_002, 40_001)


def test_a_name_that_is_no_text_does_no_harm(tmp_path: Path) -> None:
    """A file system may hold any bytes in a name."""
    (tmp_path / os.fsdecode(b"a\xff.json")).write_bytes(b"{}")
    (item,) = documents([tmp_path], DEFAULT_LIMITS)
    assert isinstance(item, Document)
    assert (item.data, item.name) == (b"{}", "a\\xff.json")
    item.source.encode()


def test_a_path_that_can_not_be_looked_at_is_named_and_the_rest_read(tmp_path: Path) -> None:
    """A folder that may not be read ends the same way; root, who runs these tests, may read all."""
    (tmp_path / "a.json").write_bytes(b"{}")
    bad, good = documents([tmp_path / ("x" * 300), tmp_path / "a.json"], DEFAULT_LIMITS)
    assert isinstance(bad, Unreadable)
    assert bad.reason == "File name too long"
    assert isinstance(good, Document)


def test_what_comes_through_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    """`tlsrpt read <(zcat ...)`: the size of a pipe says nothing."""
    os.mkfifo(tmp_path / "pipe")
    text = b"{" + b" " * 3_000_000 + b"}"
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(text,))
    writer.start()
    assert found(tmp_path / "pipe") == [("pipe", text)]
    writer.join()


def test_a_pipe_without_end_meets_the_limit(tmp_path: Path) -> None:
    (item,) = documents([Path("/dev/zero")], Limits(decompressed_bytes=3_000_000))
    assert isinstance(item, Unreadable)
    assert "limits.decompressed_bytes" in item.reason
