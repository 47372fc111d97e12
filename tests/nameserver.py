"""A name server for tests, on a port of 127.0.0.1 over UDP and TCP. It speaks through dnspython, so that our own codec
meets another one; `habits` make it misbehave as real ones do."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

Zone = Mapping[str, Mapping[str, Sequence[str]]]  # name without final dot -> type -> rdata in presentation format


def txt(text: str | bytes) -> str:
    """A TXT value in presentation format, every octet escaped that needs it, cut into strings of 255."""
    octets = text.encode() if isinstance(text, str) else text
    parts = [octets[i : i + 255] for i in range(0, len(octets), 255)] or [b""]
    quoted = ("".join(chr(o) if 32 <= o < 127 and o not in b'"\\' else f"\\{o:03d}" for o in part) for part in parts)
    return " ".join(f'"{part}"' for part in quoted)


@dataclass
class Habits:
    """How the server misbehaves.

    rcodes: names that get this answer instead; `servfail` with an extended error 6 (DNSSEC bogus) when in `bogus`.
    drop: how many UDP questions get no answer at all.
    truncate: UDP answers are cut, TCP ones whole.
    before: datagrams sent before each answer, made from it (spoofing).
    """

    rcodes: dict[str, str] = field(default_factory=dict)
    bogus: set[str] = field(default_factory=set)
    drop: int = 0
    truncate: bool = False
    recursion: bool = True
    authoritative: bool = False
    authentic: bool = False
    no_edns: bool = False
    ttl: int = 3600
    before: Callable[[bytes], list[bytes]] = lambda _: []


class NameServer(threading.Thread):
    """Answers for a zone until closed; `asked` holds every question it saw."""

    def __init__(self, zone: Zone, habits: Habits | None = None, address: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(daemon=True)
        self.zone, self.habits = dict(zone), habits or Habits()
        self.asked: list[tuple[str, str]] = []
        # TCP first: on a busy machine most ports are remembered for connections that are over, and few for UDP.
        self.tcp = socket.create_server((address, port))
        self.port = self.tcp.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((address, self.port))
        self._wake, self._woken = socket.socketpair()
        self.address = address

    def run(self) -> None:
        while True:
            ready, _, _ = select.select([self.udp, self.tcp, self._woken], [], [])
            if self._woken in ready:
                return
            if self.udp in ready:
                self._datagram()
            if self.tcp in ready:
                self._stream()

    def close(self) -> None:
        self._wake.send(b"x")
        self.join(5)
        for sock in (self.udp, self.tcp, self._wake, self._woken):
            sock.close()

    def _datagram(self) -> None:
        wire, peer = self.udp.recvfrom(65535)
        if self.habits.drop:
            self.habits.drop -= 1
            return
        answer = self._answer(wire)
        if self.habits.truncate:
            cut = dns.message.from_wire(answer)
            cut.answer.clear()
            cut.flags |= dns.flags.TC
            answer = cut.to_wire()
        for other in self.habits.before(answer):
            self.udp.sendto(other, peer)
        self.udp.sendto(answer, peer)

    def _stream(self) -> None:
        connection, _ = self.tcp.accept()
        with connection, connection.makefile("rwb") as stream, contextlib.suppress(OSError):
            wire = stream.read(int.from_bytes(stream.read(2)))
            if wire:
                answer = self._answer(wire)
                stream.write(len(answer).to_bytes(2) + answer)

    def _answer(self, wire: bytes) -> bytes:
        query = dns.message.from_wire(wire)
        answer = dns.message.make_response(query, recursion_available=self.habits.recursion)
        asked = query.question[0]
        name, rtype = asked.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(asked.rdtype)
        self.asked.append((name, rtype))
        if self.habits.no_edns and query.edns >= 0:
            plain = dns.message.make_response(dns.message.from_wire(wire))
            plain.use_edns(-1)
            plain.set_rcode(dns.rcode.FORMERR)
            return plain.to_wire()
        if self.habits.authoritative:
            answer.flags |= dns.flags.AA
        if self.habits.authentic:
            answer.flags |= dns.flags.AD
        if name in self.habits.bogus and not query.flags & dns.flags.CD:
            answer.set_rcode(dns.rcode.SERVFAIL)
            answer.use_edns(0, options=[dns.edns.EDEOption(6, "signature does not fit")])
            return answer.to_wire(max_size=65535)
        if name in self.habits.rcodes:
            answer.set_rcode(dns.rcode.from_text(self.habits.rcodes[name]))
            return answer.to_wire(max_size=65535)
        self._fill(answer, name, rtype)
        return answer.to_wire(max_size=65535)

    def _fill(self, answer: dns.message.Message, name: str, rtype: str) -> None:
        for _ in range(12):
            here = self.zone.get(name)
            if here is None and (star := self._wildcard(name)):
                here = self.zone[star]
            if here is None:
                inside = any(other.endswith("." + name) for other in self.zone)
                answer.set_rcode(dns.rcode.NOERROR if inside else dns.rcode.NXDOMAIN)
                break
            if rtype in here:
                answer.answer.append(dns.rrset.from_text(name + ".", self.habits.ttl, "IN", rtype, *here[rtype]))
                return
            if "CNAME" not in here:
                break
            answer.answer.append(dns.rrset.from_text(name + ".", self.habits.ttl, "IN", "CNAME", *here["CNAME"]))
            name = here["CNAME"][0].rstrip(".").lower()
            if not self.habits.recursion and name not in self.zone:
                return
        parts = name.split(".")
        for apex in (".".join(parts[i:]) for i in range(len(parts))):
            if "SOA" in self.zone.get(apex, {}):
                answer.authority.append(dns.rrset.from_text(apex + ".", 300, "IN", "SOA", *self.zone[apex]["SOA"]))
                return

    def _wildcard(self, name: str) -> str | None:
        parts = name.split(".")
        for i in range(1, len(parts)):
            parent = ".".join(parts[i:])
            if f"*.{parent}" in self.zone:
                return f"*.{parent}"
            if parent in self.zone:
                return None
        return None


@contextlib.contextmanager
def name_server(
    zone: Zone, habits: Habits | None = None, address: str = "127.0.0.1", port: int = 0
) -> Iterator[NameServer]:
    """A server that runs for the length of a `with` block."""
    server = NameServer(zone, habits, address, port)
    server.start()
    try:
        yield server
    finally:
        server.close()
