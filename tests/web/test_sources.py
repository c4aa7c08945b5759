"""What pages are built from: one place for colours, and a lock that names no address."""

import json
import re
from pathlib import Path

import pytest

ASSETS = Path(__file__).resolve().parents[2] / "entrypoints" / "web" / "assets"
SHEETS = sorted(p for p in (ASSETS / "styles").glob("*.css") if p.name != "tokens.css")
COLOUR = re.compile(
    r"#[0-9a-f]{3,8}\b|\b(?:rgba?|hsla?|oklch|oklab|color|light-dark)\(|:\s*(?:white|black|red|green|blue|gr[ae]y)\b", re.IGNORECASE
)


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda p: p.name)
def test_no_sheet_but_that_of_the_tokens_names_a_colour(sheet: Path) -> None:
    rules = re.sub(r"/\*.*?\*/", "", sheet.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert not [line.strip() for line in rules.splitlines() if "{" not in line and COLOUR.search(line)]


def test_every_token_that_is_used_exists_and_every_one_that_exists_is_used() -> None:
    given = set(re.findall(r"(--[\w-]+):", (ASSETS / "styles" / "tokens.css").read_text(encoding="utf-8")))
    rules = "\n".join(sheet.read_text(encoding="utf-8") for sheet in SHEETS)
    used = set(re.findall(r"var\((--[\w-]+)\)", rules))
    assert used <= given
    assert not given - used


def test_the_lock_names_hashes_and_no_address() -> None:
    lock = json.loads((ASSETS / "package-lock.json").read_text(encoding="utf-8"))
    # what is in another's bundle came with that one, whose hash it has
    packages = {name: package for name, package in lock["packages"].items() if name and not package.get("inBundle")}
    assert packages
    assert not [name for name, package in packages.items() if "resolved" in package or not package["integrity"].startswith("sha512-")]
    assert "://" not in json.dumps({name: {k: v for k, v in p.items() if k != "funding"} for name, p in packages.items()})


def test_what_is_declared_is_pinned() -> None:
    package = json.loads((ASSETS / "package.json").read_text(encoding="utf-8"))
    versions = [*package["dependencies"].values(), *package["devDependencies"].values()]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions)


def test_a_script_makes_elements_and_reads_no_markup() -> None:
    risky = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|createContextualFragment|DOMParser")
    scripts = "\n".join(p.read_text(encoding="utf-8") for p in (ASSETS / "src").rglob("*.ts"))
    assert not risky.findall(scripts)
