"""The formats of manifests: from entries to bytes. Pure: the same entries give the same bytes.

| format | who reads it | its definition |
|---|---|---|
| redshift | COPY … MANIFEST | "Using a manifest to specify data files", Redshift's developer guide |
| emr | s3-dist-cp --copyFromManifest --previousManifest | "S3DistCp (s3-dist-cp)", EMR's release guide: gzip, a JSON object a line |
| symlink | Hive, Athena, Presto, Spark: SymlinkTextInputFormat | a URL a line |
| batch | S3 Batch Operations | S3BatchOperations_CSV_20180820 with Bucket, Key: the key is URL-encoded |
"""  # noqa: E501 - a table

import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from ..notify.message import Message


class Entry(msgspec.Struct, frozen=True):
    """One delivery. ``id``: the delivery's; ``size``: bytes of the object; ``finished``: when (ISO 8601, UTC)."""

    id: str
    url: str
    size: int
    finished: str


class Format(NamedTuple):
    """One format. ``suffix``: of a manifest's name; ``schemes``: of the URLs that it can tell of, () for any;
    ``render(entries, root)``: its bytes, ``root`` being what the URLs begin with."""

    suffix: str
    schemes: tuple[str, ...]
    render: Callable[[Sequence[Entry], str], bytes]


def entry(message: Message) -> Entry | None:
    """What a message tells of; None of a delivery that has no URL."""
    receipt, stored = message.receipt, message.record["s3"]
    url = str(receipt.get("url", ""))
    if "://" not in url and stored["bucket"]["name"]:  # left out of a message that would have been too long
        url = f"s3://{stored['bucket']['name']}/{message.detail()['object']['key']}"
    if "://" not in url:
        return None
    return Entry(message.id, url, int(stored["object"]["size"]), str(receipt.get("finished", "")))


def redshift(entries: Sequence[Entry], root: str) -> bytes:
    """COPY's. ``content_length`` is what COPY wants to know for columnar formats; others ignore it.

    >>> redshift([Entry("00", "s3://b/a b.csv", 3, "")], "s3://b")
    b'{"entries":[{"url":"s3://b/a b.csv","mandatory":true,"meta":{"content_length":3}}]}'
    """
    told = [{"url": one.url, "mandatory": True, "meta": {"content_length": one.size}} for one in entries]
    return msgspec.json.encode({"entries": told})


def emr(entries: Sequence[Entry], root: str) -> bytes:
    """S3DistCp's.

    >>> unpacked(emr([Entry("00", "s3://b/p/d/a.csv", 3, "")], "s3://b/p"))
    b'{"path":"s3://b/p/d/a.csv","baseName":"d/a.csv","srcDir":"s3://b/p","size":3}\\n'
    """
    lines = [msgspec.json.encode(_file(one, root)) + b"\n" for one in entries]
    return _gzip(b"".join(lines))


def symlink(entries: Sequence[Entry], root: str) -> bytes:
    """SymlinkTextInputFormat's. No key of ours holds a line's end.

    >>> symlink([Entry("00", "s3://b/a b.csv", 3, "")], "")
    b's3://b/a b.csv\\n'
    """
    return "".join(f"{one.url}\n" for one in entries).encode()


def batch(entries: Sequence[Entry], root: str) -> bytes:
    """S3 Batch Operations'. A space is %20 and a plus %2B, which every way of decoding reads alike.

    >>> batch([Entry("00", "s3://b/d/a b+c,.csv", 3, "")], "")
    b'b,d/a%20b%2Bc%2C.csv\\n'
    """
    places = (one.url.removeprefix("s3://").partition("/") for one in entries)
    return "".join(f"{bucket},{quote(key, safe='/')}\n" for bucket, _, key in places).encode()


FORMATS = {
    "redshift": Format(".manifest", ("s3",), redshift),
    "emr": Format(".gz", (), emr),
    "symlink": Format(".txt", (), symlink),
    "batch": Format(".csv", ("s3",), batch),
}
"""By the words of ``--manifest-format``."""


def unpacked(data: bytes) -> bytes:
    """What :func:`emr` packed."""
    return zlib.decompress(data, 31)


def _file(one: Entry, root: str) -> dict[str, Any]:
    root = root.rstrip("/")
    if not one.url.startswith(f"{root}/"):
        root = one.url.rpartition("/")[0]
    return {"path": one.url, "baseName": one.url[len(root) + 1 :], "srcDir": root, "size": one.size}


def _gzip(data: bytes) -> bytes:
    """With a header of our own: the library's would tell time and system, and the bytes must be the same again."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    body = packer.compress(data) + packer.flush()
    return (
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
        + body
        + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)
    )
