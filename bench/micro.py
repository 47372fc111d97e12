"""Reading one report, inside one process: ours with its findings, parsedmarc, and a bare script.

Run by bench.run, once as installed and once without isal (`--no-isal`), each in a process of its own. Prints JSON:
{work: {contender: [seconds per report, one for each turn]}}.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from bench import corpus, measure

TURNS = 15
COUNTS = {"typical": 300, "large": 10}
NOW = datetime(2026, 4, 1, tzinfo=UTC)

Read = Callable[[bytes], object]


def contenders() -> dict[str, dict[str, Read]]:
    """What reads each form. Imported here: `--no-isal` has to come first."""
    from parsedmarc import extract_report, parse_report_email, parse_smtp_tls_report_json
    from parsedmarc.config import ParserConfig

    from bench import limits
    from tlsrpt.core.limits import DEFAULT_LIMITS
    from tlsrpt.core.reading import parse_report
    from tlsrpt.intake.door import open_document

    offline = ParserConfig(offline=True)

    def open_mail(data: bytes) -> object:
        return open_document(data, source="bench", file_name="", limits=DEFAULT_LIMITS, received_at=NOW)

    return {
        "json": {"ours": parse_report, "parsedmarc": parse_smtp_tls_report_json, "limit": limits.decode_json},
        "json.gz": {
            "ours": parse_report,
            # Straight to its TLS parser: parse_report_file tries the DMARC formats first and takes longer.
            "parsedmarc": lambda data: parse_smtp_tls_report_json(extract_report(data)),
            "limit": limits.decode_gzip,
        },
        "eml": {
            "ours": open_mail,
            "parsedmarc": lambda data: parse_report_email(data, config=offline),
            "limit": limits.decode_mail,
        },
    }


def main() -> None:
    if "--no-isal" in sys.argv:
        sys.modules["isal"] = None  # type: ignore[assignment]  # the import system's way to say "not installed"
    turns = 3 if "--quick" in sys.argv else TURNS
    taken: dict[str, dict[str, tuple[float, ...]]] = {}
    for form, functions in contenders().items():
        for size, count in COUNTS.items():
            inputs = [corpus.FORMS[form](document) for document in corpus.documents(size, count)]
            timings = measure.calls(functions, inputs, turns=turns)
            taken[f"{form} {size}"] = {name: timing.turns_s for name, timing in timings.items()}
    json.dump(taken, sys.stdout)


if __name__ == "__main__":
    main()
