"""Reports posted through nginx, Apache and Caddy as the handbook sets them up, by curl, wget and a Python client."""

from __future__ import annotations

import re
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest

from tests.httpsserver import Authority, make_authority
from tests.intake.httpslistener import At, listening_at
from tests.lab.servers import ENVIRONMENT, PATIENCE_S, REPOSITORY, free_port
from tests.lab.test_web_servers import nginx, serving
from tlsrpt.core.limits import DEFAULT_LIMITS

HOST = "reports.example.com"
PATH = "/v1/tlsrpt"
HANDBOOK = (REPOSITORY / "docs/https.md").read_text()
REPORT = REPOSITORY / "tests/data/reports/google-no-policy-found.json.gz"
# Clients have addresses of their own, so that they are not mistaken for the proxy, which is 127.0.0.1.
ONE, OTHER = "127.0.0.2", "127.0.0.3"


def snippet(kind: str) -> str:
    """The handbook's block for a web server."""
    begins = {"nginx": "```nginx\n", "apache": "```apache\n", "caddy": f"```text\n(?={HOST} {{)"}[kind]
    (block,) = re.findall(rf"^{begins}(.*?)^```$", HANDBOOK, re.DOTALL | re.MULTILINE)
    return str(block)


def apache(lab: Path, site: str, port: int) -> list[str]:
    modules = ("mpm_event", "authz_core", "ssl", "socache_shmcb", "proxy", "proxy_http")
    load = "".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n" for name in modules)
    (lab / "apache.conf").write_text(
        f"ServerRoot {lab}\nServerName {HOST}\nPidFile {lab}/apache.pid\nDefaultRuntimeDir {lab}\nErrorLog {lab}/error.log\n"
        f"User www-data\nGroup www-data\n{load}Listen {port}\n{site}"
    )
    return ["apache2", "-X", "-f", str(lab / "apache.conf")]


def caddy(lab: Path, site: str, port: int) -> list[str]:
    """Caddy gets its certificate by itself; here it is told one, and the port."""
    live = lab / "live" / HOST
    head, _, rest = site.partition("\n")
    tls = f"    tls {live}/fullchain.pem {live}/privkey.pem\n"
    options = "{\n    admin off\n    auto_https disable_redirects\n}\n"
    (lab / "Caddyfile").write_text(f"{options}{head.replace(HOST, f'{HOST}:{port}')}\n{tls}{rest}")
    program = str(Path(sys.executable).with_name("caddy"))
    return [program, "run", "--adapter", "caddyfile", "--config", str(lab / "Caddyfile")]


class Front(NamedTuple):
    """A web server in front of a listener."""

    at: At
    port: int
    authority: Authority

    def curl(self, *options: str | Path, source: str = ONE, file: Path = REPORT, path: str = PATH) -> tuple[int, str]:
        """Post a file as the handbook says; status and text of the answer."""
        return curl(self.port, self.authority, *options, source=source, file=file, path=path)

    def client(self, source: str) -> httpx2.Client:
        """A client of another make, with an address."""
        transport = httpx2.HTTPTransport(verify=self.authority.trust, local_address=source)
        return httpx2.Client(transport=transport, base_url=f"https://127.0.0.1:{self.port}", headers={"Host": HOST})


def curl(
    port: int, authority: Authority, *options: str | Path, source: str = ONE, file: Path = REPORT, path: str = PATH
) -> tuple[int, str]:
    argv = ["curl", "-sS", "--interface", source, "--resolve", f"{HOST}:{port}:127.0.0.1"]
    argv += ["--cacert", str(authority.folder / "ca.pem"), "-w", "\n%{http_code}", *map(str, options)]
    argv += ["--data-binary", f"@{file}", "-H", "Content-Type: application/tlsrpt+gzip", f"https://{HOST}:{port}{path}"]
    done = subprocess.run(argv, capture_output=True, text=True, env=ENVIRONMENT, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    text, _, status = done.stdout.rpartition("\n")
    return int(status), text


SNI = {"sni_hostname": HOST}


@contextmanager
def front(kind: str, lab: Path, at: At, upstream: str = "") -> Iterator[Front]:
    """The web server as printed, but for where certificates lie, which port is asked, and where the listener is."""
    authority, live, port = make_authority(lab), lab / "live" / HOST, free_port()
    live.mkdir(parents=True)
    authority.write(HOST, live / "fullchain.pem", live / "privkey.pem")
    site = snippet(kind).replace("/etc/letsencrypt/live", str(lab / "live")).replace("listen [::]:443 ssl;", "")
    site = re.sub(r"\b443\b", str(port), site)
    site = site.replace("http://127.0.0.1:8460", upstream) if upstream else site.replace("8460", str(at.port))
    with serving(_SERVERS[kind](lab, site, port), port, lab):
        yield Front(at, port, authority)


def nginx_as_debian(lab: Path, site: str, port: int) -> list[str]:
    return [*nginx(lab, site, port), "-g", "user www-data;"]


_SERVERS: dict[str, Callable[[Path, str, int], list[str]]] = {
    "nginx": nginx_as_debian,
    "apache": apache,
    "caddy": caddy,
}
EACH = pytest.mark.parametrize(
    "kind",
    [
        pytest.param("nginx", marks=pytest.mark.lab("nginx", "curl")),
        pytest.param("apache", marks=pytest.mark.lab("apache2", "curl")),
        pytest.param("caddy", marks=pytest.mark.lab("caddy", "curl")),
    ],
)


@EACH
def test_a_report_comes_through_the_web_server_as_printed(kind: str, lab: Path) -> None:
    """With its bytes and its sender's address, whatever that sender says of addresses; nothing else comes through."""
    with listening_at(proxies=("127.0.0.1",)) as at, front(kind, lab, at) as web:
        lie = ("-H", "X-Forwarded-For: 203.0.113.66")
        assert web.curl(*lie) == (201, "kept\n")
        assert web.curl("--http1.0", "--no-alpn")[0] == 201
        assert web.curl("-H", "Transfer-Encoding: chunked")[0] == 201
        with web.client(OTHER) as client:
            for content in (REPORT.read_bytes(), iter([REPORT.read_bytes()])):
                headers = {"Content-Type": "application/tlsrpt+gzip", "X-Forwarded-For": "203.0.113.66"}
                answer = client.post(PATH, content=content, headers=headers, extensions=SNI)
                assert (answer.status_code, answer.text) == (201, "kept\n")
            for path in ("/", "/healthz", "/readyz"):
                assert client.get(path, extensions=SNI).status_code == 404
            assert client.get(PATH, extensions=SNI).status_code == 405
        assert at.seen.bodies == [REPORT.read_bytes()] * 5
        assert [document.where for document in at.seen.documents] == [ONE] * 3 + [OTHER] * 2
        assert not any(document.noted for document in at.seen.documents)


@EACH
def test_rates_are_counted_for_the_sender_and_not_for_the_web_server(kind: str, lab: Path) -> None:
    with listening_at(proxies=("127.0.0.1",), per_address=2) as at, front(kind, lab, at) as web:
        assert [web.curl()[0] for _ in range(3)] == [201, 201, 429]
        assert web.curl("-H", "X-Forwarded-For: 203.0.113.66")[0] == 429, "a new address can't be made up"
        with web.client(OTHER) as client:
            statuses = [client.post(PATH, content=b"{}", extensions=SNI) for _ in range(3)]
        assert [answer.status_code for answer in statuses] == [201, 201, 429]
        assert int(statuses[2].headers["Retry-After"]) > 0


@EACH
def test_the_largest_that_we_take_passes_the_web_server_and_no_larger_one(kind: str, lab: Path) -> None:
    largest, larger = lab / "largest", lab / "larger"
    largest.write_bytes(b"x" * DEFAULT_LIMITS.compressed_bytes)
    larger.write_bytes(b"x" * (DEFAULT_LIMITS.compressed_bytes + 1))
    with listening_at(proxies=("127.0.0.1",)) as at, front(kind, lab, at) as web:
        assert web.curl(file=largest)[0] == 201
        # By HTTP/1.1: Caddy answers a client of HTTP/2 in full and then resets the stream with NO_ERROR, and curl 7.88
        # (Debian 12) at times throws the answer's text away for that, which RFC 9113 section 8.1 forbids.
        assert web.curl("--http1.1", file=larger)[0] == 413
        assert web.curl("-H", "Transfer-Encoding: chunked", file=larger)[0] in (413, 502)
        assert [len(body) for body in at.seen.bodies] == [DEFAULT_LIMITS.compressed_bytes]


@pytest.mark.lab("nginx", "curl")
def test_nginx_reaches_a_unix_socket_of_its_group(lab: Path) -> None:
    path = lab / "https.sock"
    with listening_at(listen=f"unix:{path}", group="www-data", proxies=("unix:",)) as at:
        with front("nginx", lab, at, f"http://unix:{path}") as web:
            assert web.curl()[0] == 201, (lab / "error.log").read_text()
            assert web.curl(source=OTHER)[0] == 201
        assert [document.where for document in at.seen.documents] == [ONE, OTHER]


@pytest.mark.lab("curl", "wget")
def test_curl_wget_and_a_python_client_post_to_tls_of_our_own(lab: Path) -> None:
    """RFC 8460 section 5.4, as senders do it today: curl is what tlsrpt-reporter runs (F-55)."""
    authority = make_authority(lab)
    authority.write(HOST, lab / "c.pem", lab / "k.pem")
    larger = lab / "larger"
    larger.write_bytes(b"x" * (DEFAULT_LIMITS.compressed_bytes + 1))
    with listening_at(certificate=str(lab / "c.pem"), key=str(lab / "k.pem")) as at:
        for options in ([], ["--http1.0"], ["--http2"], ["--tlsv1.3"], ["-H", "Transfer-Encoding: chunked"]):
            assert curl(at.port, authority, *options) == (201, "kept\n"), options
        for options in ([], ["-H", "Expect:"], ["-H", "Transfer-Encoding: chunked"]):
            assert curl(at.port, authority, *options, file=larger)[0] == 413, options
        answer = httpx2.post(
            f"https://127.0.0.1:{at.port}{PATH}", content=REPORT.read_bytes(), verify=_any_name(authority)
        )
        assert answer.status_code == 201
        argv = ["wget", "-q", "-O", "-", "--no-check-certificate", f"--post-file={REPORT}"]
        argv += ["--header=Content-Type: application/tlsrpt+gzip", f"https://127.0.0.1:{at.port}{PATH}"]
        done = subprocess.run(argv, capture_output=True, env=ENVIRONMENT, timeout=PATIENCE_S, check=False)
        assert (done.returncode, done.stdout) == (0, b"kept\n"), done.stderr
        assert at.seen.bodies == [REPORT.read_bytes()] * 7


def _any_name(authority: Authority) -> ssl.SSLContext:
    context = authority.trust
    context.check_hostname = False
    return context
