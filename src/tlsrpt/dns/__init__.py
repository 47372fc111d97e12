"""Our resolver, its cache and limits; publishing records."""
