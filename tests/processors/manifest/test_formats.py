"""What each reader of manifests finds: a table, and any keys."""

import csv
import json
from typing import Any
from urllib.parse import unquote, unquote_plus

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from jollyae.processors.keys import KeyTemplate
from jollyae.processors.manifest.formats import FORMATS, Entry, batch, emr, entry, redshift, symlink, unpacked
from jollyae.processors.notify.message import message, read
from jollyae.spool.outcomes import Permanent
from tests.processors.notify.scene import RECEIPT

ROOT = "s3://data/in"
HOSTILE = [
    "a.csv",
    "a b+c,d.csv",
    'say "x".csv',
    "100%.csv",
    "dt=2026-11-22/ü 日.parquet",
    "%41",
    "#?&=;'\\",
    "line%0Aend",
]
ENTRIES = [Entry(f"{at:020x}", f"{ROOT}/{key}", at, "2026-11-22T17:00:00Z") for at, key in enumerate(HOSTILE)]


def test_redshift() -> None:
    """COPY's: each URL as it is, mandatory, with its length."""
    told = json.loads(redshift(ENTRIES, ROOT))
    assert told == {
        "entries": [
            {"url": f"{ROOT}/{key}", "mandatory": True, "meta": {"content_length": at}}
            for at, key in enumerate(HOSTILE)
        ]
    }


def test_emr() -> None:
    """S3DistCp's: gzip, a file a line; path is srcDir and baseName."""
    lines = [json.loads(line) for line in unpacked(emr(ENTRIES, ROOT)).splitlines()]
    assert lines == [
        {"path": f"{ROOT}/{key}", "baseName": key, "srcDir": ROOT, "size": at} for at, key in enumerate(HOSTILE)
    ]
    (other,) = [json.loads(line) for line in unpacked(emr([Entry("00", "s3://other/d/k", 1, "")], ROOT)).splitlines()]
    assert (other["srcDir"], other["baseName"]) == ("s3://other/d", "k")


def test_symlink() -> None:
    """SymlinkTextInputFormat's: a URL a line, none quoted."""
    assert symlink(ENTRIES, ROOT).decode().split("\n") == [*(f"{ROOT}/{key}" for key in HOSTILE), ""]


def test_batch() -> None:
    """S3 Batch Operations': two columns, and the key is read alike by both ways to decode it."""
    for decode in (unquote, unquote_plus):
        rows = list(csv.reader(batch(ENTRIES, ROOT).decode().splitlines()))
        assert [(bucket, decode(key)) for bucket, key in rows] == [("data", f"in/{key}") for key in HOSTILE]


@given(st.lists(st.text(min_size=1, max_size=30), max_size=5, unique=True))
def test_any_name(names: list[str]) -> None:
    """Whatever an item is called: its key comes out of each format as it went in, and the bytes are the same twice."""
    template, entries = KeyTemplate(prefix="in"), []
    for at, name in enumerate(names):
        try:
            key = template.key(name, 0.0)
            key.encode()
        except (Permanent, UnicodeEncodeError):
            continue
        entries.append(Entry(f"{at:020x}", f"s3://data/{key}", at, ""))
    urls = [one.url for one in entries]
    assert [one["url"] for one in json.loads(redshift(entries, ROOT))["entries"]] == urls
    assert [json.loads(line)["path"] for line in unpacked(emr(entries, ROOT)).split(b"\n") if line] == urls
    assert symlink(entries, ROOT).decode().split("\n")[:-1] == urls
    assert [f"s3://data/{unquote(line.partition(',')[2])}" for line in batch(entries, ROOT).decode().split()] == urls
    assert all(form.render(entries, ROOT) == form.render(entries, ROOT) for form in FORMATS.values())


def _entry(**receipt: Any) -> Entry | None:
    return entry(read(message({**RECEIPT, **receipt})))


def test_an_entry_of_a_message() -> None:
    """URL and size of the object, though the receipt was too long for its message; nothing of what has no URL."""
    assert _entry() == Entry(RECEIPT["id"], "s3://photos/a/b.txt", 3, RECEIPT["finished"])
    told = {name: value for name, value in RECEIPT.items() if name != "url"}
    assert entry(read(message({**told, "command": "true"}))) is None
    long = _entry(url="s3://photos/a b+" + "k" * 900, output=["x" * 900] * 100)
    assert long is not None and long.url == "s3://photos/a b+" + "k" * 900
    assert msgspec.json.decode(msgspec.json.encode(long), type=Entry) == long
