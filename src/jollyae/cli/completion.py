"""``jollyae completion bash|zsh|fish…``: a completion script, by shtab."""

import argparse

_DIRECTORIES = {"spool", "directory", "incoming", "working", "deferred", "finished", "failed"}
_FILES = {"files", "ca_bundle"}
SHELLS = ("bash", "zsh", "tcsh", "fish")


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    parser.add_argument("shell", choices=SHELLS)


def main(arguments: argparse.Namespace) -> int:
    """Print it."""
    import shtab

    from .main import build_parser, verbs

    parser = build_parser()
    own = verbs(parser)
    for verb in (*own.values(), *verbs(own["album"]).values()):
        for action in verb._actions:
            if action.dest in _DIRECTORIES:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
            elif action.dest in _FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, shell=arguments.shell))
    return 0
