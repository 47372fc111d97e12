"""A listener's certificate: read when it begins to listen, and again when its files have changed."""

from __future__ import annotations

import ssl

from tlsrpt.core.errors import ConfigError, SourceError


class Certificate:
    """The certificate of one listener, or none.

    Args:
        file: the chain, PEM; empty: there is none, and no TLS.
        key: its file; empty: it stands in the certificate's.
    Raises:
        ConfigError: a key alone.
    """

    def __init__(self, file: str, key: str, *, source: str) -> None:
        if key and not file:
            raise ConfigError("a key needs a certificate", where=f"source {source}", fix="set certificate")
        self.file = file
        self._key = key
        self._context: ssl.SSLContext | None = None

    def read(self) -> ssl.SSLContext | None:
        """TLS with it as it is now; None without one.

        Raises:
            SourceError: it can't be used.
        """
        self._context = tls_context(self.file, self._key) if self.file else None
        return self._context

    def renew(self) -> None:
        """Read it again, for the connections to come by the TLS that `read` gave.

        Raises:
            SourceError: it can't be used; the old one stays.
        """
        if self._context is not None:
            load_certificate(self._context, self.file, self._key)


def tls_context(certificate: str, key: str = "") -> ssl.SSLContext:
    """A server's TLS with this certificate; `load_certificate` into it again when the files have changed.

    Raises:
        SourceError: the files can't be read, or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996
    load_certificate(context, certificate, key)
    return context


def load_certificate(context: ssl.SSLContext, certificate: str, key: str = "") -> None:
    """Read a certificate with its key; new connections get it, and the old one stays when this fails.

    Args:
        key: its file; empty: it stands in the certificate's.
    Raises:
        SourceError: the files can't be read, or do not belong together.
    """
    try:
        # Into another one first: a context keeps a half-loaded pair, and its clients would be refused.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key or None, password=_no_password)
        context.load_cert_chain(certificate, key or None, password=_no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        if isinstance(error, ssl.SSLError):
            reason = f"no PEM certificate with its key ({error.reason or reason})"
        raise SourceError(reason, where=" and ".join(filter(None, (certificate, key)))) from error


def _no_password() -> str:
    """In place of OpenSSL's question on the terminal, which a service would wait on for ever."""
    raise ValueError("the key is encrypted; a service needs it without a password")
