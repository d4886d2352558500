"""Names that files have in the world, or that an enemy gives them: one corpus for all suites.

Each is written as the bytes of the file's name, with the key that it must get, by hand: only what cannot stand in a
key is written as %XX (bytes that are no UTF-8, control characters, and a % that would read as such an escape).
"""

import os

NAMES: dict[str, tuple[bytes, str]] = {
    what: (
        name if isinstance(name, bytes) else name.encode(),
        key or (name if isinstance(name, str) else name.decode()),
    )
    for what, name, key in (
        # blanks
        ("space", "with some spaces .txt", ""),
        ("leading space", " leading space", ""),
        ("trailing space", "trailing space ", ""),
        ("only a space", " ", ""),
        ("no-break space", "\u00a0", ""),
        ("zero width", "a\u200bb\ufeff", ""),
        # control characters
        ("newline", "two\nlines", "two%0Alines"),
        ("only a newline", "\n", "%0A"),
        ("header", "a\r\nX-Amz-Acl: public-read", "a%0D%0AX-Amz-Acl: public-read"),
        ("tab and DEL", "a\tb\x7fc", "a%09b%7Fc"),
        ("esc", "\x1b[31mred\x1b[0m", "%1B[31mred%1B[0m"),
        ("osc", "\x1b]0;title\x07", "%1B]0;title%07"),
        ("all of C0", bytes(range(1, 32)), "".join(f"%{byte:02X}" for byte in range(1, 32))),
        ("c1", "a\x85b", "a%C2%85b"),
        ("line separator", "a\u2028b", ""),
        ("backspaces", "evil\b\b\b\bgood", "evil%08%08%08%08good"),
        # what is no UTF-8
        ("latin-1", b"caf\xe9.txt", "caf%E9.txt"),
        ("no utf-8 at all", bytes([0x80, 0xFE, 0xFF]), "%80%FE%FF"),
        ("a surrogate", b"a\xed\xa0\x80b", "a%ED%A0%80b"),
        ("overlong dots", b"\xc0\xae\xc0\xae", "%C0%AE%C0%AE"),
        ("cut off", "caf\u00e9".encode()[:-1], "caf%C3"),
        # long ones
        ("255 bytes", "x" * 255, ""),
        ("255 bytes with an extension", "x" * 251 + ".bin", ""),
        ("255 bytes of emoji", "🎄" * 63, ""),
        ("255 bytes of no utf-8", b"\xff" * 255, "%FF" * 255),
        # escapes of others
        ("leading dash", "-rf", ""),
        ("an option", "--to", ""),
        ("percent", "100%", ""),
        ("percent escape", "100%41", "100%2541"),
        ("percent newline", "two%0Alines", "two%250Alines"),
        ("percent dots", "%2e%2e%2fetc", "%252e%252e%252fetc"),
        ("a format", "%s%n%(name)s{0}", ""),
        ("a template", "{date}{sha256}{path}", ""),
        ("plus", "a+b=c&d?e#f", ""),
        ("quotes", "\"'`$(x)\\", ""),
        ("a command", "$(touch pwned)`id`;id|id", ""),
        ("braces of --exec", "{}", ""),
        ("star", "star*[a]{b}?", ""),
        ("tilde star", "~*!().txt", ""),
        ("xml", "<Key>&amp;]]>", ""),
        ("html", "<img src=x onerror=alert(1)>", ""),
        ("json", '{"a": "\\u0000"}', ""),
        ("backslashes", "a\\..\\..\\etc\\passwd", ""),
        ("a drive", "C:\\CON", ""),
        ("colon", "host:1", ""),
        # how characters look
        ("emoji", "🎄🎁.jpg", ""),
        ("joined emoji", "😀👩‍👩‍👧.png", ""),
        ("other scripts", "ünïcödé-日本語.txt", ""),
        ("composed", "\u00e9", ""),
        ("decomposed", "e\u0301", ""),
        ("both", "\u00e9 is not e\u0301", ""),
        ("right to left", "\u202egpj.exe", ""),
        ("nonchar", "a\ufffeb\uffff", ""),
        ("capitals", "README", ""),
        ("no capitals", "readme", ""),
        # dots
        ("dots", "a...b..", ""),
        ("dots of one character", "\u2025\u2026", ""),
        # like our own
        ("a suffix", "report~20261121T220000-x7k.csv", ""),
        ("a note", "x.note", ""),
        ("a worker", "host-1-0123abcd", ""),
        ("receipts", "receipts", ""),
        ("a place", "incoming", ""),
        ("keep-both", "report-01234567.csv", ""),
    )
}
"""Names that are items: bytes and key, by a word for each."""

IGNORED: dict[str, bytes] = {
    "hidden": b".hidden",
    "three dots": b"...",
    "two dots and a space": b".. ",
    "two dots and more": b"..%2f..%2fetc%2fpasswd",
    "a note": b".x.note",
    "a hashed note": b".0123456789abcdef0123456789abcdef.note",
    "a temporary": b".jollyae-0123456789abcdef.tmp",
    "a lock": b".lock",
    "a state": b".state.json",
    "a new worker": b".new-0123abcd",
    "a pause": b".paused",
    "a part": b"film.part",
    "a .tmp": b"a.tmp",
    "a backup": b"a~",
    "litter": b"Thumbs.db",
    "litter of a Mac": b"Icon\r",
}
"""Names that are never items."""

TEXT: dict[str, str] = {what: os.fsdecode(name) for what, (name, _) in NAMES.items()}
"""The names as Python has them: bytes that are no UTF-8 are lone surrogates."""

KEYS: dict[str, str] = {os.fsdecode(name): key for name, key in NAMES.values()}
"""The key of each name."""
