"""Which addresses are internal: a table, with every disguise that we know."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jollyae.processors.notify.addresses import why_internal

INTERNAL = {
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "0.0.0.0": "unspecified",
    "10.0.0.1": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "100.64.0.1": "private",  # carriers' NAT
    "100.100.100.200": "private",  # metadata of a cloud
    "169.254.169.254": "link-local",  # metadata of most
    "168.63.129.16": "the cloud's own",  # Azure's
    "192.0.0.192": "private",  # metadata of Oracle's
    "198.18.0.1": "private",
    "203.0.113.1": "private",
    "224.0.0.1": "multicast",
    "240.0.0.1": "private",
    "255.255.255.255": "private",
    "::1": "loopback",
    "::": "unspecified",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "fc00::1": "private",
    "fd00:ec2::254": "private",  # metadata by IPv6
    "fec0::1": "private",
    "ff02::1": "multicast",
    "::ffff:127.0.0.1": "loopback",
    "::ffff:169.254.169.254": "link-local",
    "::127.0.0.1": "private",
    "2002:7f00:1::": "loopback",  # 6to4
    "64:ff9b::7f00:1": "loopback",  # NAT64
    "64:ff9b::a9fe:a9fe": "link-local",
    "64:ff9b:1::1": "private",
    "2001:db8::1": "private",
    "localhost": "no address",
    "": "no address",
    "2130706433": "no address",
}
PUBLIC = ["93.184.215.14", "8.8.8.8", "172.32.0.1", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::808:808"]


@pytest.mark.parametrize("text", INTERNAL)
def test_internal_addresses(text: str) -> None:
    """Loopback, private, link-local, unique-local, carriers', metadata, and IPv6 that stands for one of them."""
    assert why_internal(text)
    if INTERNAL[text] != "private":
        assert why_internal(text) == INTERNAL[text]


@pytest.mark.parametrize("text", [*PUBLIC, "::ffff:8.8.8.8"])
def test_public_addresses(text: str) -> None:
    """What the public internet has is let through."""
    assert why_internal(text) == ""


@given(st.ip_addresses(v=4))
def test_a_disguise_changes_nothing(address: ipaddress.IPv4Address) -> None:
    """An IPv4 address as IPv6 (mapped, NAT64) is as internal as it is itself."""
    for prefix in ("::ffff:", "64:ff9b::"):
        assert why_internal(f"{prefix}{address}") == why_internal(str(address))
