"""What verifying DKIM costs: ours, plain dkimpy, and the two things nobody gets around, in turns in one process.

    python -m bench.dkim [--quick]

The mails are those of the other benchmarks (a typical report, two dozen header lines; some 4 KB), signed as large
senders sign: RSA with 2,048 bits, relaxed/relaxed. Ours looks the key up through our resolver, which has the answer;
plain dkimpy is handed the record. The limit is OpenSSL's RSA check of a key that is there and SHA-256 over the message.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench import corpus

COUNT, TURNS = 300, 15
ALLOWED_US, DKIMPY_US = 300, 450  # the figure to keep, and dkimpy's on the machine that it was set on
COVERED = (
    "from", "to", "subject", "date", "message-id", "mime-version", "content-type", "tls-report-domain",
    "tls-report-submitter",
)  # fmt: skip


def main() -> None:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    quick = "--quick" in sys.argv
    key = generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = key.public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    record = b"v=DKIM1; k=rsa; p=" + base64.b64encode(der)
    mails = [signed(corpus.as_mail(each), pem) for each in corpus.documents("typical", 20 if quick else COUNT)]
    padding, hashed = PKCS1v15(), Prehashed(SHA256())
    digest = hashlib.sha256(b"").digest()
    signature = key.sign(digest, padding, hashed)

    def bare(mail: bytes) -> None:
        hashlib.sha256(mail).digest()
        public.verify(signature, digest, padding, hashed)

    contenders = {"dkimpy": dkimpy(record), "limit": bare}
    taken = asyncio.run(in_turns(mails, contenders, record, turns=3 if quick else TURNS))
    sizes = [len(mail) for mail in mails]
    print(
        f"{len(mails)} mails of {min(sizes):,} to {max(sizes):,} bytes; processor time a message, median of the turns"
    )
    our_s = taken["ours"]
    for name, seconds in taken.items():
        print(f"{name:8}{seconds * 1e6:8.0f} us{seconds / our_s:8.2f} x ours")
    scaled_us = our_s / taken["dkimpy"] * DKIMPY_US
    print(f"where dkimpy takes {DKIMPY_US} us: {scaled_us:.0f} us, of {ALLOWED_US} that are allowed")


def signed(mail: bytes, pem: bytes) -> bytes:
    """The corpus' mail with a signature that holds in place of its made-up one, with CRLF as LMTP brings it."""
    import dkim

    mail = re.sub(rb"(?m)^DKIM-Signature:[^\n]*\n(?:[ \t][^\n]*\n)*", b"", mail).replace(b"\n", b"\r\n")
    found = re.search(rb"(?m)^TLS-Report-Submitter: (\S+)\r$", mail)
    assert found is not None
    form = (b"relaxed", b"relaxed")
    return bytes(dkim.sign(mail, b"bench", found[1], pem, canonicalize=form, include_headers=list(COVERED))) + mail


def dkimpy(record: bytes) -> Callable[[bytes], object]:
    """Plain dkimpy, as its documentation has it used."""
    import dkim

    def verify(mail: bytes) -> None:
        assert dkim.DKIM(mail, tlsrpt=True).verify(dnsfunc=lambda name, timeout=5: record)

    return verify


async def in_turns(
    mails: list[bytes], others: dict[str, Callable[[bytes], object]], record: bytes, *, turns: int
) -> dict[str, float]:
    """Processor seconds a message of each, the median of the turns. Ours runs in a loop, as in the service."""
    from tlsrpt.dns.exchange import Exchange, Server
    from tlsrpt.dns.resolver import Resolver
    from tlsrpt.intake.dkim import Verifier

    taken: dict[str, list[float]] = {"ours": [], **{name: [] for name in others}}
    with key_server(record) as port, Exchange() as exchange:
        verifier = Verifier(Resolver(exchange, [Server("127.0.0.1", port)]))
        for turn in range(turns + 1):
            start = time.process_time()
            for mail in mails:
                (signature,) = await verifier.verify(mail)
                assert signature.verdict == "pass", signature
            seconds = {"ours": time.process_time() - start}
            for name, function in others.items():
                start = time.process_time()
                for mail in mails:
                    function(mail)
                seconds[name] = time.process_time() - start
            for name, taken_s in seconds.items():
                if turn:  # the first warms caches and asks for the keys
                    taken[name].append(taken_s / len(mails))
    return {name: statistics.median(turns_s) for name, turns_s in taken.items()}


@contextmanager
def key_server(record: bytes) -> Iterator[int]:
    """Answers every question with the key record, from a thread; its port."""
    import dns.flags
    import dns.message
    import dns.rrset

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                query, peer = sock.recvfrom(4096)
                if not query:
                    return
                reply = dns.message.make_response(dns.message.from_wire(query))
                reply.flags |= dns.flags.RA
                pieces = " ".join(f'"{record[at : at + 255].decode()}"' for at in range(0, len(record), 255))
                reply.answer = [dns.rrset.from_text(reply.question[0].name, 3600, "IN", "TXT", pieces)]
                sock.sendto(reply.to_wire(), peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        port = sock.getsockname()[1]
        yield port
        sock.sendto(b"", ("127.0.0.1", port))
        thread.join()


if __name__ == "__main__":
    main()
