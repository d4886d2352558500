"""The table of keys in docs/CONFIGURATION.md, made from the options of ``run``. ``python -m tests.configuration_page``
writes it there."""

import re
from pathlib import Path
from typing import Any

from jollyae.cli.options import PLACES, Option, most_entries, most_items, pair, processes, seconds
from jollyae.cli.run_options import KEYS
from jollyae.service.config import NOT_KEYS, PATHS

PAGE = Path(__file__).parent.parent / "docs" / "CONFIGURATION.md"
_BETWEEN = re.compile(r"(<!-- keys: .*? -->\n).*?(<!-- /keys -->)", re.DOTALL)
_VALUES: dict[Any, str] = {
    pair: "table of text",
    most_entries: "number",
    most_items: "number",
    processes: "number",
    seconds: "seconds, or text with a unit",
}


def table() -> str:
    """A row for each key of a queue."""
    rows = [
        "| key | value | meaning |",
        "|---|---|---|",
        "| `spool` | path | the spool's directory; required without `from` |",
    ]
    return "\n".join([*rows, *(_row(option) for option in (*PLACES, *KEYS) if option.dest not in NOT_KEYS)]) + "\n"


def _row(option: Option) -> str:
    default = f"{option.default:g}" if isinstance(option.default, float) else option.default
    shown = f"; default `{default}`" if option.default not in (None, False, (), "") else ""
    text = re.sub(r"(?<![\w-])--([a-z-]+)", lambda match: f"`{match[1].replace('-', '_')}`", option.help)
    text = text.removesuffix("; repeatable").replace("|", "\\|")
    return f"| `{option.dest}` | {_value(option)}{shown} | {text} |"


def _value(option: Option) -> str:
    if option in PLACES or option.dest in PATHS:
        return "path"
    if option.parse is None:
        return "`true` or `false`"
    if option.choices:
        return ", ".join(f'`"{choice}"`' for choice in option.choices)
    value = _VALUES.get(option.parse, "text")
    return f"list of {value}" if option.many and option.parse is not pair else value


def page(text: str) -> str:
    """The page with the table as it must be."""
    return _BETWEEN.sub(lambda match: match[1] + table() + match[2], text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
