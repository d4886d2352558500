"""``jollyae album VERB …``: one module for each verb."""

import argparse
import importlib

VERBS = {
    "init": "make an album, and its first user",
    "user": "add a user, or change one",
    "serve": "serve it to browsers",
    "copy": "copy an album into another, with nothing lost",
    "audit": "is all of it there? originals, checksums, renditions",
    "sync-originals": "a verified local copy of every original",
    "export": "leave with everything: readable names, XMP sidecars",
    "import": "bring a directory in, with its XMP sidecars",
    "replicate": "set up, show and remove replication with another server",
    "project": "keep the public database",
    "demo": "an album in the browser, fed by a spool, with sample photos",
}


def module(verb: str) -> str:
    """The name of the verb's module."""
    return {"import": "importing"}.get(verb, verb.replace("-", "_"))


def add(parser: argparse.ArgumentParser) -> None:
    """The verbs, each with its options."""
    subparsers = parser.add_subparsers(dest="album_verb", metavar="VERB", title="verbs")
    for verb, text in VERBS.items():
        sub = subparsers.add_parser(verb, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False)
        importlib.import_module(f".{module(verb)}", __package__).add(sub)
    parser.set_defaults(album_help=parser.format_help)


def main(arguments: argparse.Namespace) -> int:
    """Do what the verb says; the exit code."""
    if arguments.album_verb is None:
        print(arguments.album_help())
        return 2
    code: int = importlib.import_module(f".{module(arguments.album_verb)}", __package__).main(arguments)
    return code
