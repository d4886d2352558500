"""Where names are resolved: in a cloud that may be at a link-local address, beside which the machine's keys are."""

import ipaddress
from contextlib import suppress
from pathlib import Path

FILE = Path("/etc/resolv.conf")
AMAZONS = "169.254.169.253"
"""Amazon's resolver, https://docs.aws.amazon.com/vpc/latest/userguide/AmazonDNS-concepts.html; its keys are elsewhere.
Google's is the metadata server itself, 169.254.169.254 (https://cloud.google.com/compute/docs/internal-dns)."""


def link_local(text: str) -> str:
    """The first resolver with a link-local address but Amazon's, of a file as resolv.conf(5); '' for none.

    >>> link_local("search c.project.internal\\nnameserver 169.254.169.254\\n"), link_local("nameserver 127.0.0.53")
    ('169.254.169.254', '')
    """
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver" and words[1] != AMAZONS:
            with suppress(ValueError):
                if ipaddress.ip_address(words[1]).is_link_local:
                    return words[1]
    return ""


def here() -> str:
    """That of this machine; '' for none. Of one on the machine, such as 127.0.0.53, no unit asks others itself."""
    try:
        return link_local(FILE.read_text(errors="replace"))
    except OSError:
        return ""
