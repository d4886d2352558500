"""``jollyae completion bash|zsh|fish…``: a completion script, by shtab."""

import argparse

_DIRECTORIES = {"SPOOL", "DIR"}
_FILES = {"FILE"}
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
            if action.metavar in _DIRECTORIES:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
            elif action.metavar in _FILES or action.dest == "metrics_file":
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, shell=arguments.shell))
    return 0
