"""How a turn is told to clients: the fields of its events, the same whether they come live or from the record."""

from domains.conversational_ai.model.citation import CitablePassage, Citation
from domains.conversational_ai.model.tool_call import ToolCall
from domains.conversational_ai.model.turn import Answer, Failure, TokenUsage


def passage_fields(passage: CitablePassage) -> dict[str, object]:
    """Return a passage that was found as clients see it."""
    return {"number": passage.number, "source_id": str(passage.source_id), "title": passage.title, "score": round(passage.score, 4)}


def completed_fields(answer: Answer) -> dict[str, object]:
    """Return what is told of a whole answer."""
    return {"message": message_fields(answer), "usage": usage_fields(answer.usage), "finish_reason": answer.finish_reason or "stop"}


def citation_fields(citation: Citation) -> dict[str, object]:
    """Return a citation as clients see it."""
    locator = citation.locator
    place = {"page": locator.page, "heading": locator.heading, "start": locator.start, "end": locator.end}
    return {
        "number": citation.number,
        "source_id": str(citation.source_id),
        "title": citation.title,
        "locator": {name: value for name, value in place.items() if value is not None},
        "quote": citation.quote,
        "score": citation.score,
    }


def message_fields(answer: Answer) -> dict[str, object]:
    """Return the stored answer as clients see it; `confidence` is null until there is a calibrated one."""
    return {
        "id": str(answer.message_id),
        "role": "assistant",
        "content": answer.content,
        "citations": [citation_fields(c) for c in answer.citations],
        "confidence": None,
        "complete": answer.complete,
        **({"tool_calls": [tool_call_fields(call) for call in answer.tool_calls]} if answer.tool_calls else {}),
    }


def tool_call_fields(call: ToolCall) -> dict[str, object]:
    """Return a call as clients see it."""
    return {"id": call.id, "name": call.name, "arguments": call.arguments}


def usage_fields(usage: TokenUsage) -> dict[str, object]:
    """Return what the answer took as clients see it."""
    return {
        "tokens_in": usage.tokens_in,
        "tokens_out": usage.tokens_out,
        "estimated": usage.estimated,
        "cost": {"amount": usage.cost, "currency": usage.currency},
    }


def problem_fields(failure: Failure) -> dict[str, object]:
    """Return a failure as clients see it inside a stream."""
    return {"code": failure.code, "title": failure.title, "detail": failure.detail, "status": 503, "retryable": failure.retryable}
