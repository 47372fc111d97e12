"""The `tlsrpt` command: one file per verb, thin."""
