"""Limits on what comes from outside (RFC 8460 section 7: floods and bombs). Values only; readers enforce them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of a document is read before it is refused with a LimitError naming the limit."""

    compressed_bytes: Annotated[int, Meta(ge=1, description="bytes of a document as received")] = 16 * 1024 * 1024
    decompressed_bytes: Annotated[int, Meta(ge=1, description="bytes of a document once decompressed")] = (
        64 * 1024 * 1024
    )
    ratio: Annotated[
        int, Meta(ge=1, description="decompressed over compressed size, looked at beyond 1 MiB of output")
    ] = 500
    archive_depth: Annotated[int, Meta(ge=0, description="compressions and archives inside each other")] = 3
    archive_members: Annotated[int, Meta(ge=1, description="files in one archive")] = 10_000
    message_depth: Annotated[int, Meta(ge=1, description="multiparts and forwarded messages inside each other")] = 10
    message_parts: Annotated[int, Meta(ge=1, description="MIME parts in one message")] = 1_000
    json_depth: Annotated[int, Meta(ge=5, description="nesting of the JSON text")] = 32
    policies: Annotated[int, Meta(ge=1, description="policies in one document, over all its reports")] = 10_000
    failure_details: Annotated[int, Meta(ge=1, description="failure-details in one document, over all its reports")] = (
        100_000
    )
    string_length: Annotated[int, Meta(ge=64, description="characters in one string")] = 65_536


DEFAULT_LIMITS = Limits()
