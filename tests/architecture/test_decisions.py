"""Decisions are recorded in one form, and what they say confirms them exists."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

from shared_kernel.unit_of_work import UnitOfWork

ROOT = Path(__file__).resolve().parents[2]
RECORDS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
PARTS = ["Context", "Decision", "Consequences", "Alternatives", "Confirmed by"]


def test_records_are_numbered_without_gaps() -> None:
    assert [int(record.name[:4]) for record in RECORDS] == list(range(1, len(RECORDS) + 1))
    assert len(RECORDS) >= 13


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_record_has_its_parts_one_quotable_line_and_tests_that_exist(record: Path) -> None:
    text = record.read_text()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == PARTS
    assert len(re.findall(r"^> .+$", text, re.MULTILINE)) == 1
    confirmed = text.partition("## Confirmed by")[2]
    named = re.findall(r"`(tests/[^`]+)`", confirmed)
    assert named, "a decision without a test is a wish"
    missing = [name for name in named if not (ROOT / name).exists()]
    assert missing == []


def test_the_index_names_every_record() -> None:
    index = (ROOT / "docs" / "adr" / "README.md").read_text()
    assert [record.name for record in RECORDS if f"({record.name})" not in index] == []


# ADR 4: who may join another context's transaction.
CLOSED_LIST = {
    "contracts.billing.commands.BillingAccounts.open",
    "contracts.billing.commands.Quotas.give_back",
    "contracts.billing.commands.Quotas.release",
    "contracts.billing.commands.Quotas.reserve",
    "contracts.billing.commands.Quotas.settle",
    "contracts.billing.commands.Quotas.take",
    "contracts.governance.commands.AuditTrail.append",
    "contracts.identity.commands.Confirmations.confirm",
}


def test_only_the_closed_list_joins_another_contexts_transaction() -> None:
    joining = set()
    for path in sorted((ROOT / "contracts").rglob("*.py")):
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
        for _, owner in inspect.getmembers(module, inspect.isclass):
            if owner.__module__ != module.__name__:
                continue
            for name, method in inspect.getmembers(owner, inspect.isfunction):
                if UnitOfWork in {parameter.annotation for parameter in inspect.signature(method).parameters.values()}:
                    joining.add(f"{module.__name__}.{owner.__name__}.{name}")
    assert joining == CLOSED_LIST
