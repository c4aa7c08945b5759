"""Every operation of the description, called with whatever its schema allows and with what it forbids, by somebody who may do everything.

No answer is a server error, none is undescribed, and what the schema forbids is refused. Schemathesis makes the requests: the examples, the
corners of every schema, then random ones. `CONTRACT_EXAMPLES` is how many of the latter for each operation.
"""

import os
from typing import Any

import schemathesis
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from entrypoints.http.openai_errors import is_openai
from tests.contract.owner import Owner
from tests.fixtures.described import PUBLISHED, document

EXAMPLES = int(os.environ.get("CONTRACT_EXAMPLES", "5"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
ENDS_THE_SESSION = {"/api/v1/auth/logout", "/api/v1/organizations/{organization_id}/switch"}
_STRANGERS = 4
"""One in so many ids stays as it was made: an object that there is not."""

MADE_TO_BE_DELETED = {
    path
    for path, operations in document()["paths"].items()
    if "post" in operations and any("delete" in below for at, below in document()["paths"].items() if at.startswith(path + "/{"))
}

NO_SUCCESS = {
    "POST /api/v1/auth/verify-email": "needs a mailed proof",
    "POST /api/v1/auth/refresh": "needs a refresh token, which works once",
    "POST /api/v1/auth/login": "the example's account is none of this installation",
    "DELETE /api/v1/members/{member_id}": "there is one member, the last owner, who must stay",
    "GET /api/v1/downloads/{token}": "the token is signed; nobody makes one up",
    "PATCH /api/v1/members/{member_id}": "same, and an owner only becomes one of lower rank",
}
answered: dict[str, set[int]] = {}

schema = schemathesis.openapi.from_path(PUBLISHED)
schema.config.generation.update(
    modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE],
    max_examples=EXAMPLES,
    deterministic=True,
    no_shrink=True,
    with_security_parameters=False,
)


@schema.parametrize()
def test_an_operation_answers_as_it_is_described(case: Case[Any], owner: Owner) -> None:
    if case.operation.label not in answered and owner.has_changed:
        owner.lost_something()  # what the operations before left of the objects may be in no state for this one
    aim(case, owner)
    headers = owner.key if is_openai(case.path) else owner.fresh_session() if case.path in ENDS_THE_SESSION else owner.headers
    answer = case.call_and_validate(base_url=owner.demo.base_url, headers=headers, checks=CHECKS, timeout=30)
    if case.method.upper() == case.operation.method.upper():  # a method that is not there is tried, too
        answered.setdefault(case.operation.label, set()).add(answer.status_code)
    owner.has_changed = owner.has_changed or (case.method.upper() != "GET" and answer.status_code < 300)
    if case.method.upper() == "DELETE" and answer.status_code == 204:
        owner.lost_something()
    elif case.method.upper() == "POST" and answer.status_code in {201, 202} and case.path in MADE_TO_BE_DELETED:
        owner.delete(f"{answer.request.url}/{answer.json()['id']}")


def test_the_operations_were_reached() -> None:
    """A suite that was refused everywhere would find nothing: what was called also succeeded."""
    assert answered
    closed = {name: sorted(seen) for name, seen in answered.items() if not any(200 <= status < 300 for status in seen)}
    assert set(closed) <= set(NO_SUCCESS), closed


def aim(case: Case[Any], owner: Owner) -> None:
    """Let most requests reach an object that is there, in the owner's own organisation: elsewhere everything is 404."""
    for place, where in ((case.path_parameters, ParameterLocation.PATH), (case.body, ParameterLocation.BODY)):
        if isinstance(place, dict) and _is_meant_well(case, where):
            for name, value in place.items():
                if name in owner.ids and isinstance(value, str) and sum(map(ord, value)) % _STRANGERS:
                    place[name] = owner.ids[name]
    if _is_meant_well(case, ParameterLocation.HEADER) and len(str(case.headers)) % _STRANGERS:
        for name in ("Luneo-Organization", "If-Match"):
            case.headers.pop(name, None)


def _is_meant_well(case: Case[Any], where: ParameterLocation) -> bool:
    component = case.meta.components.get(where) if case.meta else None
    return component is None or component.mode is GenerationMode.POSITIVE
