"""The one list of permissions, and what the four roles hold of it.

Settled with the product: a viewer sees everything but billing; a member may resolve a conversation.
"""

from enum import StrEnum


class Role(StrEnum):
    """A member's role in an organisation."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


class Permission(StrEnum):
    """What a route may ask for."""

    AGENTS_VIEW = "agents:view"
    AGENTS_CREATE = "agents:create"
    AGENTS_EDIT = "agents:edit"
    AGENTS_DELETE = "agents:delete"
    AGENTS_PUBLISH = "agents:publish"
    CONVERSATIONS_VIEW = "conversations:view"
    CONVERSATIONS_REPLY = "conversations:reply"
    CONVERSATIONS_ESCALATE = "conversations:escalate"
    CONVERSATIONS_RESOLVE = "conversations:resolve"
    KNOWLEDGE_VIEW = "knowledge:view"
    KNOWLEDGE_MANAGE = "knowledge:manage"
    ANALYTICS_VIEW = "analytics:view"
    ANALYTICS_EXPORT = "analytics:export"
    TEAM_VIEW = "team:view"
    TEAM_INVITE = "team:invite"
    TEAM_MANAGE_ROLES = "team:manage_roles"
    TEAM_REMOVE = "team:remove"
    BILLING_VIEW = "billing:view"
    BILLING_MANAGE = "billing:manage"
    SETTINGS_VIEW = "settings:view"
    SETTINGS_MANAGE = "settings:manage"
    INTEGRATIONS_VIEW = "integrations:view"
    INTEGRATIONS_MANAGE = "integrations:manage"


_ALL = frozenset(Permission)
_VIEWER = frozenset(p for p in Permission if p.value.endswith(":view")) - {Permission.BILLING_VIEW}

PERMISSIONS_OF: dict[Role, frozenset[Permission]] = {
    Role.OWNER: _ALL,
    Role.ADMIN: _ALL - {Permission.TEAM_MANAGE_ROLES, Permission.TEAM_REMOVE, Permission.BILLING_MANAGE},
    Role.MEMBER: _VIEWER
    | {
        Permission.AGENTS_CREATE,
        Permission.AGENTS_EDIT,
        Permission.CONVERSATIONS_REPLY,
        Permission.CONVERSATIONS_ESCALATE,
        Permission.CONVERSATIONS_RESOLVE,
        Permission.KNOWLEDGE_MANAGE,
    },
    Role.VIEWER: _VIEWER,
}


def roles_with(permission: str) -> tuple[Role, ...]:
    """Return the roles that hold `permission`."""
    return tuple(role for role in Role if permission in PERMISSIONS_OF[role])
