"""What is wrong with `[mail]` and `[alerts]`: values, and whether the files of their secrets can be read."""

from __future__ import annotations

from collections.abc import Mapping

from tlsrpt.cli.config_lint_files import Found, fault, lint_authorities, lint_secret, warning
from tlsrpt.config import Config


def lint_alerts(config: Config, environment: Mapping[str, str]) -> Found:
    """Everything there is to say of them."""
    from tlsrpt.notify import linting

    yield from linting.lint_alerts(config)
    yield from lint_secret("mail", "password", config.mail, environment)
    yield from lint_authorities("mail.ca_file", config.mail.ca_file)
    ways = ("password_file", "password_env", "password_command")
    given = [way for way in ways if getattr(config.mail, way)]
    if config.mail.user and len(given) != 1:
        said = f"{' and '.join(given)} are given" if given else "the password is not given"
        yield fault("two-logins" if given else "no-login", "mail", said, f"set one of {', '.join(ways)}")
    elif given and not config.mail.user:
        yield warning("secret-unused", f"mail.{given[0]}", "nobody logs in", "set user, or leave it out")
    for n, to in enumerate(config.alerts.to, 1):
        where = f"alerts.to[{n}]"
        yield from lint_secret(where, "url", to, environment)
        yield from lint_secret(where, "secret", to, environment)
