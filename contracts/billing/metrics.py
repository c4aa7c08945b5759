"""What is counted. The one list of metrics."""

from enum import StrEnum


class Metric(StrEnum):
    """A metric that quotas limit and usage events count.

    Units: `storage_gb` is counted in bytes inside and shown in gigabytes (10^9 bytes); `upload_mb` limits the size of one upload in
    megabytes (10^6 bytes) and is not counted; tokens are model tokens; everything else counts things.
    """

    AGENTS = "agents"
    KNOWLEDGE_BASES = "knowledge_bases"
    DOCUMENTS = "documents"
    UPLOAD_MB = "upload_mb"
    STORAGE_GB = "storage_gb"
    TEAM_MEMBERS = "team_members"
    CONVERSATIONS = "conversations"
    MESSAGES_AI = "messages_ai"
    API_CALLS = "api_calls"
    TOKENS_IN = "tokens_in"
    TOKENS_OUT = "tokens_out"
    TOOL_CALLS = "tool_calls"


#: Counted per billing period; everything else that is limited is a capacity: taken when made, given back when deleted.
PERIODIC = frozenset({Metric.CONVERSATIONS, Metric.MESSAGES_AI, Metric.API_CALLS})
CAPACITIES = frozenset({Metric.AGENTS, Metric.KNOWLEDGE_BASES, Metric.DOCUMENTS, Metric.STORAGE_GB, Metric.TEAM_MEMBERS})
#: Metered without a limit.
METERED_ONLY = frozenset({Metric.TOKENS_IN, Metric.TOKENS_OUT, Metric.TOOL_CALLS})

BYTES_PER_GIGABYTE = 1_000_000_000


def shown(metric: Metric, quantity: int) -> int | float:
    """Return `quantity`, as it is counted inside, in the unit that people see.

    Gigabytes for `storage_gb`, the same number for everything else.
    """
    if metric is not Metric.STORAGE_GB:
        return quantity
    whole, rest = divmod(quantity, BYTES_PER_GIGABYTE)
    return whole if rest == 0 else quantity / BYTES_PER_GIGABYTE
