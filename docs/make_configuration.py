"""Writes configuration.md out of the descriptions that the program itself reads the file by.

`python docs/make_configuration.py` after a change in config.py or core/limits.py; a test fails while the page lags
behind.
"""

from __future__ import annotations

from pathlib import Path

from tlsrpt.cli.config_keys import Key, Table, tables
from tlsrpt.cli.config_text import beginning

PAGE = Path(__file__).parent / "configuration.md"

HEAD = f"""<!-- Made by docs/make_configuration.py; change the descriptions in src/tlsrpt/config.py instead. -->

# The configuration file

One TOML file: `--config FILE`, else the file that `TLSRPT_CONFIG` names, else `/etc/tlsrpt/tlsrpt.toml` where there is
one. Commands that only read need none; `tlsrpt serve` needs one with a source in it. To begin:

```toml
{beginning()}```

```
tlsrpt config example              a file with every key, what it means and its default
tlsrpt config example --short      the lines above
tlsrpt config check                everything that is wrong with the file, and what to write
tlsrpt config show                 what is in force, defaults and all
tlsrpt source test --all           log in everywhere, count, change nothing
systemctl reload tlsrpt            (SIGHUP) take a changed file; sources that have not changed run on
```

A key that tlsrpt does not know is refused, with the nearest one that it does: a misspelt limit would protect nobody.

## Secrets

No secret stands in this file, so it may be shown, mailed and kept in version control. Where one is needed there are
three ways, and one of them is given: `password_file` (its first line; mode 0640, or `LoadCredential=` of systemd),
`password_env` (an environment variable, as from `EnvironmentFile=`), `password_command` (a shell command, the first
line of its output). They are read when they are needed, so a changed password works without a restart.

## Which domains are yours

Anybody can send a report about anybody's domain. With `[domains] own` (or `own_file`, one domain a line, `#` for
remarks, good for 100,000), reports about other domains are kept and stand in no figure; `tlsrpt domains` lists them as
"you also receive reports for ...", and `tlsrpt health` says how many there are. Left out, every domain is yours.

| written | means |
|---|---|
| `"example.com"` | that name alone |
| `"*.example.com"` | every name below it, at any depth, and not `example.com` itself |
| `own = "any"` | all there are |

Names may be written as people do, in U-labels too. DANE reports are filed under MX hosts: a report is yours when any
domain in it is, be it the one that it is filed under or one that a policy in it names. What is yours once stays
counted; what becomes yours later is counted from the next start or reload on.

## Who is proven to speak

RFC 8460 section 3 wants a report mail to be signed (DKIM) by its submitter, and wants one without such a signature
ignored. Ignoring it would lose much that is true, so here the default is to accept such a report and to mark it: a
deviation that `unproven` of each source takes back.

| `unproven =` | a report without proof |
|---|---|
| `"accept"` | is kept and counted, with its verdict; `tlsrpt reports --unproven` lists them |
| `"quarantine"` | is kept with its bytes, and not counted; `tlsrpt quarantine list` |
| `"refuse"` | is not kept: 550 by LMTP, 403 by HTTPS; left alone in mailboxes |

By HTTPS nothing is proven: a post has no signature.

## What `config check` says

One line a fault, with its place. A source is numbered from 1 within its kind: `source.https[2]` is the second
`[[source.https]]` of the file. Errors are what `serve` would refuse or stumble over, and make the exit code 1.
Warnings work, and are hardly meant: a listener that the whole network can reach without TLS, a password file that
everybody may read. Run it as the service's user, since root may read every file: `sudo -u tlsrpt tlsrpt config check`.

Names of sources stand in logs, in metrics and in commands (`tlsrpt receive NAME`). One without `name` is called by its
kind, and numbered from the second on: `https`, `https-2`.

## Every key

"Required" has no default. Where the default is empty, the sentence says what that means.
"""


def page() -> str:
    return HEAD + "".join(map(_table, tables()))


def _table(table: Table) -> str:
    rows = "".join(map(_row, table.keys))
    return (
        f"\n### `{table.heading}`\n\n{_prose(table.sentence)}\n\n| key | takes | default | |\n|---|---|---|---|\n{rows}"
    )


def _row(key: Key) -> str:
    default = "required" if key.required else "" if key.default in (None, '""', "[]") else f"`{key.default}`"
    return f"| `{key.name}` | {_prose(key.takes)} | {default} | {_prose(key.sentence)} |\n"


def _prose(text: str) -> str:
    """Text for a page: nothing that Markdown would take for markup."""
    for character in "\\*_|":
        text = text.replace(character, "\\" + character)
    return text.replace("<", "&lt;").replace(">", "&gt;")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
