"""Plans, subscriptions, quotas and usage.

Purpose: say what an organisation may use, hold it before it is spent, and count what was spent exactly once.

Language: a *plan* gives *allowances* (limits with their overage) and *features*; a *subscription* is an organisation's plan with its add-
ons; a *counter* is what was
taken of one metric in one *period* (or, for a *capacity*, ever); a *reservation* holds quantities until it is *settled*, *released* or
*expired*; a *usage
event* is what was really used, written once and never changed.

Owner: the billing team (CODEOWNERS).
"""
