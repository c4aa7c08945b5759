"""What a client is told of its rate limit."""

from contracts.rate_limits import RateDecision
from entrypoints.http.openai_errors import is_openai


def rate_headers(decision: RateDecision, path: str) -> list[tuple[bytes, bytes]]:
    """Return `RateLimit` and `RateLimit-Policy` (IETF draft-ietf-httpapi-ratelimit-headers); under `/v1` also what OpenAI calls them."""
    policy = f'"{decision.policy}";q={decision.limit};w={decision.window_seconds}'
    state = f'"{decision.policy}";r={decision.remaining};t={decision.reset_seconds}'
    headers = [(b"ratelimit-policy", policy.encode()), (b"ratelimit", state.encode())]
    if is_openai(path):
        headers += [
            (b"x-ratelimit-limit-requests", b"%d" % decision.limit),
            (b"x-ratelimit-remaining-requests", b"%d" % decision.remaining),
            (b"x-ratelimit-reset-requests", b"%ds" % decision.reset_seconds),
        ]
    return headers
