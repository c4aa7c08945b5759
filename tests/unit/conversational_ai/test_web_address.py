"""Addresses of the web, as people write them and as those who mean harm do."""

import pytest

from domains.conversational_ai.model.web_address import WebAddress
from shared_kernel.errors import InvalidInput


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("https://shop.example", "https://shop.example/"),
        (" HTTPS://Shop.EXAMPLE./a b".replace("a b", "a%20b"), "https://shop.example/a%20b"),
        ("http://shop.example:80/#part", "http://shop.example/"),
        ("https://shop.example:8443/?q=é&r=1", "https://shop.example:8443/?q=%C3%A9&r=1"),
        ("https://bücher.example/préface", "https://xn--bcher-kva.example/pr%C3%A9face"),
        ("http://\uff11\uff12\uff17.0.0.1/", "http://127.0.0.1/"),
        ("http://127。0。0。1/", "http://127.0.0.1/"),
        ("http://[2001:DB8:0:0::1]:8080/x", "http://[2001:db8::1]:8080/x"),
        ("http://[::ffff:10.0.0.1]/", "http://[::ffff:a00:1]/"),
        ("https://shop.example/a%2Fb?x=%20", "https://shop.example/a%2Fb?x=%20"),
    ],
)
def test_an_address_has_one_spelling(written: str, meant: str) -> None:
    address = WebAddress.parse(written)
    assert str(address) == meant
    assert WebAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    "written",
    [
        "",
        "shop.example",
        "//shop.example/",
        "ftp://shop.example/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "gopher://shop.example:70/",
        "http://",
        "http:///path",
        "https://user@shop.example/",
        "https://user:secret@shop.example/",
        "https://shop.example@169.254.169.254/",
        "https://shop.example\\@169.254.169.254/",
        "https://shop.example:0/",
        "https://shop.example:65536/",
        "https://shop.example:x/",
        "https://shop.example/\r\nHost: other",
        "https://shop.example/a b",
        "https://shop.example/\0",
        "https://shop.example/\u202e",
        "https://sh op.example/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://[v1.x]/",
        "https://-.example/",
        "https://a..example/",
        f"https://{'a' * 64}.example/",
        f"https://shop.example/{'a' * 2_048}",
        "https://straße.example/",
        # an IPv4 address that programs read differently
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.1/",
        "http://127.0.0.1.1/",
        "http://256.0.0.1/",
        "http://1.2.3.0x4/",
    ],
)
def test_what_is_no_address_is_refused_with_its_field(written: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        WebAddress.parse(written)
    assert [e.field for e in refused.value.errors] == ["url"]
    assert "secret" not in refused.value.detail


@pytest.mark.parametrize(
    ("location", "meant"),
    [
        ("/next", "https://shop.example/next"),
        ("next?x=1", "https://shop.example/a/next?x=1"),
        ("//other.example/", "https://other.example/"),
        ("http://169.254.169.254/latest", "http://169.254.169.254/latest"),
    ],
)
def test_a_redirect_is_read_as_an_address(location: str, meant: str) -> None:
    assert str(WebAddress.parse("https://shop.example/a/b").join(location)) == meant


def test_a_redirect_out_of_the_web_is_no_address() -> None:
    for location in ("file:///etc/passwd", "http://user:pass@shop.example/", "data:text/html,x", "http://[::1", "//[", "https://[x]/"):
        with pytest.raises(InvalidInput):
            WebAddress.parse("https://shop.example/").join(location)


def test_an_unnamed_page_is_called_by_host_and_path_without_its_query() -> None:
    assert WebAddress.parse("https://shop.example/prix/été/?token=secret").name == "shop.example/prix/été"
    assert WebAddress.parse("https://shop.example/").name == "shop.example"
    assert len(WebAddress.parse("https://shop.example/" + "a" * 1_000).name) == 200
