"""What pages say, in French and English: one catalogue for each language, for templates and scripts alike."""

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent / "catalogues"


class Language(StrEnum):
    """A language that pages are written in."""

    ENGLISH = "en"
    FRENCH = "fr"


CATALOGUES: Final[Mapping[Language, Mapping[str, str]]] = {
    language: json.loads((_FOLDER / f"{language}.json").read_text(encoding="utf-8")) for language in Language
}


class Texts:
    """The texts in one language. Called with a key and the values of its `{places}`."""

    def __init__(self, language: Language) -> None:
        self._catalogue = CATALOGUES[language]

    def __call__(self, key: str, **values: object) -> str:
        """Return the text. Raises `KeyError` for an unknown key or a missing value."""
        text = self._catalogue[key]
        return text.format_map(values) if values else text

    def known(self, key: str, otherwise: str) -> str:
        """Return the text of `key` where there is one, else `otherwise`: for codes that come from rules."""
        return self._catalogue.get(key, otherwise)


TEXTS: Final = {language: Texts(language) for language in Language}


def language_named(name: str | None) -> Language | None:
    """Return the language of a name such as `fr` or `fr-CA`, or `None` for one that pages are not written in."""
    try:
        return Language((name or "").partition("-")[0].strip().lower())
    except ValueError:
        return None


def preferred(accept_language: str) -> Language:
    """Return the language of ours that the header `Accept-Language` weighs highest (RFC 9110, section 12.5.4), else English."""
    best, best_weight = Language.ENGLISH, 0.0
    for choice in accept_language.split(","):
        name, *parameters = (part.strip() for part in choice.split(";"))
        language = language_named(name)
        weight = next((_weight(p.removeprefix("q=")) for p in parameters if p.startswith("q=")), 1.0)
        if language is not None and weight > best_weight:
            best, best_weight = language, weight
    return best


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
