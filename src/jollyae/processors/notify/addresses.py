"""Which addresses a webhook must not reach unless it was allowed to: what only this machine, its network or its cloud
can reach. A URL may come from somebody who cannot; and names can be made to lead anywhere. Pure.
"""

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_AZURE = ipaddress.ip_address("168.63.129.16")
"""Azure's host, which answers to its guests: a public address by its number (Microsoft's documentation of it)."""
_MORE = tuple(
    map(ipaddress.ip_network, ("192.0.0.0/24", "100.64.0.0/10", "198.18.0.0/15", "192.88.99.0/24", "64:ff9b:1::/48"))
)
"""Of the IANA's registries of special addresses, what Python's own list has in some versions and not in others."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last four bytes


def why_internal(text: str) -> str:
    """Why the address is an internal one; '' for one of the public internet. What is no address is internal.

    >>> [why_internal(one) for one in ("127.0.0.1", "169.254.169.254", "10.1.2.3", "::1", "fd00::1", "93.184.215.14")]
    ['loopback', 'link-local', 'private', 'loopback', 'private', '']
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "no address"
    return next((why for one in _meant(address) if (why := _why(one))), "")


def _meant(address: Address) -> list[Address]:
    """The address, and the IPv4 address that it stands for, where a translator or tunnel makes it one."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    inner: list[Address] = [one for one in (address.ipv4_mapped, address.sixtofour) if one is not None]
    before = len(inner)  # Python's versions do not agree on what 2002::/16 is: what it leads to says more
    if address.teredo is not None:
        inner += address.teredo
    if address in _NAT64:
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        return inner  # the range itself is not what it leads to
    return inner if address.ipv4_mapped is not None else [*inner[:before], address, *inner[before:]]


def _why(address: Address) -> str:
    kinds = {
        "loopback": address.is_loopback,
        "link-local": address.is_link_local,
        "multicast": address.is_multicast,
        "unspecified": address.is_unspecified,
        "the cloud's own": address == _AZURE,
        "private": not address.is_global or address.is_reserved or getattr(address, "is_site_local", False),
        "special": any(address in network for network in _MORE),
    }
    return next((why for why, is_so in kinds.items() if is_so), "")
