"""A bucket, against moto's S3 server: what becomes of each object, and what is said when the service does not let us."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import settings
from moto.backends import get_backend
from moto.server import ThreadedMotoServer

from tests.intake.recording import Recorder, a_mail
from tests.lab.servers import free_port
from tlsrpt.config import S3Source
from tlsrpt.core.errors import ConfigError, OverloadError, SourceError, StoreError
from tlsrpt.core.limits import Limits
from tlsrpt.intake.polling import STORE_AGAIN_S
from tlsrpt.intake.s3 import AT_ONCE, OVERLAP_S, Bucket
from tlsrpt.intake.way import Way

WAY = Way(name="s3", kind="s3")
REGION = "us-east-1"
KEYS = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


class Mails:
    """The bucket as who fills it sees it."""

    def __init__(self, endpoint: str) -> None:
        self.client = boto3.client("s3", endpoint_url=endpoint, region_name=REGION, **KEYS)
        self.endpoint = endpoint

    def put(self, key: str, data: bytes, *, older: timedelta | None = None) -> None:
        self.client.put_object(Bucket="mails", Key=key, Body=data)
        if older is not None:
            key_object = get_backend("s3")["123456789012"]["aws"].buckets["mails"].keys[key]  # type: ignore[index]
            key_object.last_modified -= older

    @property
    def there(self) -> dict[str, bytes]:
        listed = self.client.list_objects_v2(Bucket="mails").get("Contents", [])
        return {one["Key"]: self.client.get_object(Bucket="mails", Key=one["Key"])["Body"].read() for one in listed}

    def source(
        self, tmp_path: Path, *, limits: Limits | None = None, clock: Any = lambda: 0.0, **config: Any
    ) -> Bucket:
        secret = tmp_path / "secret"
        if not secret.exists():
            secret.write_text("b\n")
        given = {"endpoint": self.endpoint, "access_key_id": "a", "secret_key_file": str(secret), "every_s": 0.01}
        return Bucket(S3Source(bucket="mails", **{**given, **config}), WAY, limits or Limits(), clock=clock)


@pytest.fixture
def mails(server: str) -> Iterator[Mails]:
    filled = Mails(server)
    filled.client.create_bucket(Bucket="mails")
    yield filled
    for page in filled.client.get_paginator("list_objects_v2").paginate(Bucket="mails"):
        for one in page.get("Contents", []):
            filled.client.delete_object(Bucket="mails", Key=one["Key"])
    filled.client.delete_bucket(Bucket="mails")


def drain(source: Bucket, recorder: Recorder | None = None) -> Recorder:
    recorder = recorder or Recorder(WAY)
    asyncio.run(source.drain(recorder.desk))
    return recorder


AFTER = [
    pytest.param("leave", "in/m1", id="leave"),
    pytest.param("move", "done/m1", id="move"),
    pytest.param("delete", None, id="delete"),
]


@pytest.mark.parametrize(("after", "there"), AFTER)
def test_what_is_kept_is_acknowledged_as_configured(
    mails: Mails, tmp_path: Path, after: str, there: str | None
) -> None:
    """And not before: while it is being committed, the object lies untouched."""
    mails.put("in/m1", a_mail())
    recorder = Recorder(WAY)
    meanwhile = []
    recorder.before = lambda data: meanwhile.append(list(mails.there))
    drain(mails.source(tmp_path, prefix="in/", after=after), recorder)
    assert recorder.taken == [(a_mail(), "in/m1")]
    assert meanwhile == [["in/m1"]]
    assert list(mails.there) == ([there] if there else [])


def test_reports_lie_there_as_mails_and_as_files(mails: Mails, tmp_path: Path) -> None:
    """The door tells them apart by their bytes; a report's file name is evidence (F-30)."""
    report = gzip.compress(json.dumps({"organization-name": "x"}).encode())
    mails.put("in/2026/03/0b1c", a_mail())
    mails.put("in/mta.example!a.example!1!2.json.gz", report)
    recorder = drain(mails.source(tmp_path, prefix="in/", after="delete"))
    assert recorder.documents == sorted([a_mail(), report])
    assert set(recorder.file_names) == {"0b1c", "mta.example!a.example!1!2.json.gz"}


@pytest.mark.parametrize(
    ("word", "outcome", "there"),
    [
        ("broken", "quarantined", "failed/m1"),
        ("DMARC", "other", "in/m1"),
        ("forged", "refused", "in/m1"),
    ],
)
def test_what_becomes_of_an_object_that_is_no_good_report(
    mails: Mails, tmp_path: Path, word: str, outcome: str, there: str
) -> None:
    mails.put("in/m1", a_mail(word))
    source = mails.source(tmp_path, prefix="in/", after="move")
    recorder = drain(source)
    drain(source, recorder)
    assert list(mails.there) == [there]
    assert recorder.status.outcomes == {outcome: 1}


def test_what_is_too_large_is_not_fetched_and_named_once(mails: Mails, tmp_path: Path) -> None:
    mails.put("large", a_mail(size=2000))
    mails.put("just", a_mail(size=1000))
    source = mails.source(tmp_path, after="delete", limits=Limits(compressed_bytes=1000))
    recorder = drain(source)
    drain(source, recorder)
    assert list(mails.there) == ["large"]
    assert recorder.status.outcomes == {"too-large": 1, "new": 1}
    assert recorder.told == [("left alone for its size", {"source": "s3", "where": "large", "size_bytes": 2000})]


@pytest.mark.parametrize(("word", "error"), [("no store", StoreError), ("too many", OverloadError)])
def test_what_cannot_be_taken_now_waits_and_holds_nothing_up(
    mails: Mails, tmp_path: Path, word: str, error: type[Exception]
) -> None:
    mails.put("a", a_mail(word))
    mails.put("b", a_mail())
    now = [0.0]
    source = mails.source(tmp_path, after="delete", clock=lambda: now[0])
    with pytest.raises(error):
        drain(source)
    assert list(mails.there) == ["a"]
    now[0] += STORE_AGAIN_S + 1
    recorder = Recorder(WAY)
    with pytest.raises(error):
        drain(source, recorder)
    assert list(mails.there) == ["a"]


def test_set_aside_objects_are_never_read(mails: Mails, tmp_path: Path) -> None:
    """A prefix is any beginning of a key, as in S3; done and failed are folders of the bucket."""
    for key in ("a", "in/b", "in/sub/c", "inner", "done/d", "failed/e", "done.txt"):
        mails.put(key, a_mail(key))
    assert {where for _, where in drain(mails.source(tmp_path)).taken} == {"a", "in/b", "in/sub/c", "inner", "done.txt"}
    read = {where for _, where in drain(mails.source(tmp_path, prefix="in")).taken}
    assert read == {"in/b", "in/sub/c", "inner"}
    moved = drain(mails.source(tmp_path, prefix="in/su", after="move", done_prefix="kept"))
    assert {where for _, where in moved.taken} == {"in/sub/c"}
    assert "kept/sub/c" in mails.there


def test_an_object_of_a_name_that_was_moved_before_replaces_nothing(mails: Mails, tmp_path: Path) -> None:
    source = mails.source(tmp_path, prefix="in/", after="move")
    recorder = Recorder(WAY)
    for n in (1, 2, 2):
        mails.put("in/report.json", a_mail(n=n))
        drain(source, recorder)
    first, second = sorted(mails.there.items())
    assert first == ("done/report.json", a_mail(n=1))
    assert second[0].startswith("done/report.json.")
    assert second[1] == a_mail(n=2)
    assert recorder.status.outcomes == {"new": 2, "known": 1}


@pytest.mark.parametrize("after", ["move", "delete"])
def test_an_object_written_over_while_it_is_kept_is_another_report(mails: Mails, tmp_path: Path, after: str) -> None:
    mails.put("in/latest.json", a_mail(n=1))
    recorder = Recorder(WAY)
    recorder.before = lambda data: mails.put("in/latest.json", a_mail(n=2))
    source = mails.source(tmp_path, prefix="in/", after=after)
    drain(source, recorder)
    assert mails.there == {"in/latest.json": a_mail(n=2)}
    recorder.before = lambda data: None
    drain(source, recorder)
    assert recorder.documents == [a_mail(n=1), a_mail(n=2)]
    assert "in/latest.json" not in mails.there


@pytest.mark.parametrize("key", ["in/a b+c&d=e%41", "in/ü", "in/!*'()", "in/\N{RIGHT-TO-LEFT OVERRIDE}gpj"])
def test_keys_of_any_form_are_read_and_shown_safely(mails: Mails, tmp_path: Path, key: str) -> None:
    mails.put(key, a_mail())
    recorder = drain(mails.source(tmp_path, prefix="in/", after="move"))
    assert list(mails.there) == [key.replace("in/", "done/")]
    assert all(where.isprintable() for _, where in recorder.taken)


@pytest.mark.parametrize("key", ["in//twice", "in/./dot", "in/\x1b[31mcolour"])
def test_a_key_that_the_library_cannot_list_is_named(mails: Mails, tmp_path: Path, key: str) -> None:
    mails.put(key, a_mail())
    with pytest.raises(SourceError) as raised:
        drain(mails.source(tmp_path, prefix="in/"))
    told = str(raised.value)
    assert told.startswith(
        f's3://mails/in/: holds a key that can\'t be listed: "{key.replace(chr(27), chr(92) + "x1b")}"'
    )
    assert told.isprintable()


def test_empty_objects_and_folder_marks_are_passed_over(mails: Mails, tmp_path: Path) -> None:
    mails.put("in/", b"")
    mails.put("in/sub/", b"")
    mails.put("in/empty", b"")
    assert drain(mails.source(tmp_path, prefix="in/", after="delete")).taken == []
    assert len(mails.there) == 3


def test_a_bucket_of_many_pages_is_read_to_its_end_with_bounded_work(
    mails: Mails, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "20")  # objects that S3 tells of at once: else 1,000
    for n in range(110):
        mails.put(f"in/{n}", a_mail(n=n, size=100))
    recorder = drain(mails.source(tmp_path, prefix="in/"))
    assert len(recorder.documents) == 110
    assert 1 < recorder.most_in_work <= AT_ONCE
    assert recorder.status.waiting == recorder.room.documents == 0


def test_left_objects_are_not_read_again_after_a_restart(mails: Mails, tmp_path: Path) -> None:
    """Keys tell no order, and times come late: what is known is known by name, for as long as it may come late."""
    mails.put("m5", a_mail(n=5))
    mails.put("m7", a_mail("DMARC"))
    recorder = drain(mails.source(tmp_path))
    mails.put("m6", a_mail(n=6))
    mails.put("m1", a_mail(n=1), older=timedelta(seconds=OVERLAP_S - 60))
    mails.put("m5", a_mail("written over"))
    drain(mails.source(tmp_path), recorder)
    assert sorted(where for _, where in recorder.taken) == ["m1", "m5", "m5", "m6", "m7"]
    drain(mails.source(tmp_path), recorder)
    assert len(recorder.taken) == 5
    assert len(mails.there) == 4


def test_what_arrives_while_watching_is_taken(mails: Mails, tmp_path: Path) -> None:
    recorder = Recorder(WAY)
    source = mails.source(tmp_path, after="delete")

    async def watch() -> None:
        task = asyncio.create_task(source.run(recorder.desk))
        await recorder.until(lambda: recorder.status.state == "working")
        for n in range(3):
            await asyncio.to_thread(mails.put, f"m{n}", a_mail(n=n))
            await recorder.until(lambda n=n: len(recorder.taken) == n + 1)  # type: ignore[misc]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(watch())
    assert mails.there == {}
    assert recorder.states == ["working"]


def test_a_test_counts_and_changes_nothing(mails: Mails, tmp_path: Path) -> None:
    mails.put("in/a", a_mail())
    mails.put("in/b", a_mail())
    mails.put("done/c", a_mail())
    before = mails.there
    lines = asyncio.run(mails.source(tmp_path, after="move").test())
    assert lines == [
        "s3://mails/: 2 objects that are not set aside",
        "they may be read; whether they may be moved was not tried",
    ]
    assert mails.there == before


# --- What goes wrong -----------------------------------------------------------------------------------------------


def told(source: Bucket) -> str:
    with pytest.raises(SourceError) as raised:
        drain(source)
    return str(raised.value)


def test_a_service_that_is_down_is_said_in_one_line(mails: Mails, tmp_path: Path) -> None:
    line = told(mails.source(tmp_path, endpoint=f"http://127.0.0.1:{free_port()}"))
    assert line.startswith("s3://mails/: can't be listed: HTTP error: error sending request")
    assert line.endswith("Connection refused")


def test_a_bucket_that_is_not_there_is_said_in_one_line(server: str, tmp_path: Path) -> None:
    assert told(Mails(server).source(tmp_path)) == "s3://mails/: there is no such bucket; see bucket and endpoint"


def test_no_credentials_are_said_in_one_line(mails: Mails, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither configured, nor in the environment, nor of the machine: whose address is one that nobody answers."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    line = told(mails.source(tmp_path, access_key_id=""))
    assert line == "s3://mails/: there are no credentials: no access_key_id, no AWS_ variables, no role of this machine"


@pytest.fixture
def users(mails: Mails) -> Iterator[Any]:
    """moto checks keys and permissions from now on; gives who may do all, and a maker of users with a policy."""
    iam = boto3.client("iam", endpoint_url=mails.endpoint, region_name=REGION, **KEYS)

    def make(name: str, *actions: str) -> dict[str, str]:
        iam.create_user(UserName=name)
        if actions:
            statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
            policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy)
        key: dict[str, str] = iam.create_access_key(UserName=name)["AccessKey"]
        return key

    before = settings.INITIAL_NO_AUTH_ACTION_COUNT

    def check() -> None:
        settings.INITIAL_NO_AUTH_ACTION_COUNT = 0

    yield make, check
    settings.INITIAL_NO_AUTH_ACTION_COUNT = before


ALL = ("s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject")


def test_a_key_that_is_wrong_is_said_in_one_line(mails: Mails, tmp_path: Path, users: Any) -> None:
    make, check = users
    key = make("wrong", *ALL)
    check()
    assert told(mails.source(tmp_path, access_key_id="AKIANOBODY")) == (
        "s3://mails/: the service does not know this access key id; see access_key_id"
    )
    assert told(mails.source(tmp_path, access_key_id=key["AccessKeyId"])) == (
        "s3://mails/: the secret key is not the one of this access key id; see secret_key_file"
    )


@pytest.mark.parametrize(
    ("allowed", "after", "line"),
    [
        ((), "leave", "s3://mails/in/: may not be listed with these credentials; allow s3:ListBucket"),
        (ALL[:1], "leave", "s3://mails/in/a: may not be read with these credentials; allow s3:GetObject"),
        (ALL[:2], "delete", "s3://mails/in/a: may not be deleted with these credentials; allow s3:DeleteObject"),
        (
            ALL[:2],
            "move",
            "s3://mails/in/a: may not be moved with these credentials; allow s3:PutObject and s3:DeleteObject",
        ),
        (ALL, "move", None),
    ],
)
def test_what_is_not_allowed_is_said_in_one_line(
    mails: Mails, tmp_path: Path, users: Any, allowed: tuple[str, ...], after: str, line: str | None
) -> None:
    """And whose key it is that is asked for: one out of the environment is not mixed in."""
    mails.put("in/a", a_mail())
    make, check = users
    key = make(f"user{len(allowed)}{after}", *allowed)
    (tmp_path / "secret").write_text(key["SecretAccessKey"])
    check()
    source = mails.source(tmp_path, prefix="in/", access_key_id=key["AccessKeyId"], after=after)
    if line is None:
        assert drain(source).status.outcomes == {"new": 1}
    else:
        assert told(source) == line


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"endpoint": "http://s3.example.com"}, "plain HTTP, and not on this machine"),
        ({"endpoint": "s3.example.com"}, "is no address"),
        ({"endpoint": "https://user:pass@s3.example.com"}, "is no address"),
        ({"endpoint": "http://[::1"}, "is no address"),
        ({"secret_key_file": ""}, "access_key_id without a secret key"),
        ({"after": "move", "done_prefix": ""}, "done_prefix is empty"),
        ({"after": "move", "prefix": "done/2026"}, "is where objects are moved to"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(tmp_path: Path, config: dict[str, str], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        Mails("http://127.0.0.1:1").source(tmp_path, **config)


@pytest.mark.parametrize("endpoint", ["https://s3.example.com", "http://localhost:9000", "http://[::1]:9000"])
def test_endpoints_by_https_or_on_this_machine_are_taken(tmp_path: Path, endpoint: str) -> None:
    assert Mails(endpoint).source(tmp_path).way == WAY
