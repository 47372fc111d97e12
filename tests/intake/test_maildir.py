"""A watched Maildir: what becomes of each message, whatever else is in the folder."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.intake.recording import Recorder, a_mail
from tlsrpt.config import MaildirSource, ReceiveConfig
from tlsrpt.core.errors import ConfigError, OverloadError, SourceError, StoreError
from tlsrpt.core.limits import Limits
from tlsrpt.intake.maildir import AT_ONCE, FULL_S, UNREADABLE_S, Folder, WatchedMaildir
from tlsrpt.intake.polling import IN_A_ROW, STORE_AGAIN_S, PutOff, Seen
from tlsrpt.intake.way import Way

WAY = Way(name="maildir", kind="maildir")


class Clock:
    """Steady seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """An empty Maildir."""
    return make_maildir(tmp_path / "box")


def make_maildir(path: Path) -> Path:
    for part in ("tmp", "new", "cur"):
        (path / part).mkdir(parents=True)
    return path


def deliver(box: Path, data: bytes, name: str = "", part: str = "new") -> Path:
    """Write into tmp, then rename, as Maildir's description asks for."""
    deliver.count += 1  # type: ignore[attr-defined]
    name = name or f"1772000000.M{deliver.count}P1.mx"  # type: ignore[attr-defined]
    (box / "tmp" / name).write_bytes(data)
    return (box / "tmp" / name).rename(box / part / name)


deliver.count = 0  # type: ignore[attr-defined]


def tree(box: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(box)): path.read_bytes()
        for path in sorted(box.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def a_source(box: Path, *, clock: Clock | None = None, limits: Limits | None = None, **config: Any) -> WatchedMaildir:
    made = MaildirSource(path=str(box), every_s=0.01, **config)
    return WatchedMaildir(made, WAY, limits or Limits(), clock=clock or Clock())


def drain(source: WatchedMaildir, recorder: Recorder | None = None) -> Recorder:
    recorder = recorder or Recorder(WAY)
    asyncio.run(source.drain(recorder.desk))
    return recorder


AFTER = [
    pytest.param("seen", {"cur/a:2,S"}, id="seen"),
    pytest.param("move", {".TLSRPT.Done/cur/a:2,S", ".TLSRPT.Done/maildirfolder"}, id="move"),
    pytest.param("delete", set(), id="delete"),
    pytest.param("leave", {"new/a"}, id="leave"),
]


@pytest.mark.parametrize(("after", "there"), AFTER)
def test_what_is_kept_is_acknowledged_as_configured(box: Path, after: str, there: set[str]) -> None:
    deliver(box, a_mail(), "a")
    recorder = drain(a_source(box, after=after))
    assert recorder.taken == [(a_mail(), "new/a")]
    assert set(tree(box)) == there


@pytest.mark.parametrize(("after", "there"), AFTER)
def test_nothing_is_acknowledged_before_it_is_kept(box: Path, after: str, there: set[str]) -> None:
    """DESIGN promise 1: while a document is being committed, its file lies untouched."""
    deliver(box, a_mail(), "a")
    recorder = Recorder(WAY)
    seen = []
    recorder.before = lambda data: seen.append(set(tree(box)) - {".TLSRPT.Done/maildirfolder"})
    drain(a_source(box, after=after), recorder)
    assert seen == [{"new/a"}]


@pytest.mark.parametrize(
    ("config", "there"),
    [
        pytest.param({}, {"cur/a:2,S"}, id="as what was kept"),
        pytest.param({"after": "move"}, {".TLSRPT.Done/cur/a:2,S"}, id="moved as what was kept"),
        pytest.param({"failed_folder": "TLSRPT.Failed"}, {".TLSRPT.Failed/cur/a:2,"}, id="a folder, unread"),
        pytest.param(
            {"after": "delete", "failed_folder": ".TLSRPT.Failed"}, {".TLSRPT.Failed/cur/a:2,"}, id="not deleted then"
        ),
        pytest.param({"after": "delete"}, set(), id="deleted: the quarantine has its bytes"),
        pytest.param({"after": "leave", "failed_folder": "TLSRPT.Failed"}, {"new/a"}, id="leave changes nothing"),
    ],
)
def test_where_a_report_goes_that_cannot_be_read(box: Path, config: dict[str, str], there: set[str]) -> None:
    deliver(box, a_mail("broken"), "a")
    recorder = drain(a_source(box, **config))
    assert recorder.status.outcomes == {"quarantined": 1}
    assert {name for name in tree(box) if not name.endswith("maildirfolder")} == there


@pytest.mark.parametrize(("word", "outcome"), [("DMARC", "other"), ("forged", "refused")])
def test_other_mail_is_left_alone_and_read_once(box: Path, word: str, outcome: str) -> None:
    deliver(box, a_mail(word), "a")
    source = a_source(box)
    recorder = drain(source)
    deliver(box, a_mail(), "b")
    drain(source, recorder)
    assert set(tree(box)) == {"new/a", "cur/b:2,S"}
    assert recorder.status.outcomes == {outcome: 1, "new": 1}


def test_what_is_too_large_is_not_read_and_named_once(box: Path) -> None:
    deliver(box, a_mail(size=2000), "large")
    deliver(box, a_mail(size=1000), "just")
    source = a_source(box, limits=Limits(compressed_bytes=1000))
    recorder = drain(source)
    drain(source, recorder)
    assert set(tree(box)) == {"new/large", "cur/just:2,S"}
    assert recorder.status.outcomes == {"too-large": 1, "new": 1}
    assert recorder.told == [
        ("left alone for its size", {"source": "maildir", "where": "new/large", "size_bytes": 2000})
    ]


@pytest.mark.parametrize(
    ("word", "error", "again_s"), [("no store", StoreError, STORE_AGAIN_S), ("too many", OverloadError, 20)]
)
def test_what_cannot_be_taken_now_waits_and_holds_nothing_up(
    box: Path, word: str, error: type[Exception], again_s: float
) -> None:
    """One report of a full quarantine or of a flooding submitter: untouched, the others go on, tried again later."""
    deliver(box, a_mail(word), "a")
    deliver(box, a_mail(), "b")
    clock = Clock()
    source = a_source(box, clock=clock)
    recorder = Recorder(WAY)
    with pytest.raises(error):
        drain(source, recorder)
    assert set(tree(box)) == {"new/a", "cur/b:2,S"}

    (box / "new/a").write_bytes(a_mail("fine"))
    clock.now += again_s - 1
    with pytest.raises(error):
        drain(source, recorder)
    assert set(tree(box)) == {"new/a", "cur/b:2,S"}
    clock.now += 2
    drain(source, recorder)
    assert set(tree(box)) == {"cur/a:2,S", "cur/b:2,S"}


def test_a_store_that_is_down_ends_the_look(box: Path) -> None:
    """A look does not read a whole mailbox for a store that can't write; nothing is changed meanwhile."""
    for n in range(IN_A_ROW * 4):
        deliver(box, a_mail(n=n))
    before = tree(box)
    recorder, clock = Recorder(WAY), Clock()
    source = a_source(box, clock=clock)
    recorder.store_is_down = True
    tried = []
    recorder.before = tried.append
    with pytest.raises(StoreError):
        drain(source, recorder)
    assert tree(box) == before
    assert len(tried) <= IN_A_ROW + AT_ONCE

    recorder.store_is_down = False
    clock.now += STORE_AGAIN_S + 1
    drain(source, recorder)
    assert recorder.status.outcomes == {"new": len(before)}


def test_unread_mail_in_cur_is_taken_too(box: Path) -> None:
    """An IMAP client that waits on the mailbox has the server move everything to cur before we look."""
    for name in ("a:2,", "b:2,F", "c:2,S", "d:2,FRS", "e:2,T", "f:2,D", "g"):
        deliver(box, a_mail(name), name, "cur")
    recorder = drain(a_source(box))
    assert [where for _, where in sorted(recorder.taken)] == ["cur/a:2,", "cur/b:2,F", "cur/g"]
    assert set(tree(box)) == {
        f"cur/{name}" for name in ("a:2,S", "b:2,FS", "c:2,S", "d:2,FRS", "e:2,T", "f:2,D", "g:2,S")
    }


def test_only_regular_files_are_opened(box: Path, tmp_path: Path) -> None:
    """A link could name any file that the service may read, a pipe would hold it up."""
    (tmp_path / "secret").write_bytes(a_mail("secret"))
    (box / "new/link").symlink_to(tmp_path / "secret")
    (box / "new/folder").mkdir()
    os.mkfifo(box / "new/pipe")
    deliver(box, a_mail("hidden"), ".hidden")
    deliver(box, a_mail(), "a")
    recorder = drain(a_source(box))
    assert recorder.taken == [(a_mail(), "new/a")]
    assert sorted(path.name for path in (box / "new").iterdir()) == [".hidden", "folder", "link", "pipe"]


def test_a_file_swapped_for_a_link_or_gone_since_it_was_listed_is_no_error(box: Path, tmp_path: Path) -> None:
    folder = Folder(str(box), "seen", "", "")
    deliver(box, a_mail(), "gone")
    deliver(box, a_mail(), "swapped")
    gone, swapped = folder.unread(Seen(), PutOff(Clock())).messages
    if gone.name != "gone":
        gone, swapped = swapped, gone
    (box / "new/gone").unlink()
    (box / "new/swapped").unlink()
    (box / "new/swapped").symlink_to(tmp_path / "anything")
    assert folder.read(gone, 1000) is None
    assert folder.read(swapped, 1000) is None
    assert folder.settle(gone, failed=False)


def test_a_file_that_grows_is_read_to_one_byte_past_the_limit(box: Path) -> None:
    folder = Folder(str(box), "seen", "", "")
    path = deliver(box, b"x" * 100)
    [message] = folder.unread(Seen(), PutOff(Clock())).messages
    path.write_bytes(b"x" * 1_000_000)
    assert folder.read(message, 5000) == b"x" * 5001


def test_a_name_that_is_taken_in_cur_is_not_written_over(box: Path) -> None:
    deliver(box, a_mail("theirs"), "a:2,S", "cur")
    deliver(box, a_mail("ours"), "a")
    drain(a_source(box))
    assert tree(box) == {"cur/a:2,S": a_mail("theirs"), "cur/a.1:2,S": a_mail("ours")}


def test_names_from_outside_are_made_printable(box: Path) -> None:
    name = os.fsdecode(b"1.\x1b[31m\xff.mx")
    deliver(box, a_mail(), name)
    recorder = drain(a_source(box))
    assert recorder.taken == [(a_mail(), "new/1.\\x1b[31m\\udcff.mx")]
    assert set(tree(box)) == {f"cur/{name}:2,S"}


def test_the_done_folder_has_the_rights_of_the_maildir(box: Path) -> None:
    (box / "cur").chmod(0o770)
    deliver(box, a_mail(), "a")
    drain(a_source(box, after="move", done_folder="Reports.TLS"))
    made = box / ".Reports.TLS"
    assert {(made / part).stat().st_mode & 0o7777 for part in ("", "cur", "new", "tmp")} == {0o770}
    assert (made / "maildirfolder").stat().st_mode & 0o7777 == 0o660


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"done_folder": "a/b"}, id="slash"),
        pytest.param({"done_folder": "a..b"}, id="dots"),
        pytest.param({"done_folder": "..", "after": "move"}, id="only dots"),
        pytest.param({"failed_folder": "../elsewhere"}, id="out of the Maildir"),
        pytest.param({"done_folder": "", "after": "move"}, id="nowhere"),
        pytest.param({"path": "box"}, id="no absolute path"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="source maildir"):
        WatchedMaildir(MaildirSource(**{"path": "/box", **config}), WAY, Limits())


@pytest.mark.parametrize("way", ["drain", "test"])
def test_what_is_no_maildir_is_said_in_one_line(tmp_path: Path, way: str) -> None:
    source = a_source(tmp_path / "nowhere")
    with pytest.raises(SourceError, match=r"nowhere: is no Maildir: there is no new in it; the mail server makes it"):
        asyncio.run(source.test() if way == "test" else source.drain(Recorder(WAY).desk))


def test_the_maildir_in_a_home_is_suggested(tmp_path: Path) -> None:
    make_maildir(tmp_path / "Maildir")
    with pytest.raises(SourceError, match=rf"is it {tmp_path}/Maildir\?"):
        asyncio.run(a_source(tmp_path).test())


def test_a_test_counts_and_changes_nothing(box: Path) -> None:
    deliver(box, a_mail(), "a")
    deliver(box, a_mail(), "b:2,", "cur")
    deliver(box, a_mail(), "c:2,S", "cur")
    before = {path: path.stat() for path in box.rglob("*")}
    assert asyncio.run(a_source(box, after="move").test()) == [
        f"{box}: 1 messages in new, 1 unread in cur",
        "they may be read and changed",
    ]
    assert {path: (path.stat().st_mtime_ns, path.stat().st_mode) for path in box.rglob("*")} == {
        path: (found.st_mtime_ns, found.st_mode) for path, found in before.items()
    }


# --- What another user owns ----------------------------------------------------------------------------------------


@contextmanager
def as_nobody() -> Iterator[None]:
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_box() -> Iterator[Path]:
    """A Maildir that other users can reach."""
    folder = Path(tempfile.mkdtemp(prefix="tlsrpt-maildir-", dir="/tmp"))
    folder.chmod(0o755)
    yield make_maildir(folder / "box")
    shutil.rmtree(folder)


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")


@as_root
def test_a_message_that_may_not_be_read_is_named_once_and_the_others_go_on(open_box: Path) -> None:
    for part in ("", "new", "cur", "tmp"):
        (open_box / part).chmod(0o777)
    deliver(open_box, a_mail("secret"), "a").chmod(0o600)
    deliver(open_box, a_mail(), "b").chmod(0o644)
    clock = Clock()
    source, recorder = a_source(open_box, clock=clock), Recorder(WAY)

    async def watch() -> None:
        task = asyncio.create_task(source.run(recorder.desk))
        await recorder.until(lambda: recorder.states != [] and len(recorder.taken) == 1)
        clock.now += UNREADABLE_S + 1
        deliver(open_box, a_mail("more"), "c").chmod(0o644)
        await recorder.until(lambda: len(recorder.taken) == 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with as_nobody():
        asyncio.run(watch())
    assert set(tree(open_box)) == {"new/a", "cur/b:2,S", "cur/c:2,S"}
    assert [event for event, _ in recorder.told] == ["message unreadable"]
    [state] = recorder.states
    assert state.startswith(f"trouble {open_box}/new/a: may not be read by this user (nobody); it belongs to root")


@as_root
@pytest.mark.parametrize(("mode", "after", "what"), [(0o700, "leave", "read"), (0o755, "seen", "read and changed")])
def test_a_folder_that_may_not_be_used_is_said_in_one_line(open_box: Path, mode: int, after: str, what: str) -> None:
    for part in ("new", "cur"):
        (open_box / part).chmod(mode)
    with as_nobody(), pytest.raises(SourceError) as raised:
        drain(a_source(open_box, after=after))
    assert str(raised.value) == (
        f"{open_box}/new: may not be {what} by this user (nobody); it belongs to root; "
        'run the service as that user, give both a group, or set after = "leave"'
    )


# --- Watching ------------------------------------------------------------------------------------------------------


def test_what_is_delivered_while_watching_is_taken(box: Path) -> None:
    source, recorder = a_source(box), Recorder(WAY)

    async def watch() -> None:
        task = asyncio.create_task(source.run(recorder.desk))
        await recorder.until(lambda: recorder.status.state == "working")
        for n in range(20):
            deliver(box, a_mail(n=n), f"m{n}")
            await recorder.until(lambda n=n: len(recorder.taken) == n + 1)  # type: ignore[misc]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(watch())
    assert set(tree(box)) == {f"cur/m{n}:2,S" for n in range(20)}
    assert recorder.states == ["working"]


def test_what_is_in_work_when_the_service_stops_is_finished(box: Path) -> None:
    """A kept report whose mail is not acknowledged would only be read again; but a stop in good order leaves none."""
    for n in range(3):
        deliver(box, a_mail(n=n), f"m{n}")
    source, recorder = a_source(box), Recorder(WAY)

    async def stop() -> None:
        recorder.gate = asyncio.Event()
        task = asyncio.create_task(source.run(recorder.desk))
        await recorder.until(lambda: recorder.in_work == 3)
        task.cancel()
        asyncio.get_running_loop().call_soon(recorder.gate.set)
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    asyncio.run(stop())
    assert set(tree(box)) == {f"cur/m{n}:2,S" for n in range(3)}


def test_what_is_in_work_at_once_is_bounded(box: Path) -> None:
    """By number, and by the bytes that all sources have together."""
    for n in range(AT_ONCE * 3):
        deliver(box, a_mail(n=n, size=1000))
    recorder = drain(a_source(box))
    assert 1 < recorder.most_in_work <= AT_ONCE
    assert recorder.room.documents == recorder.room.bytes == 0

    for n in range(20):
        deliver(box, a_mail("large", n=n, size=400_000))
    recorder = drain(a_source(box), Recorder(WAY, ReceiveConfig(waiting_bytes=1024 * 1024)))
    assert 1 < recorder.most_in_work <= 2
    assert len(recorder.taken) == 20


def test_an_unchanged_folder_is_not_listed_again_until_it_is_time(box: Path) -> None:
    """Folder times are coarse, and late on NFS: a file that they do not show is found by the look now and then."""
    clock = Clock()
    source, recorder = a_source(box, clock=clock), Recorder(WAY)

    def deliver_unseen(name: str) -> None:
        deliver(box, a_mail(name), name)
        os.utime(box / "new", (1, 1))
        os.utime(box / "cur", (1, 1))

    deliver_unseen("a")
    drain(source, recorder)
    deliver_unseen("b")  # within the grain of the clock after the first look: the second does not trust it
    drain(source, recorder)
    assert len(recorder.taken) == 2

    deliver_unseen("late")
    drain(source, recorder)
    assert len(recorder.taken) == 2
    clock.now += FULL_S
    drain(source, recorder)
    assert len(recorder.taken) == 3


def test_left_messages_are_not_read_again_after_a_restart(box: Path) -> None:
    """after = leave changes nothing in the mailbox, so the store keeps how far we were."""
    deliver(box, a_mail(), "a")
    deliver(box, a_mail("DMARC"), "b")
    recorder = drain(a_source(box, after="leave"))
    assert len(recorder.taken) == 2
    deliver(box, a_mail("more"), "c")
    late = deliver(box, a_mail("moved here"), "d")
    os.utime(late, (1_500_000_000, 1_500_000_000))  # mail servers date a file as the message came in first
    drain(a_source(box, after="leave"), recorder)
    assert sorted(where for _, where in recorder.taken[2:]) == ["new/c", "new/d"]
    drain(a_source(box, after="leave"), recorder)
    assert len(recorder.taken) == 4
    assert set(tree(box)) == {f"new/{name}" for name in "abcd"}


@pytest.mark.parametrize(
    ("after", "there"), [("seen", {"cur/a:2,FS"}), ("delete", set()), ("move", {".TLSRPT.Done/cur/a:2,FS"})]
)
def test_a_message_that_a_reader_moves_while_it_is_kept_is_acknowledged(box: Path, after: str, there: set[str]) -> None:
    deliver(box, a_mail(), "a")
    recorder = Recorder(WAY)
    recorder.before = lambda data: (box / "new/a").rename(box / "cur/a:2,F")
    drain(a_source(box, after=after), recorder)
    assert {name for name in tree(box) if not name.endswith("maildirfolder")} == there


def test_a_message_that_a_reader_moved_to_cur_is_the_same(box: Path) -> None:
    deliver(box, a_mail("DMARC"), "a")
    source = a_source(box)
    recorder = drain(source)
    (box / "new/a").rename(box / "cur/a:2,")
    drain(source, recorder)
    assert len(recorder.taken) == 1
