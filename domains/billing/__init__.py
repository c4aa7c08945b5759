"""Plans, subscriptions, quotas and usage.

Purpose: say what an organisation may use, hold it before it is spent, and count what was spent exactly once.

Language: a *plan* gives *allowances* (limits with their overage) and *features*. A *subscription* is an organisation's plan with its
add-ons. A *counter* is what was taken of one metric in one *period* (or, for a *capacity*, ever). A *reservation* holds quantities until it
is *settled*, *released* or *expired*. A *usage event* is what was really used, written once and never changed.

Owner: the billing team (CODEOWNERS).
"""
