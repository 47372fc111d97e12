"""The one door for received reports, and every way in."""
