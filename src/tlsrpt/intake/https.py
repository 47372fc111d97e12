"""Reports posted by HTTPS (RFC 8460 section 5.4): a listener, plain behind a proxy or with TLS of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tlsrpt.config import HttpsSource
from tlsrpt.core.limits import Limits
from tlsrpt.intake import listening
from tlsrpt.intake.certificate import Certificate
from tlsrpt.intake.http_floor import Floor
from tlsrpt.intake.https_endpoint import Endpoint
from tlsrpt.intake.proxies import Proxies
from tlsrpt.intake.rates import Rates
from tlsrpt.intake.source import Desk
from tlsrpt.intake.way import Way


class HttpsListener:
    """Takes reports by POST.

    Args:
        ready: whether the service can take reports just now, for /readyz.
    Raises:
        ConfigError: the configuration names nothing to listen on, or a proxy that is none.
    """

    def __init__(
        self, config: HttpsSource, way: Way, limits: Limits, *, ready: Callable[[], bool] = lambda: True
    ) -> None:
        self.way = way
        self._config = config
        self._limits = limits
        self._ready = ready
        self._listen = listening.parse_listen(config.listen)
        self._proxies = Proxies(config.proxies)
        self._certificate = Certificate(config.certificate, config.key, source=way.name)

    async def run(self, desk: Desk) -> None:
        """Listen until cancelled; then answer what is in work, for a few seconds.

        Raises:
            SourceError: the place is taken or forbidden, or the certificate can't be used.
        """
        config = self._config
        tls = self._certificate.read()
        rates = Rates(config.per_address, asyncio.get_running_loop().time, of="address")
        most = self._limits.compressed_bytes
        endpoint = Endpoint(config.path, most, self.way, desk, rates, self._proxies, self._ready)
        bound = listening.bind(self._listen, mode=config.mode, group=config.group)
        floor = Floor(
            endpoint,
            tls=tls,
            most=config.connections,
            within_s=config.within_s,
            log=desk.log,
            name=self.way.name,
        )
        try:
            desk.status.works()
            await floor.accept(bound)
        finally:
            listening.close(self._listen, bound)
            await floor.leave()

    def reload(self) -> None:
        """Read the certificate again, for the connections to come.

        Raises:
            SourceError: it can't be used; the old one stays.
        """
        self._certificate.renew()

    async def test(self) -> list[str]:
        """Whether one could listen there.

        Raises:
            SourceError: no, or the certificate can't be used.
        """
        config = self._config
        lines = [listening.try_out(self._listen, mode=config.mode, group=config.group)]
        if self._certificate.read() is not None:
            lines.append(f"POST to {config.path}, by HTTPS with {config.certificate}")
        else:
            lines.append(f"POST to {config.path}, by plain HTTP: a proxy in front has to do TLS")
        if self._proxies.any:
            lines.append(f"X-Forwarded-For is believed from {', '.join(config.proxies)}")
        return lines
