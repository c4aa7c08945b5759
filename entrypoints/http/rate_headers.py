"""What a client is told of its rate limit."""

from contracts.rate_limits import RateDecision


def rate_headers(decision: RateDecision) -> list[tuple[bytes, bytes]]:
    """Return `RateLimit` and `RateLimit-Policy` (IETF draft-ietf-httpapi-ratelimit-headers)."""
    policy = f'"{decision.policy}";q={decision.limit};w={decision.window_seconds}'
    state = f'"{decision.policy}";r={decision.remaining};t={decision.reset_seconds}'
    return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", state.encode())]
