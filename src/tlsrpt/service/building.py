"""From the configuration of a source to the source: which class serves which kind, loaded only when it is used."""

from __future__ import annotations

from collections.abc import Callable

from tlsrpt.config import (
    AnySource,
    GraphSource,
    HttpsSource,
    ImapSource,
    LmtpSource,
    MailConfig,
    MaildirSource,
    S3Source,
)
from tlsrpt.core.errors import ConfigError
from tlsrpt.core.limits import Limits
from tlsrpt.intake.source import Source
from tlsrpt.intake.way import Kind, Way


def build_source(name: str, config: AnySource, limits: Limits, *, ready: Callable[[], bool] = lambda: True) -> Source:
    """The source that a table of the configuration describes; nothing is opened yet.

    Args:
        ready: whether the service can take reports just now, for /readyz.
    Raises:
        ConfigError: a value can't be used, or the extra that the source needs is missing.
    """
    try:
        return _build(name, config, limits, ready)
    except ImportError as error:
        extra = "s3" if isinstance(config, S3Source) else "receive"
        raise ConfigError(
            f"source {name} needs {error.name}, which is not installed", fix=f"pip install 'tlsrpt[{extra}]'"
        ) from error


def _build(name: str, config: AnySource, limits: Limits, ready: Callable[[], bool]) -> Source:
    match config:
        case HttpsSource():
            from tlsrpt.intake.https import HttpsListener

            return HttpsListener(config, way_of(name, config), limits, ready=ready)
        case LmtpSource():
            from tlsrpt.intake.lmtp import LmtpListener

            return LmtpListener(config, way_of(name, config), limits)
        case MaildirSource():
            from tlsrpt.intake.maildir import WatchedMaildir

            return WatchedMaildir(config, way_of(name, config), limits)
        case ImapSource():
            from tlsrpt.intake.imap import Mailbox

            return Mailbox(config, way_of(name, config), limits)
        case S3Source():
            from tlsrpt.intake.s3 import Bucket

            return Bucket(config, way_of(name, config), limits)
        case GraphSource():
            from tlsrpt.intake.graph import GraphMailbox

            return GraphMailbox(config, way_of(name, config), limits)


def way_of(name: str, config: AnySource) -> Way:
    """How the documents of a source are judged."""
    kind = _KINDS[type(config)]
    if not isinstance(config, MailConfig):
        return Way(name=name, kind=kind, unproven=config.unproven, dkim=False)
    return Way(
        name=name,
        kind=kind,
        unproven=config.unproven,
        dkim=config.dkim,
        authserv_id=config.authserv_id,
        keep_other=isinstance(config, LmtpSource) and config.keep_other,
    )


_KINDS: dict[type[AnySource], Kind] = {
    HttpsSource: "https",
    LmtpSource: "lmtp",
    MaildirSource: "maildir",
    ImapSource: "imap",
    S3Source: "s3",
    GraphSource: "graph",
}
