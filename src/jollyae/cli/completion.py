"""``jollyae completion bash|zsh|fish…``: a completion script, by shtab."""

import argparse

SHELLS = ("bash", "zsh", "tcsh", "fish")


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    parser.add_argument("shell", choices=SHELLS)


def main(arguments: argparse.Namespace) -> int:
    """Print it."""
    import shtab

    from .main import build_parser

    print(shtab.complete(build_parser(), shell=arguments.shell))
    return 0
