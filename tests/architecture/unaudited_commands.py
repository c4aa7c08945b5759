"""The commands that write no audit entry, each with its reason. The one list; `test_commands.py` holds everything else to the law."""

UNAUDITED = {
    "AskQuestion": "a turn's own record is its trace: question, answer, usage, steps and end are kept",
    "RegenerateAnswer": "same",
    "StopTurn": "same: the turn it stops says so",
    "RequestSignUp": "there is no organisation yet whose trail could tell it; the account's creation is audited",
    "RefreshSession": "the session's own record counts its generations; its beginning and end are audited",
    "SearchKnowledge": "reads only",
    "GetSourceContent": "reads only",
    "ListAuditEvents": "reads only",
    "VerifyAuditTrail": "reads only",
    "ExportAuditTrail": "reads only",
    "GetUsage": "reads only",
    "ListUsageEvents": "reads only",
}

TESTED_ELSEWHERE = {
    "VerifyEmail": "needs a mailed proof: test_commands.py shows its entries",
    "CreateDemoAgent": "runs when `luneo up` starts, through the same aggregates as the HTTP routes",
    "ApplyPlan": "for operators: test_commands.py shows its entry",
}
"""Audited commands that no example request reaches."""
