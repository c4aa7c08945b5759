"""The guide lists exactly the settings that exist, with their defaults."""

import re
from dataclasses import MISSING, fields
from enum import Enum
from pathlib import Path
from typing import Any

from entrypoints.settings import PREFIX, Settings

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "settings.md"
ROW = re.compile(r"^\| `(LUNEO_[A-Z0-9_]+)` \| (.+?) \| (yes|) ?\| (.+) \|$", re.MULTILINE)


def table() -> dict[str, tuple[str, bool, str]]:
    section = GUIDE.read_text(encoding="utf-8").split("## All of them")[1].split("\n## ")[0]
    return {name: (default.strip("`"), secret == "yes", meaning) for name, default, secret, meaning in ROW.findall(section)}


def written(default: Any) -> str:
    if default is MISSING:
        return "required"
    if default is None or default == ():
        return "none"
    if default == "":
        return "empty"
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, Enum):
        return str(default.value)
    if isinstance(default, float) and default.is_integer():
        return str(int(default))
    return str(default)


def test_the_guide_lists_every_setting_in_the_order_of_the_code_and_no_other() -> None:
    assert list(table()) == [PREFIX + field.name.upper() for field in fields(Settings)]


def test_the_guide_tells_the_default_and_whether_it_is_secret() -> None:
    told = {name: (default, secret) for name, (default, secret, _) in table().items()}
    assert told == {PREFIX + f.name.upper(): (written(f.default), f.metadata["secret"]) for f in fields(Settings)}
