"""Governance: what is remembered about every change, and the proof that nobody rewrote it.

Language: an *entry* says who did what to which target; entries of one organisation form its *trail*; a *seal* closes a batch of committed
entries and
names the seal before it, so that seals form a *chain*; the newest seal's hash is the *head*; a *commitment* stands in an entry for a
personal value,
which is kept apart and can be erased.

Owner: the governance team (CODEOWNERS).
"""
