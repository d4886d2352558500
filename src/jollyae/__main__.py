"""``python -m jollyae``: the command line."""

from .cli.main import entry

entry()
