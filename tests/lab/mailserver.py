"""A Dovecot with mailboxes that are reached over TLS, by password or access token, and that can be killed.

Beside `servers.dovecot`, which gives a Maildir and LMTP to whoever comes, this one has what a mailbox at a provider
has: a certificate, passwords, token introspection, namespaces, and extensions that can be taken away.
"""

from __future__ import annotations

import contextlib
import imaplib
import os
import shutil
import signal
import smtplib
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.httpsserver import make_authority
from tests.lab.servers import PATIENCE_S, Log, free_port, start

CONFIG = """\
base_dir = {folder}/run
state_dir = {folder}/run
log_path = /dev/stdout
protocols = imap lmtp
listen = 127.0.0.1
ssl = {ssl}
ssl_cert = <{folder}/localhost.pem
ssl_key = <{folder}/localhost.key
disable_plaintext_auth = yes
mail_location = maildir:{folder}/mail/%n
mail_uid = mail
mail_gid = mail
first_valid_uid = 1
first_valid_gid = 1
auth_mechanisms = plain login oauthbearer xoauth2
auth_failure_delay = 0
mail_max_userip_connections = 50
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/oauth2.conf
}}
passdb {{
  driver = passwd-file
  mechanisms = plain login
  args = scheme=plain username_format=%n {folder}/users
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={folder}/mail/%n allow_all_users=yes
}}
namespace inbox {{
  inbox = yes
  prefix = {prefix}
  separator = {separator}
}}
service anvil {{
  client_limit = 1000
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = {imaps_port}
    ssl = yes
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp_port}
  }}
}}
{more}
"""
OAUTH = """\
introspection_mode = post
introspection_url = {url}
username_attribute = username
active_attribute = active
active_value = true
"""


class MailServer:
    """One Dovecot; users `tls` and `other` with the password `secret`."""

    def __init__(self, folder: Path, config: str, ports: tuple[int, int, int]) -> None:
        self.folder, self.mail = folder, folder / "mail"
        self.imap_port, self.imaps_port, self.lmtp_port = ports
        self._config = folder / "dovecot.conf"
        self._config.write_text(config)
        self._process: subprocess.Popen[str] | None = None
        self.log: Log | None = None

    def start(self) -> None:
        self._process, self.log = start(["dovecot", "-F", "-c", str(self._config)])
        self.log.wait_for("starting up")

    def stop(self) -> None:
        """In order; its children with it, and every connection."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)
            self._process = None

    def kill(self) -> None:
        """Without a word, and every session with it."""
        if self._process is not None:
            for pid in (self._process.pid, *_children(self._process.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait(PATIENCE_S)
            self._process = None

    @property
    def ca_file(self) -> str:
        return str(self.folder / "ca.pem")

    def deliver(self, *messages: bytes, user: str = "tls") -> None:
        """Deliver by LMTP; the messages lie in the user's INBOX once this returns."""
        with smtplib.LMTP("127.0.0.1", self.lmtp_port, timeout=PATIENCE_S) as lmtp:
            for message in messages:
                lmtp.sendmail("tls-reports@sender.example", [user], message)

    @contextmanager
    def person(self, user: str = "tls") -> Iterator[imaplib.IMAP4_SSL]:
        """Somebody who looks into the mailbox with a mail program."""
        context = ssl.create_default_context(cafile=self.ca_file)
        with imaplib.IMAP4_SSL("localhost", self.imaps_port, ssl_context=context, timeout=PATIENCE_S) as imap:
            imap.login(user, "secret")
            yield imap

    def flags(self, folder: str = "INBOX", user: str = "tls") -> list[str]:
        """Subject and flags of each message there, in order, without \\Recent."""
        with self.person(user) as imap:
            typ, [count] = imap.select(f'"{folder}"', readonly=True)
            if typ != "OK":
                return ["no such folder"]
            if count == b"0":
                return []
            _, found = imap.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
            lines = []
            for item in found:
                if isinstance(item, tuple):
                    flags = sorted(flag.decode() for flag in imaplib.ParseFlags(item[0]) if flag != b"\\Recent")
                    lines.append(" ".join([item[1].decode().removeprefix("Subject: ").strip(), *flags]))
            return lines


def _children(pid: int) -> list[int]:
    """The processes that this one started and has not ended yet."""
    children = list[int]()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            status = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(status[1]) == pid:
                children.append(int(entry.name))
    return children


@contextmanager
def mail_server(
    folder: Path,
    *,
    introspection_url: str = "http://127.0.0.1:9/",
    prefix: str = "",
    separator: str = "/",
    ssl: str = "yes",
    more: str = "",
) -> Iterator[MailServer]:
    """A running server.

    Args:
        introspection_url: asked who has a token.
        prefix, separator: of the user's own folders.
        more: further lines of its configuration.
    """
    ports = (free_port(), free_port(), free_port())
    for name in ("mail", "run"):
        (folder / name).mkdir(parents=True)
    shutil.chown(folder / "mail", "mail", "mail")
    make_authority(folder).write("localhost", folder / "localhost.pem", folder / "localhost.key")
    (folder / "users").write_text("tls:{PLAIN}secret\nother:{PLAIN}secret\n")
    (folder / "oauth2.conf").write_text(OAUTH.format(url=introspection_url))
    config = CONFIG.format(
        folder=folder,
        ssl=ssl,
        prefix=prefix,
        separator=separator,
        imap_port=ports[0],
        imaps_port=ports[1],
        lmtp_port=ports[2],
        more=more,
    )
    server = MailServer(folder, config, ports)
    server.start()
    try:
        yield server
    finally:
        server.kill()
