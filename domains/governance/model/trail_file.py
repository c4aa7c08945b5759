"""An exported trail: JSON lines that can be verified without a database.

The first line describes the trail; then each seal follows the entries it covers; then come the entries that are not sealed yet; the last
line counts both. Entries that a seal covers are proven. No hash covers `exported_at` and `sealed_below` of the first line, the last line
and what no seal covers: whoever wrote the file says so, and it proves nothing.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO, TypeVar
from uuid import UUID

from domains.governance.model.audit_entry import AuditEntry, PersonalValue
from domains.governance.model.audit_seal import AuditSeal
from domains.governance.model.canonical_json import as_json, canonical_json, time_text, uuid_text
from domains.governance.model.verification import Fault, FaultKind, TrailReport, TrailVerifier

TRAIL_FORMAT = "luneo.audit-trail.v1"
#: The longest line that is read, in bytes: the seal of some 100,000 entries. A batch has a few thousand.
LONGEST_LINE = 16 * 2**20
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailFileHeader:
    """What the file is: whose trail, how far sealing had got when it was written, and when that was."""

    organization_id: UUID | None
    sealed_below: int
    exported_at: datetime


def header_line(header: TrailFileHeader) -> bytes:
    """Return the first line."""
    return _line(
        {
            "type": "trail",
            "format": TRAIL_FORMAT,
            "organization_id": uuid_text(header.organization_id),
            "sealed_below": str(header.sealed_below),
            "exported_at": time_text(header.exported_at),
        }
    )


def entry_line(entry: AuditEntry) -> bytes:
    """Return an entry's line, with those personal values that `entry` holds."""
    personal = {name: {"salt": kept.salt.hex(), "value": kept.value} for name, kept in entry.personal.items()}
    return _line({"type": "entry", **entry.sealed_content(), "personal": personal})


def seal_line(seal: AuditSeal) -> bytes:
    """Return a seal's line."""
    return _line(
        {
            "type": "seal",
            "organization_id": uuid_text(seal.organization_id),
            "sequence": seal.sequence,
            "sealed_below": str(seal.sealed_below),
            "leaves": [[str(entry_id), digest.hex()] for entry_id, digest in seal.entry_hashes()],
            "merkle_root": seal.merkle_root.hex(),
            "previous_hash": seal.previous_hash.hex(),
            "seal_hash": seal.seal_hash.hex(),
            "sealed_at": time_text(seal.sealed_at),
        }
    )


def last_line(*, entries: int, seals: int) -> bytes:
    """Return the last line, which says that the file is whole."""
    return _line({"type": "end", "entries": entries, "seals": seals})


def verify_file(lines: Iterable[str | bytes], *, expected_head: str | None = None) -> TrailReport:
    """Verify an exported trail; needs neither a database nor us.

    `expected_head` is a head that was published or noted earlier. A file that is cut short, that can be read in two ways, or that is no
    trail at all is reported as `file_damaged`. Raises `InvalidInput` for an `expected_head` that can't be one.
    """
    verifier = TrailVerifier(None, expected_head=expected_head)
    try:
        return _verified(lines, expected_head)
    except _Damaged as damage:
        verifier.fault = Fault(FaultKind.FILE_DAMAGED, None, None, str(damage))
    except RecursionError:  # wherever the depth was met: reading, writing it again, hashing
        verifier.fault = Fault(FaultKind.FILE_DAMAGED, None, None, "a line is nested more deeply than any that we write")
    return verifier.report()


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of `file`. One that is too long comes in pieces that are, so that memory stays bounded whatever is in it."""
    while line := file.readline(LONGEST_LINE + 1):
        yield line


class _Damaged(Exception):
    pass


def _verified(lines: Iterable[str | bytes], expected_head: str | None) -> TrailReport:
    read = _read(lines)
    header = _first(read)
    verifier = TrailVerifier(header.organization_id, expected_head=expected_head)
    sealed_below = header.sealed_below
    entries = seals = 0
    waiting: list[AuditEntry] = []
    whole = False
    for line in read:
        if whole:
            raise _Damaged(f"line {line[0]} comes after the end")
        kind = line[1].get("type")
        if kind == "entry":
            waiting.append(_decoded(line, _entry, entry_line))
            entries += 1
        elif kind == "seal":
            verifier.check_seal(_decoded(line, _seal, seal_line), waiting)
            waiting = []
            seals += 1
        elif kind == "end":
            if line[1].keys() != _END:
                raise _Damaged(f"line {line[0]} holds something else than its type says")
            if verifier.fault is None and (line[1].get("entries"), line[1].get("seals")) != (entries, seals):
                verifier.check_unsealed(waiting, sealed_below=sealed_below)
                if verifier.fault is None:
                    raise _Damaged(f"line {line[0]} counts other entries and seals than the file holds")
            whole = True
        else:
            raise _Damaged(f"line {line[0]} is of no known type")
    verifier.check_unsealed(waiting, sealed_below=sealed_below)
    if not whole and verifier.fault is None:
        raise _Damaged("the file ends before its last line: it was cut short")
    return verifier.report()


_Line = tuple[int, dict[str, Any]]
_END = frozenset({"type", "entries", "seals"})


def _first(read: Iterator[_Line]) -> TrailFileHeader:
    first = next(read, None)
    if first is None or first[1].get("format") != TRAIL_FORMAT:
        raise _Damaged(f"the first line does not say {TRAIL_FORMAT}")
    return _decoded(first, _header, header_line)


def _read(lines: Iterable[str | bytes]) -> Iterator[_Line]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if len(line) > LONGEST_LINE:
            raise _Damaged(f"line {number} is longer than {LONGEST_LINE} bytes")
        try:
            value = json.loads(line, object_pairs_hook=_once_each)
        except _Damaged as damage:
            raise _Damaged(f"line {number} {damage}") from None
        except ValueError as error:
            raise _Damaged(f"line {number} is not JSON") from error
        if not isinstance(value, dict):
            raise _Damaged(f"line {number} is not a JSON object")
        yield number, value


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object. A name that comes twice means one thing to us and another to the next reader (RFC 8259, section 4)."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _Damaged("says one name twice in an object")
    return value


def _decoded(line: _Line, decode: Callable[[Mapping[str, Any]], _T], encode: Callable[[_T], bytes]) -> _T:
    """Return what the line holds. It holds nothing else: what no hash covers could be taken for a part of the trail."""
    try:
        value = decode(line[1])
        whole = json.loads(encode(value)) == line[1]
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise _Damaged(f"line {line[0]} does not hold what its type says") from error
    if not whole:
        raise _Damaged(f"line {line[0]} holds something else than its type says")
    return value


def _header(line: Mapping[str, Any]) -> TrailFileHeader:
    return TrailFileHeader(
        organization_id=_organization(line), sealed_below=int(line["sealed_below"]), exported_at=moment(line["exported_at"])
    )


def _entry(line: Mapping[str, Any]) -> AuditEntry:
    return AuditEntry(
        id=UUID(line["id"]),
        organization_id=_organization(line),
        transaction=int(line["transaction"]),
        recorded_at=moment(line["recorded_at"]),
        actor_kind=line["actor_kind"],
        actor_id=None if line["actor_id"] is None else UUID(line["actor_id"]),
        actor_role=line["actor_role"],
        action=line["action"],
        target=line["target"],
        target_id=UUID(line["target_id"]),
        before=line["before"],
        after=line["after"],
        commitments=line["commitments"],
        request_id=line["request_id"],
        personal={name: PersonalValue(bytes.fromhex(kept["salt"]), kept["value"]) for name, kept in line["personal"].items()},
    )


def _seal(line: Mapping[str, Any]) -> AuditSeal:
    return AuditSeal(
        organization_id=_organization(line),
        sequence=int(line["sequence"]),
        sealed_below=int(line["sealed_below"]),
        leaves=b"".join([UUID(entry_id).bytes + bytes.fromhex(digest) for entry_id, digest in line["leaves"]]),
        merkle_root=bytes.fromhex(line["merkle_root"]),
        previous_hash=bytes.fromhex(line["previous_hash"]),
        seal_hash=bytes.fromhex(line["seal_hash"]),
        sealed_at=moment(line["sealed_at"]),
    )


def moment(text: str) -> datetime:
    """Return the aware UTC time that an RFC 3339 text names. Raises `ValueError`."""
    value = datetime.fromisoformat(text)
    if value.tzinfo is None:
        raise ValueError("a time names its zone")
    return value.astimezone(UTC)


def _organization(line: Mapping[str, Any]) -> UUID | None:
    value = line.get("organization_id")
    try:
        return None if value is None else UUID(value)
    except (ValueError, AttributeError, TypeError) as error:
        raise _Damaged("an organisation's id is not an id") from error


def _line(value: Mapping[str, object]) -> bytes:
    return canonical_json(as_json(value)) + b"\n"
