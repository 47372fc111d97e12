"""The web server snippets of `policy make`, in the servers that they are for: a sender gets the policy, and just that."""

from __future__ import annotations

import http.client
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.httpsserver import Authority, make_authority
from tests.lab.servers import PATIENCE_S, free_port, start
from tlsrpt.core.mtasts import StsPolicy, lint_policy
from tlsrpt.core.mtasts_setup import PolicyPlan, plan_policy

HOST = "mta-sts.example.com"
PATH = "/.well-known/mta-sts.txt"


@pytest.fixture
def plan() -> PolicyPlan:
    policy = StsPolicy(mode="testing", max_age=86_400, mx=("mx1.example.com",))
    return plan_policy("example.com", policy, policy_id="20260301T000000")


def placed(snippet: str, lab: Path, port: int) -> str:
    """The snippet as printed, but for where certificates and files lie and which port is asked."""
    text = snippet.replace("/etc/letsencrypt/live", str(lab / "live")).replace("/var/www", str(lab / "www"))
    return text.replace("listen [::]:443 ssl;", "").replace("443", str(port))


def nginx(lab: Path, site: str, _port: int) -> list[str]:
    (lab / "nginx.conf").write_text(
        f"daemon off; pid {lab}/nginx.pid; error_log {lab}/error.log; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {lab}/t1; proxy_temp_path {lab}/t2; fastcgi_temp_path {lab}/t3;"
        f" uwsgi_temp_path {lab}/t4; scgi_temp_path {lab}/t5; include /etc/nginx/mime.types;\n{site}\n}}\n"
    )
    return ["nginx", "-c", str(lab / "nginx.conf"), "-e", str(lab / "error.log")]


def apache(lab: Path, site: str, port: int) -> list[str]:
    modules = ("mpm_event", "authz_core", "authz_host", "mime", "ssl", "socache_shmcb", "dir")
    load = "".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n" for name in modules)
    (lab / "mime.types").write_text("text/html html\n")
    (lab / "apache.conf").write_text(
        f"ServerRoot {lab}\nServerName {HOST}\nPidFile {lab}/apache.pid\nDefaultRuntimeDir {lab}\nErrorLog {lab}/error.log\n"
        f"User www-data\nGroup www-data\n{load}TypesConfig {lab}/mime.types\nListen 127.0.0.1:{port}\n{site}"
    )
    return ["apache2", "-X", "-f", str(lab / "apache.conf")]


def caddy(lab: Path, site: str, port: int) -> list[str]:
    """Caddy gets its certificate by itself; here it is told one, and the port."""
    live = lab / "live" / HOST
    tls = f"    tls {live}/fullchain.pem {live}/privkey.pem\n"
    head, _, rest = site.partition("\n")
    options = "{\n    admin off\n    auto_https disable_redirects\n}\n"
    (lab / "Caddyfile").write_text(f"{options}{head.replace(HOST, f'{HOST}:{port}')}\n{tls}{rest}")
    return [
        str(Path(sys.executable).with_name("caddy")),
        "run",
        "--adapter",
        "caddyfile",
        "--config",
        str(lab / "Caddyfile"),
    ]


@contextmanager
def serving(argv: list[str], port: int, lab: Path) -> Iterator[None]:
    process, log = start(argv, lab)
    try:
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < until, (argv[0], log.seen)  # noqa: PT018
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def fetch(port: int, path: str, trust: ssl.SSLContext) -> tuple[int, str, bytes]:
    """As a sender does: this name in SNI, a certificate that must be right, no redirect followed."""
    with trust.wrap_socket(socket.create_connection(("127.0.0.1", port), 5), server_hostname=HOST) as tls:
        connection = http.client.HTTPConnection(HOST)
        connection.sock = tls
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.headers.get_content_type(), answer.read()


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        pytest.param("nginx", nginx, marks=pytest.mark.lab("nginx")),
        pytest.param("apache", apache, marks=pytest.mark.lab("apache2")),
        pytest.param("caddy", caddy, marks=pytest.mark.lab("caddy")),
    ],
)
def test_a_sender_gets_the_policy_from_the_snippet_as_printed(
    kind: str, make: Callable[[Path, str, int], list[str]], lab: Path, plan: PolicyPlan
) -> None:
    """S3.2-01, S3.2-02, S3.3-02: status 200, text/plain, the file to the byte; anything else at the host is not there."""
    authority: Authority = make_authority(lab)
    live, root = lab / "live" / HOST, lab / "www" / HOST / ".well-known"
    live.mkdir(parents=True)
    root.mkdir(parents=True)
    authority.write(HOST, live / "fullchain.pem", live / "privkey.pem")
    (root / "mta-sts.txt").write_text(plan.policy)
    port = free_port()
    site = placed(plan.web_servers[kind], lab, port)
    with serving(make(lab, site, port), port, lab):
        status, media_type, body = fetch(port, PATH, authority.trust)
        assert (status, media_type, body.decode()) == (200, "text/plain", plan.policy)
        assert lint_policy(body, mx_hosts=("mx1.example.com",)).verdict == "ok"
        assert fetch(port, "/", authority.trust)[0] in (403, 404)
