"""What the API shows of people, keys and groups. No view has a place for a secret but the answer that makes a key.

Of rules that this release cannot read it shows that nothing is allowed, and ``rules_readable`` is false until they are
said anew. It must not know where they come from.
"""

from __future__ import annotations

from dragoman.store.accounts.model import Group, Key, Person, Role
from dragoman.store.accounts.rules import NOTHING
from dragoman.web.api.rules import RulesBody, shown_rules
from dragoman.web.api.words import Shown, View


class UserView(View):
    """A user. ``tokens_before`` were used before an import and have no entries."""

    id: int
    name: str
    email: str | None
    role: Role
    active: bool
    group_id: int | None
    rules: RulesBody
    rules_readable: bool
    tokens_before: int
    origin: str
    created_at: Shown


class KeyView(View):
    """A key, without the key. ``prefix`` is its beginning, empty for short ones."""

    id: int
    user_id: int
    name: str
    prefix: str
    active: bool
    rules: RulesBody
    rules_readable: bool
    default_model: str | None
    expires_at: Shown
    last_used_at: Shown
    replaced_by: int | None
    origin: str
    created_at: Shown


class NewKeyView(KeyView):
    """A key that was just made. ``secret`` is shown here and never again; null when it was shown before."""

    secret: str | None
    secret_shown: bool = True


class GroupView(View):
    """People who share rules and budgets."""

    id: int
    name: str
    rules: RulesBody
    rules_readable: bool
    created_at: Shown


def shown_user(person: Person) -> UserView:
    """A user as clients see it."""
    return UserView(
        id=person.id,
        name=person.name,
        email=person.email,
        role=person.role,
        active=person.active,
        group_id=person.group_id,
        rules=shown_rules(person.rules),
        rules_readable=person.rules != NOTHING,
        tokens_before=person.opening_balance,
        origin=person.origin,
        created_at=person.created_at,
    )


def shown_key(key: Key) -> KeyView:
    """A key as clients see it."""
    return KeyView(
        id=key.id,
        user_id=key.user_id,
        name=key.name,
        prefix=key.prefix,
        active=key.active,
        rules=shown_rules(key.rules),
        rules_readable=key.rules != NOTHING,
        default_model=key.default_model,
        expires_at=key.expires_at,
        last_used_at=key.last_used_at,
        replaced_by=key.replaced_by,
        origin=key.origin,
        created_at=key.created_at,
    )


def new_key(key: Key, secret: str) -> NewKeyView:
    """A key and the secret that opens, for the one answer that shows it."""
    return NewKeyView(**dict(shown_key(key)), secret=secret)


def shown_group(group: Group) -> GroupView:
    """A group as clients see it."""
    return GroupView(
        id=group.id,
        name=group.name,
        rules=shown_rules(group.rules),
        rules_readable=group.rules != NOTHING,
        created_at=group.created_at,
    )
