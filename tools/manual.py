"""Makes the man pages: docs/verbs/*.md, which a test keeps in step with the options, as roff for man(7).

    python tools/manual.py DIRECTORY     writes jollyae.1 and a page for each verb

Of Markdown it knows what those pages use: headings, paragraphs, lists, tables, indented and fenced blocks, and in a
line code, bold, emphasis and links. Nothing but the standard library: it runs when the wheel is built.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs" / "verbs"

_INLINE = re.compile(r"(`+)(.+?)\1|\*\*(.+?)\*\*|\*([^*\s][^*]*?)\*|\[((?:[^\[\]]|\[[^\]]*\])+)\]\(([^)\s]+)\)")
_LIST = re.compile(r"(?:[-*]|(\d+)\.) +(.*)")


def pages(version: str) -> dict[str, str]:
    """Each page by its file name."""
    made = {f"jollyae-{path.stem}.1": page(path, version) for path in sorted(PAGES.glob("*.md"))}
    return {"jollyae.1": overview(version), **made}


def page(path: Path, version: str) -> str:
    """The manual of one verb."""
    text = re.sub(r"(?m)^## NAME\n\n\S+ – ", f"## NAME\n\njollyae-{path.stem} \\\\- ", path.read_text())
    return "\n".join([_title(f"JOLLYAE-{path.stem.upper()}", version), *_blocks(text)]) + "\n"


def overview(version: str) -> str:
    """jollyae(1): the verbs."""
    sys.path.insert(0, str(ROOT / "src"))
    from jollyae.cli.main import EPILOG, VERBS

    lines = [_title("JOLLYAE", version), ".SH NAME", r"jollyae \- from a queue directory to S3, with nothing lost"]
    lines += [".SH SYNOPSIS", r"\fBjollyae\fR \fIVERB\fR [\fIOPTION\fR\|.\|.\|.]", ".SH DESCRIPTION"]
    lines += [_inline(_promise()), ".SH VERBS"]
    for verb, text in VERBS.items():
        lines += [".TP", rf"\fBjollyae\-{_safe(verb)}\fR(1)", _inline(text)]
    head, _, rest = EPILOG.partition("\n\n")
    lines += [".SH EXIT STATUS", _inline(" ".join(head.split()).partition(": ")[2]), ".SH 2016", ".nf"]
    lines += [_safe(line) for line in rest.splitlines()]
    lines += [".fi", ".SH SEE ALSO"]
    lines.append(", ".join(rf"\fBjollyae\-{_safe(verb)}\fR(1)" for verb in VERBS))
    return "\n".join(lines) + "\n"


def _promise() -> str:
    """What the README begins with."""
    return " ".join((ROOT / "README.md").read_text().split("\n\n")[1].split())


def _title(name: str, version: str) -> str:
    """The page's head. Lines stay ragged: an address longer than a line cannot be adjusted, which is a warning."""
    return f'.TH {name} 1 "" "jollyae {version}" "jollyae"\n.ad l'


def _blocks(text: str) -> Iterator[str]:
    """The page, block by block."""
    lines = [line for line in text.splitlines() if not line.startswith(("# ", "<!--"))]
    where = 0
    while where < len(lines):
        end = where + 1
        line = lines[where]
        if line.startswith("```"):
            while not lines[end].startswith("```"):
                end += 1
            yield from _verbatim(lines[where + 1 : end])
            end += 1
        elif line.startswith("    "):
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end]):
                end += 1
            yield from _verbatim([one[4:] for one in lines[where:end]])
        elif line.startswith("#"):
            rank, _, title = line.partition(" ")
            yield f".{'SH' if rank == '##' else 'SS'} {_inline(title)}"
        elif line.startswith("|"):
            while end < len(lines) and lines[end].startswith("|"):
                end += 1
            yield from _table(lines[where:end])
        elif line:
            while end < len(lines) and lines[end] and not _begins(lines[end]):
                end += 1
            yield from _paragraph(" ".join(one.strip() for one in lines[where:end]))
        where = end


def _begins(line: str) -> bool:
    """Whether it begins something else than a line of a paragraph."""
    return line.startswith(("|", "#", "```")) or _LIST.match(line) is not None


def _paragraph(text: str) -> Iterator[str]:
    entry = _LIST.match(text)
    if entry is None:
        yield ".PP"
        yield _inline(text)
        return
    number, rest = entry.groups()
    yield f'.IP "{number}." 4' if number else r".IP \(bu 2"
    yield _inline(rest)


def _verbatim(lines: list[str]) -> Iterator[str]:
    while lines and not lines[-1]:
        lines.pop()
    yield from (".PP", ".RS 4", ".nf")
    yield from (_safe(line) for line in lines)
    yield from (".fi", ".RE")


def _table(rows: list[str]) -> Iterator[str]:
    """Each row as an entry: its first cell, and below it the others, each after its heading where that says more."""
    heads, _, *entries = (_cells(row) for row in rows)
    for first, *others in entries:
        if not any(others) and first.startswith("**"):
            yield f".SS {_inline(first.strip('*'))}"
            continue
        told = sorted(zip(heads[1:], others, strict=False), key=lambda pair: pair[0] != "")
        yield ".TP"
        yield _inline(first)
        yield _inline(" ".join(_told(head, cell) for head, cell in told if cell)) or r"\&"


def _told(head: str, cell: str) -> str:
    return f"[{head}: {cell}]" if head in ("environment", "default") else cell


def _cells(row: str) -> list[str]:
    return [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", row.strip().strip("|"))]


def _inline(text: str) -> str:
    """A line of text, with what is marked in it."""
    made, end = [], 0
    for found in _INLINE.finditer(text):
        made.append(_safe(text[end : found.start()]))
        _, code, bold, stressed, label, target = found.groups()
        if code or bold:
            made.append(rf"\fB{_safe(code) if code else _nested(bold)}\fR")
        elif stressed:
            made.append(rf"\fI{_safe(stressed)}\fR")
        else:
            made.append(_link(label, target))
        end = found.end()
    line = "".join(made) + _safe(text[end:])
    return rf"\&{line}" if line.startswith((".", "'")) else line


def _nested(text: str) -> str:
    return _safe(text.replace("`", ""))


def _link(label: str, target: str) -> str:
    """To another verb: its page; to anything else: its words."""
    name = re.fullmatch(r"([a-z]+)\.md(#.*)?", target)
    shown = _inline(label)
    if name is None:
        return shown
    page = rf"\fBjollyae\-{name.group(1)}\fR(1)"
    return page if label == name.group(1) else f"{shown} ({page})"


def _safe(text: str) -> str:
    text = text.replace("\\", r"\e").replace("-", r"\-").replace(r"\e\-", r"\-")
    return rf"\&{text}" if text.startswith((".", "'")) else text


def main(directory: str) -> None:
    """Write them."""
    version = re.search(r'__version__ = "(.*)"', (ROOT / "src" / "jollyae" / "__init__.py").read_text())
    assert version is not None
    target = Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    for name, text in pages(version.group(1)).items():
        (target / name).write_text(text)


if __name__ == "__main__":
    main(sys.argv[1])
