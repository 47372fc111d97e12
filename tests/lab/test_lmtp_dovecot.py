"""Dovecot, to which a mail server delivers all mail, hands the report address on to our LMTP listener, as its proxy."""

from __future__ import annotations

import shutil
import smtplib
from pathlib import Path

import pytest

from tests.intake.test_lmtp import Recorder, Running
from tests.lab.servers import PATIENCE_S, free_port, start
from tlsrpt.config import LmtpSource, ReceiveConfig
from tlsrpt.core.errors import StoreBusyError
from tlsrpt.core.limits import Limits

pytestmark = pytest.mark.lab("dovecot")

CONFIGURATION = """\
base_dir = {folder}/run
state_dir = {folder}/run
log_path = /dev/stdout
protocols = lmtp
listen = 127.0.0.1
ssl = no
mail_location = maildir:{folder}/mail/%n
mail_uid = mail
mail_gid = mail
first_valid_uid = 1
first_valid_gid = 1
lmtp_proxy = yes
passdb {{
  driver = passwd-file
  args = username_format=%u {folder}/proxied
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={folder}/mail/%n allow_all_users=yes
}}
service lmtp {{
  inet_listener lmtp {{
    port = {port}
  }}
}}
"""


def test_the_report_address_is_ours_and_the_others_are_dovecots(lab: Path) -> None:
    """One transaction for both: each recipient has its own reply, and 451 from us is passed on."""
    take, ours, port = Recorder(StoreBusyError("disk full")), free_port(), free_port()
    source = LmtpSource(listen=f"127.0.0.1:{ours}", recipients=("tls@reports.example",))
    listener = Running(source, take, Limits(), ReceiveConfig())
    listener.start()
    (lab / "mail").mkdir()
    shutil.chown(lab / "mail", "mail", "mail")
    (lab / "dovecot.conf").write_text(CONFIGURATION.format(folder=lab, port=port))
    (lab / "proxied").write_text(
        f"tls@reports.example::::::: proxy=y nopassword=y host=127.0.0.1 port={ours} protocol=lmtp\n"
    )
    process, log = start(["dovecot", "-F", "-c", str(lab / "dovecot.conf")], lab)
    try:
        log.wait_for("starting up")
        lmtp = smtplib.LMTP("127.0.0.1", port, timeout=PATIENCE_S)
        with pytest.raises(smtplib.SMTPDataError) as caught:
            lmtp.sendmail("a@sender.example", ["tls@reports.example"], b"Subject: x\r\n\r\n.first\r\n")
        assert caught.value.smtp_code == 451
        recipients = ["tls@reports.example", "somebody@reports.example"]
        assert lmtp.sendmail("a@sender.example", recipients, b"Subject: x\r\n\r\n.second\r\n") == {}
        assert lmtp.getreply()[0] == 250  # the second recipient's, which smtplib does not wait for
        lmtp.quit()
        log.wait_for("rcpt tls@reports.example.*250 2.0.0 kept: report 17")
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        listener.stop()
    assert [message.endswith(b"\r\n\r\n.second\r\n") for message in take.messages] == [True]
    assert len(list((lab / "mail/somebody/new").iterdir())) == 1
