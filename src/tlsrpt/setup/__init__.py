"""The guided way from nothing to a verified record."""
