"""A listener's certificate: what a client is shown, and what becomes of files that can't be used."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from tests.httpsserver import make_authority
from tlsrpt.core.errors import SourceError
from tlsrpt.intake.certificate import load_certificate, tls_context


def a_certificate(folder: Path, name: str) -> tuple[str, str]:
    """The files of a certificate and its key, by a CA of its own that is in `ca.pem` beside them."""
    there = folder / name
    there.mkdir()
    make_authority(there).write(f"{name}.example", there / "crt.pem", there / "key.pem")
    return str(there / "crt.pem"), str(there / "key.pem")


def served_by(context: ssl.SSLContext) -> bytes:
    """The certificate that a client of this context is shown."""
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname, client_context.verify_mode = False, ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    shown = client.getpeercert(binary_form=True)
    assert shown is not None
    return shown


def test_a_new_certificate_is_shown_once_it_is_loaded(tmp_path: Path) -> None:
    first, second = a_certificate(tmp_path, "first"), a_certificate(tmp_path, "second")
    context = tls_context(*first)
    assert served_by(context) == ssl.PEM_cert_to_DER_cert(Path(first[0]).read_text())
    load_certificate(context, *second)
    assert served_by(context) == ssl.PEM_cert_to_DER_cert(Path(second[0]).read_text())


def test_a_pair_that_does_not_fit_leaves_the_old_one_in_use(tmp_path: Path) -> None:
    """Renewed by halves: the certificate is there, its key not yet."""
    first, second = a_certificate(tmp_path, "first"), a_certificate(tmp_path, "second")
    context = tls_context(*first)
    with pytest.raises(SourceError, match="no PEM certificate with its key"):
        load_certificate(context, second[0], first[1])
    assert served_by(context) == ssl.PEM_cert_to_DER_cert(Path(first[0]).read_text())


def test_certificates_that_are_none_are_one_line(tmp_path: Path) -> None:
    crt, key = a_certificate(tmp_path, "good")
    loaded = serialization.load_pem_private_key(Path(key).read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    (tmp_path / "junk").write_text("junk")
    for pair, reason in (
        ((str(tmp_path / "none.crt"), key), "No such file"),
        ((str(tmp_path / "junk"), key), "no PEM certificate"),
        ((crt, str(tmp_path / "junk")), "no PEM certificate"),
        ((crt, str(locked)), "encrypted"),
        ((crt, ""), "no PEM certificate"),
    ):
        with pytest.raises(SourceError, match=reason) as caught:
            tls_context(*pair)
        assert str(caught.value).isprintable()


def test_a_key_may_stand_in_the_certificates_file(tmp_path: Path) -> None:
    crt, key = a_certificate(tmp_path, "good")
    both = tmp_path / "both.pem"
    both.write_text(Path(crt).read_text() + Path(key).read_text())
    assert served_by(tls_context(str(both))) == ssl.PEM_cert_to_DER_cert(Path(crt).read_text())
