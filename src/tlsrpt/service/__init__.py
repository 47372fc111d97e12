"""Starts, supervises, reloads and stops the parts of `tlsrpt serve`."""
