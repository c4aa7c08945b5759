"""What a failing statement means, said in the domain's errors.

A statement refuses in two ways: `luneo.require(ok, code, detail)` raises SQLSTATE LU001 with `code`, and a constraint raises
with its name. Each context
registers the errors behind its codes and constraint names once, when its adapter is imported.
"""

import json
from collections.abc import Callable, Mapping

import psycopg
from psycopg import errors

from shared_kernel.errors import Conflict, FieldError, InvalidInput, LuneoError, Unavailable

Refusal = Callable[[Mapping[str, object]], LuneoError]

REQUIRE_SQLSTATE = "LU001"
_NOT_STORABLE = (errors.NumericValueOutOfRange, errors.UntranslatableCharacter, errors.CharacterNotInRepertoire)
_CLASSES_OF_THE_SERVER = frozenset({"53", "58"})
"""Insufficient resources and system errors (PostgreSQL documentation, appendix A)."""
_refusals: dict[str, Refusal] = {}


def register(code_or_constraint: str, refusal: Refusal) -> None:
    """Say which error a code of `luneo.require`, or a violated constraint of that name, stands for.

    Raises `ValueError` when the name is taken.
    """
    if code_or_constraint in _refusals:
        raise ValueError(f"{code_or_constraint} is registered already")
    _refusals[code_or_constraint] = refusal


def translated(error: psycopg.Error) -> Exception:
    """Return the domain's error for `error`, or `error` itself when it is a defect of ours."""
    name = error.diag.message_primary if error.sqlstate == REQUIRE_SQLSTATE else error.diag.constraint_name
    if name is not None and name in _refusals:
        return _refusals[name](_details(error))
    if isinstance(error, errors.SerializationFailure | errors.DeadlockDetected | errors.LockNotAvailable):
        return Conflict("Somebody else changed this at the same moment; try again")
    if isinstance(error, _NOT_STORABLE) or (isinstance(error, psycopg.DataError) and error.sqlstate is None):
        # what no column can hold came from outside: NUL in a text, a number beyond the column's range
        return InvalidInput(FieldError("request", "not_storable", "holds a NUL character or a number that is out of range"))
    if isinstance(error, errors.AdminShutdown | errors.CrashShutdown | errors.CannotConnectNow | errors.TooManyConnections):
        return Unavailable("Postgres does not answer")
    if error.sqlstate is not None and error.sqlstate[:2] in _CLASSES_OF_THE_SERVER:
        return Unavailable("Postgres lacks room or memory, or cannot read its disk")
    if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
        return Unavailable("Postgres does not answer")
    return error


def _details(error: psycopg.Error) -> Mapping[str, object]:
    detail = error.diag.message_detail
    if error.sqlstate != REQUIRE_SQLSTATE or not detail:
        return {}
    values: Mapping[str, object] = json.loads(detail)
    return values
