"""French and English: the same keys, the same places, and no words anywhere else."""

import re
from pathlib import Path

import pytest

from contracts.billing.metrics import CAPACITIES, PERIODIC, Metric
from domains.conversational_ai.model.knowledge_source import SourceKind, SourceStatus, SourceStep
from domains.conversational_ai.model.unreadable_file import REASONS as FILE_REASONS
from domains.conversational_ai.model.unreadable_page import UnreadablePage
from entrypoints.web.texts import CATALOGUES, TEXTS, Language, preferred

WEB = Path(__file__).resolve().parents[2] / "entrypoints" / "web"
REFERENCE = "page.html"  # the frame of the API's reference, which is in English as the API is
TEMPLATES = sorted(p for p in (WEB / "templates").glob("*.html") if p.name != REFERENCE)
SCRIPTS = sorted((WEB / "assets" / "src").rglob("*.ts"))
NAMED = {"brand"}
ENGLISH, FRENCH = CATALOGUES[Language.ENGLISH], CATALOGUES[Language.FRENCH]
#: Keys that are made of a prefix and a code, a name or a form of the plural.
MADE = (
    "problem.",
    "error.",
    "metric.",
    "source.",
    "step.",
    "language.",
    "theme.",
    "welcome.",
    "design.notice.",
    "chat.found.",
    "start.base_name.",
)


def places(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


def test_both_catalogues_have_the_same_keys_in_the_same_order() -> None:
    assert list(ENGLISH) == list(FRENCH)
    assert all(text.strip() for catalogue in (ENGLISH, FRENCH) for text in catalogue.values())


def test_both_texts_of_a_key_have_the_same_places() -> None:
    wrong = [key for key in ENGLISH if places(ENGLISH[key]) != places(FRENCH[key])]
    assert not wrong


def test_french_has_its_spaces_and_apostrophes() -> None:
    wrong = [key for key, text in FRENCH.items() if "'" in text or re.search(r"\w[;!?](\s|$)", text) or re.search(r"\w: ", text)]
    assert not wrong


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda p: p.name)
def test_a_template_has_no_words_of_its_own(template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    text = re.sub(r"\{% block (kind|wide) %\}[\w ]*", "", text)  # names of classes
    bare = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "", text, flags=re.DOTALL)
    words = re.sub(r"<[^>]*>", " ", bare)
    words = re.sub(r"make pages|&\w+;", "", words)
    assert not re.findall(r"[^\W\d_]{2,}", words)
    spoken = re.findall(r'(?:aria-label|title|placeholder|alt)="([^"]*)"', bare)
    assert not [s for s in spoken if re.search(r"[^\W\d_]", s)]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_a_script_has_no_words_of_its_own(script: Path) -> None:
    code = re.sub(r"/\*.*?\*/|(?<![:\"'])//[^\n]*", "", script.read_text(encoding="utf-8"), flags=re.DOTALL)
    code = re.sub(r"new (?:Error|Unreachable)\([^)]*\)|^import .*$|class: \"[^\"]*\"", "", code, flags=re.MULTILINE)
    literals = [found[0] or found[1] for found in re.findall(r'"([^"\n]*)"|`([^`\n]*)`', code)]
    words = [text for text in literals if re.search(r"[A-Za-zÀ-ÿ]{2,} [a-zà-ÿ]{2,}", re.sub(r"\$\{[^}]*\}", "", text)) and not _known(text)]
    assert not words


def _known(text: str) -> bool:
    """Whether a literal of several words is for the browser: selectors, class names, addresses of features."""
    return text.startswith((".", "#", "[", "dialog[", "tr[")) or text in {"button[type=submit]", "noreferrer noopener"}


def test_every_text_is_used_and_every_text_that_is_used_exists() -> None:
    sources = "\n".join(p.read_text(encoding="utf-8") for p in (*TEMPLATES, *SCRIPTS))
    used = set(re.findall(r"""\b(?:t|count|known)\(\s*["'`]([\w.]+)["'`]""", sources))
    made = {key for key in ENGLISH if key.startswith(MADE)}
    missing = {key for key in used if key not in ENGLISH and not any(other.startswith(key.rstrip(".") + ".") for other in ENGLISH)}
    assert not missing
    mentioned = {key for key in ENGLISH if f'"{key}"' in sources or f"'{key}'" in sources}
    assert not set(ENGLISH) - mentioned - made - NAMED


def test_every_reason_for_which_a_source_fails_and_every_step_and_metric_has_its_words() -> None:
    codes = {f"error.{reason.code}" for reason in (*FILE_REASONS, *UnreadablePage.__subclasses__())}
    assert len(codes) > len(FILE_REASONS)
    steps = {f"step.{step}" for step in SourceStep}
    states = {f"source.{status}" for status in SourceStatus}
    kinds = {f"source.type.{kind}" for kind in SourceKind}
    metrics = {f"metric.{metric}" for metric in PERIODIC | CAPACITIES | {Metric.UPLOAD_MB}}
    assert not (codes | steps | states | kinds | metrics) - set(ENGLISH)


def test_a_text_has_its_values_and_a_missing_one_is_a_defect() -> None:
    assert TEXTS[Language.FRENCH]("problem.wait", seconds=3) == "Réessayez dans 3 s."
    with pytest.raises(KeyError):
        TEXTS[Language.ENGLISH]("problem.wait", minutes=3)
    with pytest.raises(KeyError):
        TEXTS[Language.ENGLISH]("no.such.key")


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("fr-FR,fr;q=0.9,en;q=0.8", "fr"),
        ("en;q=0.5, FR-ca;q=0.7", "fr"),
        ("de, fr;q=0.3, en;q=0.2", "fr"),
        ("fr;q=0, en", "en"),
        ("de", "en"),
        ("", "en"),
        ("fr;q=much", "en"),
        (",;;,=", "en"),
    ],
)
def test_the_browsers_languages_are_weighed(header: str, language: str) -> None:
    assert preferred(header) == language
