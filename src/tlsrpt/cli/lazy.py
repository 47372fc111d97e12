"""A group that imports some of its commands only when they are called: those that look at the network."""

from __future__ import annotations

import importlib
from typing import Any

import click


class LazyGroup(click.Group):
    """A click group with `further` commands: name -> module that holds the click command, named `command`."""

    def __init__(self, *args: Any, further: dict[str, str], **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self._further = further

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *self._further])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._further:
            return super().get_command(ctx, cmd_name)
        verb: click.Command = importlib.import_module(self._further[cmd_name]).command
        return verb
