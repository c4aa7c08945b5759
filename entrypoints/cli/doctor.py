"""`luneo doctor`: prints what was found."""

import asyncio
import logging

from entrypoints.composition.doctor import examine
from entrypoints.settings import Settings


def doctor(settings: Settings, *, of_demo: bool) -> int:
    """Check every dependency and say what to do; return 0 when all is well, else 1. `of_demo`: it is a `make run` that is looked at."""
    logging.getLogger().addHandler(logging.NullHandler())  # the findings say in words what adapters would warn of
    findings = asyncio.run(examine(settings, of_demo=of_demo))
    width = max(len(f.name) for f in findings)
    for finding in findings:
        print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.name:{width}}  {finding.text}")
    return 0 if all(f.ok for f in findings) else 1
