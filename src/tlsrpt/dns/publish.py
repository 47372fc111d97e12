"""Publishing by dynamic update (RFC 2136), signed with TSIG.

One update is one transaction on the server, and carries what it relies on: the TXT records that the plan was made on
must still be there, exactly. So a change made meanwhile is refused, not overwritten, and a refusal leaves all as it
was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tlsrpt.core.zonetext import STRING_OCTETS
from tlsrpt.dns.change import Change, PublishError
from tlsrpt.dns.exchange import Server
from tlsrpt.dns.tsig import Key

if TYPE_CHECKING:
    import dns.rdtypes.ANY.TXT
    import dns.update

WITHIN_S = 20.0
_UNTOUCHED = "nothing was changed"
_REFUSALS = {
    "YXDOMAIN": "the name came to hold other records meanwhile",
    "YXRRSET": "a TXT record was published there meanwhile",
    "NXDOMAIN": "the TXT records there changed meanwhile",
    "NXRRSET": "the TXT records there changed meanwhile",
    "NOTAUTH": "the server does not hold this zone, or wants another key",
    "NOTZONE": "the name is not in this zone",
    "REFUSED": "the server refuses updates with this key or from this address",
    "NOTIMP": "the server does not take dynamic updates",
    "SERVFAIL": "the server failed to carry it out",
}


def send_update(change: Change, server: Server, key: Key | None) -> None:
    """Carry out a change on the primary server of its zone. Blocks; a thread's work.

    Args:
        key: None for a server that goes by address alone.
    Raises:
        PublishError: refused, or not reached; what DNS holds then is said.
    """
    import dns.exception
    import dns.message
    import dns.query
    import dns.rcode
    import dns.tsig

    query = _message(change, key)
    where = f"{change.name} at {server}"
    try:
        answer = dns.query.tcp(query, server.address, port=server.port, timeout=WITHIN_S)
    except dns.tsig.PeerBadTime as error:
        raise PublishError(f"the clocks differ too much; {_UNTOUCHED}", where=where, fix="set the time") from error
    except (dns.tsig.PeerError, dns.message.UnknownTSIGKey, dns.tsig.BadSignature) as error:
        fix = "compare name, algorithm and secret of the key on both sides"
        raise PublishError(f"the server does not know this key; {_UNTOUCHED}", where=where, fix=fix) from error
    except ConnectionRefusedError as error:
        raise PublishError(f"no server takes updates there; {_UNTOUCHED}", where=where) from error
    except (OSError, EOFError, dns.exception.DNSException) as error:
        # The update may have been carried out before the way back broke: only reading it back tells.
        what = str(error) or type(error).__name__
        raise PublishError(
            f"no answer to the update ({what}); whether it was made is not known", where=where
        ) from error
    rcode = dns.rcode.to_text(answer.rcode())
    if rcode != "NOERROR":
        raise PublishError(f"{_REFUSALS.get(rcode, 'the server refused')} ({rcode}); {_UNTOUCHED}", where=where)


def _message(change: Change, key: Key | None) -> dns.update.UpdateMessage:
    import dns.name
    import dns.rdataclass
    import dns.rdatatype
    import dns.rdtypes.ANY.TXT
    import dns.tsig
    import dns.update

    ring, algorithm = None, dns.tsig.default_algorithm
    if key is not None:
        name = dns.name.from_text(key.name)
        # dnspython calls the oldest one by its full name
        algorithm = dns.name.from_text("hmac-md5.sig-alg.reg.int" if key.algorithm == "hmac-md5" else key.algorithm)
        ring = {name: dns.tsig.Key(name, key.secret, algorithm)}
    update = dns.update.UpdateMessage(change.zone, keyring=ring, keyalgorithm=algorithm)
    owner = dns.name.from_text(change.name)

    def txt(text: bytes) -> dns.rdtypes.ANY.TXT.TXT:
        return dns.rdtypes.ANY.TXT.TXT(dns.rdataclass.IN, dns.rdatatype.TXT, _strings(text))

    if change.before:
        update.present(owner, *(txt(text) for text in change.before))  # exactly these (RFC 2136 section 2.4.2)
    else:
        update.absent(owner, "TXT")
        update.absent(owner, "CNAME")
    for text in change.remove:
        update.delete(owner, txt(text))
    for text in change.add:
        update.add(owner, change.ttl, txt(text))
    return update


def _strings(text: bytes) -> Sequence[bytes]:
    return [text[start : start + STRING_OCTETS] for start in range(0, len(text), STRING_OCTETS)] or [b""]
