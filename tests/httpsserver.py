"""An HTTPS server for tests, with a certificate made for it by a CA of its own."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Authority:
    """A CA, and the folder that its files are in."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def trust(self) -> ssl.SSLContext:
        """A client's context that believes this CA alone."""
        return ssl.create_default_context(cafile=str(self.folder / "ca.pem"))

    def context(self, name: str, *, days: float = 90) -> ssl.SSLContext:
        """A server's context with a certificate for a name that ends in so many days from now."""
        certificate, key = self.folder / f"{name}.{days}.pem", self.folder / f"{name}.{days}.key"
        self.write(name, certificate, key, days=days)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context

    def write(self, name: str, certificate: Path, key: Path, *, days: float = 90) -> None:
        """Write a certificate for a name and its key to files."""
        private = ec.generate_private_key(ec.SECP256R1())
        end = datetime.now(UTC) + timedelta(days=days)
        made = _build(name, private, self.certificate.subject, self.key, end - timedelta(days=365), end, ca=False)
        certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        key.write_bytes(_pem(private))


def make_authority(folder: Path) -> Authority:
    """A new CA, its certificate in `ca.pem`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test CA")])
    now = datetime.now(UTC)
    certificate = _build("test CA", key, name, key, now - timedelta(days=1), now + timedelta(days=30), ca=True)
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(folder, key, certificate)


_SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _build(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    start: datetime,
    end: datetime,
    *,
    ca: bool,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if ca:  # Python 3.13 trusts no authority that does not say what its key is for
        builder = builder.add_extension(_SIGNS, critical=True)
    else:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class HttpsServer(threading.Thread):
    """Sends the same octets to everybody who asks; `requests` holds what was asked."""

    def __init__(self, context: ssl.SSLContext, answer: bytes, address: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(daemon=True)
        self.answer, self.requests = answer, list[bytes]()
        self._context = context
        self._listener = socket.create_server((address, port))
        self.port = self._listener.getsockname()[1]

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), connection:
                connection.settimeout(5)
                with self._context.wrap_socket(connection, server_side=True) as tls:
                    self.requests.append(_request(tls))
                    tls.sendall(self.answer)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join(5)


def _request(tls: ssl.SSLSocket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        part = tls.recv(65536)
        if not part:
            return data
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            while len(body) < int(line.split(b":")[1]):
                body += tls.recv(65536)
    return head + b"\r\n\r\n" + body


@contextlib.contextmanager
def https_server(
    context: ssl.SSLContext, answer: bytes, address: str = "127.0.0.1", port: int = 0
) -> Iterator[HttpsServer]:
    """A server that runs for the length of a `with` block."""
    server = HttpsServer(context, answer, address, port)
    server.start()
    try:
        yield server
    finally:
        server.close()
