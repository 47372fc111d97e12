"""Under which id an incident is told: the same from day to day, whatever joins it and however late reports come.

A key is a place and a fault. The store remembers which id each key was told under; without that the id is made from the
key that was seen first.
"""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Iterable, Sequence
from datetime import date
from hashlib import blake2b

from tlsrpt.insight.grouping import Group
from tlsrpt.insight.incident import Incident
from tlsrpt.store.values import Memory, Remembered, Sighting


def keys_of(groups: Sequence[Group]) -> list[tuple[str, ...]]:
    """For each group the keys that it is known by, its own first.

    A key that has a group of its own names no other: what joined from there is only a part of it. A key whose rows
    joined several names the one that they joined first.
    """
    owners = {group.key: (date.min, group.key) for group in groups}
    for group in groups:
        for key, first in group.joined_keys.items():
            owners[key] = min(owners.get(key, (first, group.key)), (first, group.key))
    return [
        (group.key, *(key for key in sorted(group.joined_keys) if key != group.key and owners[key][1] == group.key))
        for group in groups
    ]


def ids_of(groups: Sequence[Group], keys: Sequence[Sequence[str]], memory: Memory) -> list[str]:
    """An id for each group: the remembered one of its keys, else one made from the key that was seen first."""
    ids: dict[int, str] = {}
    taken: set[str] = set()
    known_by_own = [(number, id_) for number, group in enumerate(groups) if (id_ := memory.ids.get(group.key))]
    known_by_own.sort(key=lambda each: not _at_its_place(groups[each[0]], memory.incidents.get(each[1])))
    for number, id_ in known_by_own:  # first those that are known by their own key, and of these whose id it is
        if id_ not in taken:
            ids[number] = id_
            taken.add(id_)
    for number, group in enumerate(groups):
        if number in ids:
            continue
        known = next((id_ for key in keys[number] if (id_ := memory.ids.get(key)) and id_ not in taken), None)
        id_ = known or _made_id(_first_key(group, keys[number]), taken)
        ids[number] = id_
        taken.add(id_)
    return [ids[number] for number in range(len(groups))]


def _at_its_place(group: Group, known: Remembered | None) -> bool:
    """Whether an id was told of this very group, not of one that its rows had joined before late reports came."""
    return known is not None and known.place == group.spot.name


def _first_key(group: Group, keys: Sequence[str]) -> str:
    first = {group.key: min(row.day for row in group.rows), **group.joined_keys}
    return min(keys, key=lambda key: (first[key], key != group.key, key))


def _made_id(key: str, taken: set[str]) -> str:
    """Seven letters and digits; 35 bits are enough for a store's incidents, and a clash gets other ones."""
    for salt in range(1000):
        digest = blake2b(
            key.encode("utf-8", "surrogatepass"), digest_size=5, salt=bytes([salt % 256, salt // 256])
        ).digest()
        id_ = b32encode(digest).decode("ascii").lower()[:7]
        if id_ not in taken:
            return id_
    raise AssertionError("a thousand clashes in a row")


def sightings(found: Iterable[Incident]) -> list[Sighting]:
    """Incidents as the store is to remember them."""
    return [
        Sighting(
            id=each.id,
            place=each.place,
            title=each.title,
            first_seen=each.first_seen,
            last_seen=each.last_seen,
            keys=each.keys,
        )
        for each in found
    ]
