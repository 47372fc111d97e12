"""How long to wait before a source is tried again: longer each time, never all at once."""

from __future__ import annotations

import random

FIRST_S = 1.0
LONGEST_S = 300.0


def wait_s(failures: int, chance: random.Random) -> float:
    """Seconds to wait after so many failures in a row (at least 1): doubling up to five minutes, less up to a half.

    The part left to chance keeps many services, or many mailboxes of one server, from coming back together.
    """
    longest = min(LONGEST_S, FIRST_S * 2.0 ** min(failures - 1, 16))
    return longest * (0.5 + chance.random() / 2)
