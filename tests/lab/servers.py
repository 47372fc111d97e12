"""Real mail servers for the lab: Debian's Postfix and Dovecot, in a folder of the test, as children of the test.

Each runs in the foreground and logs into a pipe that the test waits on, line by line: what has to have happened is
waited for by the line that says so, with a limit, and never by a pause. Ports are free ones of loopback.
"""

from __future__ import annotations

import imaplib
import os
import queue
import re
import shlex
import shutil
import smtplib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PATIENCE_S = 30.0  # far more than any step takes; a step that takes it has failed
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
NOBODY = 65534


def free_port() -> int:
    """A port of loopback that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Log:
    """The lines that a server writes, as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.seen: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=(process,), daemon=True)
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def wait_for(self, pattern: str) -> str:
        """The next line that holds the pattern; fails with all that was logged when none comes."""
        while True:
            try:
                line = self._lines.get(timeout=PATIENCE_S)
            except queue.Empty:
                line = None
            if line is None:
                raise AssertionError(f"the server never logged {pattern!r}:\n" + "\n".join(self.seen))
            self.seen.append(line)
            if re.search(pattern, line):
                return line


def start(argv: Sequence[str], folder: Path | None = None) -> tuple[subprocess.Popen[str], Log]:
    """Start a server, in a folder where it may leave what it likes."""
    process = subprocess.Popen(
        argv,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=ENVIRONMENT,
    )
    return process, Log(process)


def run(*argv: str | Path) -> str:
    """Run a command to its end; its output, or an AssertionError that holds it."""
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=ENVIRONMENT,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, f"{argv} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


POSTFIX_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
myhostname = mx.reports.example
mydestination = reports.example
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtp_dns_support_level = disabled
alias_maps = hash:{folder}/etc/aliases
alias_database =
default_privs = nobody
maillog_file = /dev/stdout
queue_run_delay = 1h
minimal_backoff_time = 1h
maximal_backoff_time = 1h
"""
# Debian's master.cf, less what the lab needs not: no chroots but lmtp's, SMTP on the lab's port.
POSTFIX_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
local unix - n n - - local
lmtp unix - - y - - lmtp
tlsmgr unix - - n 1000? 1 tlsmgr
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """One running Postfix, with aliases that the test chose."""

    def __init__(self, etc: Path, port: int, log: Log) -> None:
        self.etc, self.port, self.log = etc, port, log

    def send(self, message: bytes, *recipients: str) -> None:
        """Hand a message in by SMTP; it is queued once this returns."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=PATIENCE_S) as smtp:
            smtp.sendmail("tls-reports@sender.example", recipients, message)

    def flush(self) -> None:
        """Try everything in the queue again, now."""
        run("postqueue", "-c", self.etc, "-f")

    def queued(self) -> int:
        """How many messages wait."""
        return sum(line.startswith("{") for line in run("postqueue", "-c", self.etc, "-j").splitlines())


@contextmanager
def postfix(folder: Path, aliases: dict[str, str], settings: str = "") -> Iterator[Postfix]:
    """A Postfix for reports.example that hands mail to commands, run as nobody, as /etc/aliases would.

    Args:
        settings: more lines for main.cf.
    """
    etc, port = folder / "etc", free_port()
    for name in ("etc", "queue", "data"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    shutil.chown(folder / "data", "postfix")
    (etc / "main.cf").write_text(POSTFIX_MAIN.format(folder=folder) + settings)
    (etc / "master.cf").write_text(POSTFIX_MASTER.format(port=port))
    (etc / "aliases").write_text("".join(f'{name}: "|{command}"\n' for name, command in aliases.items()))
    run("postalias", "-c", etc, f"hash:{etc / 'aliases'}")
    process, log = start(["postfix", "-c", str(etc), "start-fg"])
    try:
        log.wait_for("daemon started")
        yield Postfix(etc, port, log)
    finally:
        # By the pid that this very instance left in its queue folder; waits until it is gone.
        subprocess.run(["postfix", "-c", str(etc), "stop"], env=ENVIRONMENT, capture_output=True, check=False)
        process.wait(PATIENCE_S)


DOVECOT = """\
base_dir = {folder}/run
state_dir = {folder}/run
log_path = /dev/stdout
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
mail_location = maildir:{folder}/mail/%n
mail_uid = mail
mail_gid = mail
first_valid_uid = 1
first_valid_gid = 1
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={folder}/mail/%n allow_all_users=yes
}}
service imap-login {{
  inet_listener imap {{
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp_port}
  }}
}}
disable_plaintext_auth = no
"""


class Dovecot:
    """One running Dovecot that takes mail by LMTP into Maildirs, and shows it by IMAP."""

    def __init__(self, mail: Path, lmtp_port: int, imap_port: int) -> None:
        self.mail, self.lmtp_port, self.imap_port = mail, lmtp_port, imap_port

    def deliver(self, message: bytes, user: str) -> None:
        """Deliver by LMTP; the message lies in the user's Maildir once this returns."""
        with smtplib.LMTP("127.0.0.1", self.lmtp_port, timeout=PATIENCE_S) as lmtp:
            lmtp.sendmail("tls-reports@sender.example", [user], message)

    def look_at_inbox(self, user: str) -> None:
        """What a mail reader does: Dovecot moves the messages from new to cur and marks them as seen."""
        with imaplib.IMAP4("127.0.0.1", self.imap_port, timeout=PATIENCE_S) as imap:
            imap.login(user, "any")
            imap.select("INBOX")
            imap.store("1:*", "+FLAGS", "\\Seen")


@contextmanager
def dovecot(folder: Path) -> Iterator[Dovecot]:
    """A Dovecot that delivers by LMTP into FOLDER/mail/USER, for any user with any password."""
    mail, conf, lmtp_port, imap_port = folder / "mail", folder / "dovecot.conf", free_port(), free_port()
    mail.mkdir(parents=True)
    shutil.chown(mail, "mail", "mail")
    conf.write_text(DOVECOT.format(folder=folder, lmtp_port=lmtp_port, imap_port=imap_port))
    process, log = start(["dovecot", "-F", "-c", str(conf)])
    try:
        log.wait_for("starting up")
        yield Dovecot(mail, lmtp_port, imap_port)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def tlsrpt_as_nobody(folder: Path) -> Path:
    """A `tlsrpt` that the user nobody can run, as mail servers run it.

    A checkout or a Python below somebody's home is out of nobody's reach. The package and what it needs are copied
    into the folder then, and the system's Python runs them where it is of the same version.
    """
    mine = Path(sys.executable).parent / "tlsrpt"
    if _nobody_can_run([str(mine), "--version"]):
        return mine
    library = folder / "lib"
    shutil.copytree(REPOSITORY / "src/tlsrpt", library / "tlsrpt")
    for needed in _with_needs("tlsrpt"):
        _copy(needed, library)
    major, minor = sys.version_info[:2]
    for python in (sys.executable, f"/usr/bin/python{major}.{minor}"):
        command = folder / "tlsrpt"
        command.write_text(
            f"#!/bin/sh\nPYTHONPATH={shlex.quote(str(library))} exec {python} -c "
            "'from tlsrpt.cli.main import main; main()' \"$@\"\n"
        )
        command.chmod(0o755)
        if _nobody_can_run([str(command), "--version"]):
            return command
    raise AssertionError(f"no Python {major}.{minor} that the user nobody can run: the lab's servers need one")


def _nobody_can_run(argv: Sequence[str]) -> bool:
    try:
        return run_as_nobody(argv).returncode == 0
    except PermissionError:
        return False


def run_as_nobody(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd="/",
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=PATIENCE_S,
        check=False,
    )


def _with_needs(name: str) -> list[Distribution]:
    """A distribution and what it needs, without extras, all the way down."""
    found = {name: distribution(name)}
    names = [name]
    while names:
        for line in distribution(names.pop()).requires or []:
            requirement, _, marker = line.partition(";")
            other = re.match(r"[A-Za-z0-9._-]+", requirement)
            if other is None or "extra" in marker or other[0] in found:
                continue
            try:
                found[other[0]] = distribution(other[0])
            except PackageNotFoundError:  # its marker spares this Python or this system
                continue
            names.append(other[0])
    return list(found.values())


def _copy(source: Distribution, library: Path) -> None:
    for file in source.files or []:
        there = Path(os.fspath(source.locate_file(file)))
        if ".." in file.parts or not there.is_file():  # scripts lie outside the library; compiled files may be missing
            continue
        target = library / file
        target.parent.mkdir(parents=True, exist_ok=True)
        # With times, and with the compiled files: nobody may not write any, and to compile anew takes seconds a run.
        shutil.copy2(there, target)
