"""``jollyae submit SPOOL FILE…``: copy files in, durably, never over another."""

import argparse
import os
import sys
from typing import TYPE_CHECKING

from . import where
from .options import UsageError

if TYPE_CHECKING:
    from ..spool.spool import Spool


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    where.add(parser, or_queue=True)
    parser.add_argument("files", metavar="FILE", nargs="+", help="a file; - reads stdin and needs --name")
    parser.add_argument("--name", help="the item's name, where one FILE is given; may have subdirectories")
    parser.add_argument("-q", "--quiet", action="store_true", help="do not print the names")


def main(arguments: argparse.Namespace) -> int:
    """Submit each; exit code 1 if any was refused or could not be read, 2 for an impossible or ignored name, 75 where
    the spool's disk is below its floor."""
    where.take_words(arguments, "files")
    if arguments.name is not None and len(arguments.files) > 1:
        raise UsageError("--name goes with one FILE")
    found = where.meant(arguments)
    if len(found) > 1:
        which = ", ".join(one.name for one in found)
        raise UsageError("a file goes into one queue: say --queue NAME", hint=f"The queues: {which}")
    if "-" in arguments.files and not arguments.name:
        raise UsageError("- (stdin) needs --name", hint=f"Try: … | jollyae submit {found[0].words} - --name NAME")
    spool = where.made(found[0].places)
    codes = [_submit(spool, file, arguments) for file in arguments.files]
    return max(codes)


def _submit(spool: "Spool", file: str, arguments: argparse.Namespace) -> int:
    from ..spool import names
    from ..spool.floor import NoRoom

    name = arguments.name or os.path.basename(file)
    try:
        spool.submit(sys.stdin.buffer if file == "-" else file, name)
    except FileExistsError:
        return _refuse(file, f"incoming/ has an item named {names.show(name)!r} already", 1)
    except ValueError as error:
        return _refuse(file, str(error), 2)
    except NoRoom as error:
        return _refuse(file, str(error.strerror), os.EX_TEMPFAIL)
    except OSError as error:
        return _refuse(file, error.strerror or str(error), 1)
    if not arguments.quiet:
        print(names.show(name))
    return 0


def _refuse(file: str, why: str, code: int) -> int:
    from ..spool import names

    print(f"jollyae: not submitted: {names.show(file)}: {why}", file=sys.stderr)
    return code
