"""The log: each line about an item says which item, which key and which delivery, as far as that is known."""

import json
import logging
from typing import Any

import pytest

from jollyae import Permanent, Spool, Temporary
from jollyae.cli.output import JsonFormatter, TextFormatter
from jollyae.spool.item import Item
from jollyae.worker import receipts
from tests.helpers import drop, once

ROOT = "file:///there/"


def _process(item: Item) -> dict[str, Any]:
    item.aim = (ROOT, f"in/{item.name}", "ab12")
    match item.name:
        case "bad":
            raise Permanent("no", hint="Look at it.", reason="size")
        case "later":
            raise Temporary("not now", reason="timeout", after=100)
        case "beside":
            return {"url": f"{ROOT}in/beside.1", "sha256": "ab12"}
    return {"url": f"{ROOT}in/{item.name}", "sha256": "ab12"}


def _lines(spool: Spool, caplog: pytest.LogCaptureFixture, process: Any = _process) -> dict[str, dict[str, Any]]:
    caplog.set_level(logging.INFO, "jollyae")
    once(spool, process)
    told = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    return {one["item"]: one for one in told if "item" in one}


def test_each_line_about_an_item_names_item_key_and_delivery(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    """In JSON and in text; the id is the receipt's, so that what was said of an attempt is found from its delivery."""
    for name in ("good", "beside", "bad", "later"):
        drop(spool, name, b"12345")
    told = _lines(spool, caplog)
    ids = {one["name"]: one["id"] for one in receipts.read(spool.places.receipts)}
    for name, line in told.items():
        assert line["key"] == ("in/beside.1" if name == "beside" else f"in/{name}")
        assert len(line["id"]) == 20 and ids.get(name, line["id"]) == line["id"]
        assert line["attempts"] == 1
    assert told["good"]["size"] == 5 and 0 <= told["good"]["duration_s"] < 60
    assert told["bad"]["reason"] == "size" and told["later"]["reason"] == "timeout"
    assert 100 <= told["later"]["delay_s"] <= 150
    [record] = [one for one in caplog.records if getattr(one, "item", "") == "bad"]
    text = TextFormatter(colour=False).format(record)
    assert f"item=bad key=in/bad id={told['bad']['id']} attempts=1 reason=size" in text


def test_what_is_not_known_is_not_told(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    """A processor that says nothing of keys has none in the log; a key without a digest has no id."""

    def process(item: Item) -> None:
        if item.name == "keyed":
            item.aim = (ROOT, "k", None)
        raise Permanent("no")

    for name in ("plain", "keyed"):
        drop(spool, name)
    told = _lines(spool, caplog, process)
    assert "key" not in told["plain"] and "id" not in told["plain"]
    assert told["keyed"]["key"] == "k" and "id" not in told["keyed"]


def test_a_key_is_shown_safely(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing in it can move the cursor or break a line."""

    def process(item: Item) -> None:
        item.aim = (ROOT, "a\x1b[2J\nb", "")
        raise Permanent("no")

    drop(spool, "a")
    told = _lines(spool, caplog, process)
    assert "%1B" in told["a"]["key"] and "\n" not in told["a"]["key"] and "\x1b" not in caplog.text
