"""A process that sends what is due by mail, and is killed where it would keep that it was sent. For test_outbox.py."""

import os
import signal
import sys
from datetime import UTC, datetime

from tlsrpt.config import AlertsConfig, AlertTo, Config, MailServer
from tlsrpt.notify.channels import send
from tlsrpt.store.sqlite import open_store
from tlsrpt.store.sqlite_notices import claim

path, port, now = sys.argv[1], int(sys.argv[2]), datetime.fromtimestamp(int(sys.argv[3]), UTC)
server = MailServer(host="127.0.0.1", port=port, sender="tlsrpt@meadow.example", tls="none")
config = Config(mail=server, alerts=AlertsConfig(to=(AlertTo(name="ops", mail=("ops@meadow.example",)),)))
with open_store(path) as store:
    delivery = claim(store, now)
    if delivery is None:
        sys.exit(3)
    send(config, delivery, now)
    os.kill(os.getpid(), signal.SIGKILL)
