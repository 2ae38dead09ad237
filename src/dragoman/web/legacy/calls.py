"""The table of the calls (``ROWS``). To add one: a row. New things belong into ``web.api``."""

from __future__ import annotations

from dragoman.web.legacy import accounts, entrance, house, tokens, usage
from dragoman.web.legacy.rows import Row

ROWS: tuple[Row, ...] = (
    Row("POST", "/v1/adduser", "self", tokens.add_user, plain=True),
    Row("POST", "/v1/queryuser", "self", tokens.query_user, plain=True),
    Row("POST", "/v1/validate", "any", house.validate),
    Row("GET", "/usage/me", "user", usage.own),
    Row("GET", "/usage/api-key/{id}", "any", usage.of_key),
    Row("GET", "/usage/api-key/{id}/by-backend", "any", usage.of_key_by_backend),
    Row("GET", "/settings/model", "user", house.read_model),
    Row("PUT", "/settings/model", "user", house.write_model),
    Row("GET", "/status", "admin", house.status),
    Row("POST", "/admin/login", "open", entrance.log_in),
    Row("POST", "/admin/logout", "open", entrance.log_out),
    Row("GET", "/admin/users", "admin", accounts.list_users),
    Row("POST", "/admin/users", "admin", accounts.create_user),
    Row("POST", "/admin/users/batch", "admin", accounts.create_users),
    Row("DELETE", "/admin/users/{id}", "admin", accounts.remove_user),
    Row("GET", "/admin/users/{id}/usage/by-backend", "admin", usage.of_user_by_backend),
    Row("POST", "/admin/users/{id}/generate-and-send-key", "admin", accounts.no_mail),
    Row("POST", "/admin/send-api-key-email", "admin", accounts.no_mail),
    Row("GET", "/admin/api-keys", "admin", accounts.list_keys),
    Row("POST", "/admin/api-keys", "admin", accounts.create_key),
    Row("DELETE", "/admin/api-keys/{id}", "admin", accounts.end_key),
    Row("GET", "/admin/usage/by-backend", "admin", usage.by_backend),
)
