"""The vectors are those of Certificate Transparency's reference implementation."""

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from domains.governance.model.merkle_tree import leaf_hash, merkle_root

LEAVES = [bytes.fromhex(h) for h in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")]
ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    4: "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    6: "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def test_the_published_roots() -> None:
    assert {n: merkle_root([leaf_hash(leaf) for leaf in LEAVES[:n]]).hex() for n in ROOTS} == ROOTS


def test_the_empty_tree_is_the_hash_of_nothing() -> None:
    assert merkle_root([]) == sha256(b"").digest()


def _by_definition(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word: split at the largest power of two below the length."""
    if len(leaves) == 1:
        return leaves[0]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + _by_definition(leaves[:k]) + _by_definition(leaves[k:])).digest()


@given(st.integers(1, 200))
def test_level_by_level_is_the_recursive_definition(n: int) -> None:
    leaves = [leaf_hash(bytes([i])) for i in range(n)]
    assert merkle_root(leaves) == _by_definition(leaves)
