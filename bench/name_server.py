"""A small authoritative name server for the benches: one TXT record at each `_smtp._tls` name, at once or late.

Runs in a process of its own, so that neither side pays for it. It copies the question and patches the answer together:
a real server is faster per question, but none of them can be asked to answer 20 ms late.
"""

from __future__ import annotations

import heapq
import selectors
import socket
import struct
import sys
import time

ANSWER = struct.pack("!HHHIH", 0xC00C, 16, 1, 3600, 0)[:-2]


def text_for(name: bytes) -> bytes:
    """The record of a domain: the first label of its own domain is in the mailbox, so that all differ."""
    labels, at = [], 12
    while name[at]:
        labels.append(name[at + 1 : at + 1 + name[at]])
        at += 1 + name[at]
    return b"v=TLSRPTv1; rua=mailto:tls@" + b".".join(labels[2:])


def reply(query: bytes) -> bytes:
    """The answer: authoritative, with EDNS where the query had it."""
    end = query.index(b"\0", 12) + 5
    text = text_for(query)
    head = query[:2] + bytes((0x84 | query[2] & 1, query[3] & 0x10)) + struct.pack("!4H", 1, 1, 0, int(query[11] > 0))
    data = bytes((len(text),)) + text
    opt = b"\0" + struct.pack("!HHIH", 41, 1232, 0, 0) if query[11] else b""
    return head + query[12:end] + ANSWER + struct.pack("!H", len(data)) + data + opt


def serve(late_s: float) -> None:
    """Answer for ever; the port is printed first."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, selectors.DefaultSelector() as selector:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        for size in (4_194_304, 1_048_576):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        selector.register(sock, selectors.EVENT_READ)
        print(sock.getsockname()[1], flush=True)
        due: list[tuple[float, int, bytes, tuple[str, int]]] = []
        count = 0
        while True:
            wait_s = max(0.0, due[0][0] - time.monotonic()) if due else None
            if selector.select(wait_s):
                try:
                    while True:
                        query, peer = sock.recvfrom(4096)
                        count += 1
                        if late_s:
                            heapq.heappush(due, (time.monotonic() + late_s, count, reply(query), peer))
                        else:
                            sock.sendto(reply(query), peer)
                except BlockingIOError:
                    pass
            while due and due[0][0] <= time.monotonic():
                _, _, answer, peer = heapq.heappop(due)
                sock.sendto(answer, peer)


if __name__ == "__main__":
    serve(float(sys.argv[1]))
