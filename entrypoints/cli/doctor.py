"""`luneo doctor`: prints what was found."""

import asyncio

from entrypoints.composition.doctor import examine
from entrypoints.settings import Settings


def doctor(settings: Settings) -> int:
    """Check every dependency and say what to do; return 0 when all is well, else 1."""
    findings = asyncio.run(examine(settings))
    width = max(len(f.name) for f in findings)
    for finding in findings:
        print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.name:{width}}  {finding.text}")
    return 0 if all(f.ok for f in findings) else 1
