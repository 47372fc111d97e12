"""How Sphinx makes the handbook: `make docs`."""

from importlib.metadata import version as installed

project = "tlsrpt"
author = "the tlsrpt contributors"
copyright = "the tlsrpt contributors, Apache-2.0"  # noqa: A001 - Sphinx's name
release = version = installed("tlsrpt")

extensions = ["myst_parser"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
nitpicky = True

html_theme = "furo"
html_title = f"tlsrpt {release}"
html_copy_source = False
