"""The store's schema, as one word: which ones there have been, and which one this program speaks.

Known here so that opening a store needs no migration library; a test holds the list against the migrations.
"""

from __future__ import annotations

REVISIONS = ("0001", "0002", "0003", "0004")  # oldest first
HEAD = REVISIONS[-1]
APPLICATION_ID = 0x544C5352  # "TLSR": tells a store from another program's SQLite file
