"""Languages that agents speak and that knowledge is written in."""

from enum import StrEnum


class Language(StrEnum):
    """A language an agent can answer in (ISO 639-1)."""

    FRENCH = "fr"
    ENGLISH = "en"


class KnowledgeLanguage(StrEnum):
    """A language knowledge can be written in (ISO 639-1)."""

    FRENCH = "fr"
    ENGLISH = "en"
    SPANISH = "es"
    GERMAN = "de"
    ITALIAN = "it"
    PORTUGUESE = "pt"
    DUTCH = "nl"
    ARABIC = "ar"
    CHINESE = "zh"
    JAPANESE = "ja"
    KOREAN = "ko"
