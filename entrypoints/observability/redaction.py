"""What must never leave the process in a log line.

Two nets: the name of a key hides its whole value, and patterns hide what looks like a credential or a person's address inside any text.
"""

import re
from collections.abc import Mapping, MutableMapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from pathlib import PurePath
from typing import Final, cast
from uuid import UUID

REDACTED: Final = "[redacted]"

_SENSITIVE_WORDS: Final = frozenset(
    {
        *("password", "passwords", "passwd", "pwd", "passphrase", "secret", "secrets", "credential", "credentials", "otp", "totp", "pin"),
        *(
            "token",
            "tokens",
            "jwt",
            "bearer",
            "authorization",
            "authentication",
            "auth",
            "cookie",
            "cookies",
            "apikey",
            "signature",
            "csrf",
        ),
        *("email", "emails", "mail", "recipient", "recipients", "name", "names", "firstname", "lastname", "fullname", "username", "login"),
        *("phone", "address", "addresses", "addr", "ip", "ips", "forwarded", "birthday", "birthdate", "iban"),
        *("content", "contents", "text", "html", "body", "prompt", "prompts", "question", "answer", "quote", "payload", "query", "locals"),
    },
)
_SENSITIVE_PAIRS: Final = ("api_key", "private_key", "secret_key", "access_key", "user_agent", "x_real_ip", "session_key")
_HARMLESS_KEYS: Final = frozenset(
    {
        *("content_type", "content_length", "logger_name", "event_name", "func_name", "thread_name", "process_name", "task_name"),
        *("actor_name", "queue_name", "model_name", "step_name", "policy_name", "metric_name", "exc_name", "listen_host", "listen_address"),
    },
)
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_WORDS: Final = (str, PurePath, BaseException)
_SCALARS: Final = (*_WORDS, int, float, Decimal, UUID, datetime, date, time, timedelta)
_TEXT_MAXIMUM: Final = 16_384
_DEPTH_MAXIMUM: Final = 16

# Every repetition is bounded or can't overlap its successor, so that no text makes a pattern slow.
_PATTERNS: Final = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(?i)\b(bearer|digest|negotiate)\s+[A-Za-z0-9._~+/=\-]{6,}", rf"\1 {REDACTED}"),
        (r"(?i)\bbasic\s+(?=[A-Za-z]{0,60}[0-9+/=])[A-Za-z0-9+/]{4,}={0,2}", f"Basic {REDACTED}"),
        (r"\blun_(live|sbx)_[0-9A-Za-z]{4,}", rf"lun_\1_{REDACTED}"),
        (r"\b(lat|lrt|lct|lve|lrp|lce|lai|lsf|lss)_[A-Za-z0-9_\-]{8,}", rf"\1_{REDACTED}"),
        (r"\b(?:sk|pk|rk|whsec|ghp|gho|ghs|xoxb|xoxp)[-_][A-Za-z0-9_\-]{8,}", REDACTED),
        (r"\bAKIA[0-9A-Z]{12,}", REDACTED),
        (r"\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{4,}(?:\.[A-Za-z0-9_\-]*)?", REDACTED),
        (r"\$(argon2(?:id|i|d)|2[aby])\$\S{8,}", REDACTED),
        (r"-----BEGIN [A-Z ]{1,40}-----[^-]{0,16000}(?:-----END [A-Z ]{1,40}-----)?", REDACTED),
        (r"://[^\s/@:]{0,256}:[^\s/@]{0,256}@", f"://{REDACTED}@"),
        (
            (
                r"(?i)(?<![A-Za-z])((?:[a-z]{1,20}[_\-]){0,3}(?:password|passwd|pwd|secret|token|api[_\-]?key|authorization|cookie|code_verifier|otp))"
                r"([\"']?\s{0,4}[:=]\s{0,4})(\"[^\"]{0,4096}\"?|'[^']{0,4096}'?|[^\s\"',;&}\)\]]{1,4096})"
            ),
            rf"\1\2{REDACTED}",
        ),
        (r"(?i)([?&](?:code|state|key|sig|signature|assertion|session)=)[^&\s\"'#]{1,4096}", rf"\1{REDACTED}"),
        (r"[^\s@<>\"'(),;:=\[\]/\\]{1,64}(?:@|%40)[^\s@<>\"'(),;:=\[\]/\\&?]{1,190}\.[^\s@<>\"'(),;:=\[\]/\\&?.]{2,63}", f"{REDACTED}@"),
        (r"(?<![\w.])(?!127\.|0\.0\.0\.0)(?:\d{1,3}\.){3}\d{1,3}(?![\w.]\d)", "[redacted ip]"),
        (r"(?<![\w:.])[0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{0,4}){3,7}(?![\w:])", "[redacted ip]"),
    )
)
# Identifiers, times and lone words are most of what is logged, and the time's colons would cost it every pattern.
_PLAIN: Final = re.compile(r"[A-Za-z]{0,16}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]{0,7}Z")
# A text without any of these holds nothing that a pattern hides: most log lines end here.
_WORTH_A_LOOK: Final = re.compile(
    r"(?i)@|%40|://|\$argon|\$2[aby]\$|BEGIN |eyJ|akia|(?:l[a-z]{2}|[spr]k|whsec|gh[pos]|xox[bp])[-_]"
    r"|bearer|basic|digest|negotiate|pass|pwd|secret|token|key|auth|cookie|otp|verifier"
    r"|\d\.\d|:[0-9a-f]{0,4}:|[?&]",
)


def redact(_logger: object, _method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    """Hide what is secret or personal in `event`: a structlog processor, to run last before rendering."""
    for key, value in event.items():
        event[key] = _value(key, value, 0)
    return event


def redact_text(text: str) -> str:
    """Return `text`, at most 16,384 characters of it, with everything hidden that looks like a credential or an address."""
    if len(text) > _TEXT_MAXIMUM:
        text = text[:_TEXT_MAXIMUM] + "…"
    if _PLAIN.fullmatch(text) is not None or _WORTH_A_LOOK.search(text) is None:
        return text
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


@lru_cache(maxsize=4096)
def is_sensitive_key(key: str) -> bool:
    """Tell whether the value of `key` is never shown, however the words in it are joined (`userEmail`, `USER-EMAIL`, `user_email`)."""
    words = [word.lower() for word in _WORD.findall(key)]
    joined = "_".join(words)
    if joined in _HARMLESS_KEYS:
        return False
    return any(word in _SENSITIVE_WORDS for word in words) or any(pair in joined for pair in _SENSITIVE_PAIRS)


def _value(key: object, value: object, depth: int) -> object:
    kind = value.__class__
    if value is None or kind is bool:
        return value
    if isinstance(key, str) and is_sensitive_key(key):
        # counts such as tokens_in are figures, not secrets; a PIN or a phone number is not a count
        return value if isinstance(value, int | float) and "tokens" in key.lower() else REDACTED
    if kind is str:
        return redact_text(cast("str", value))
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, _SCALARS):
        return _scalar(value)
    if depth >= _DEPTH_MAXIMUM:
        return REDACTED
    if isinstance(value, Mapping):
        return {redact_text(str(inner)): _value(inner, item, depth + 1) for inner, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_value(None, item, depth + 1) for item in value]
    # the words of an unknown object are not ours to judge
    return f"<{type(value).__qualname__}>"


def _scalar(value: object) -> object:
    if isinstance(value, _WORDS):
        return redact_text(str(value))
    return value if isinstance(value, int | float) else str(value)
