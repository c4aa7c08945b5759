"""Which addresses a page may be fetched from."""

from ipaddress import ip_address

import pytest

from adapters.web_pages.public_addresses import is_public, is_public_or_private

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.1",
    "198.17.255.255",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4007:80e::200e",
    "64:ff9b::808:808",
]
NEVER = [
    "0.0.0.0",  # noqa: S104 - not listened on
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::7f00:1",  # IPv4-compatible
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",  # translated
    "64:ff9b::127.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",  # Teredo
    "2001:db8::1",
    "2002:7f00:1::",  # 6to4 of 127.0.0.1
    "2002:808:808::1",
    "2a00:1450::5efe:a9fe:a9fe",  # ISATAP of 169.254.169.254
    "2a00:1450::200:5efe:7f00:1",
    "3fff::1",
    "5f00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
PRIVATE = ["10.0.0.1", "127.0.0.1", "127.255.255.254", "172.16.0.1", "172.31.255.255", "192.168.0.1", "::1", "fc00::1", "fd12:3456::1"]


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", [*NEVER, *PRIVATE, *(f"::ffff:{a}" for a in ("127.0.0.1", "10.0.0.1"))])
def test_every_other_is_not(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", [*PUBLIC, *PRIVATE, "::ffff:127.0.0.1"])
def test_in_development_this_machine_and_its_network_may_be_asked(address: str) -> None:
    assert is_public_or_private(ip_address(address))


@pytest.mark.parametrize("address", NEVER)
def test_but_a_clouds_metadata_never(address: str) -> None:
    assert not is_public_or_private(ip_address(address))
