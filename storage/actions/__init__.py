"""Audited actions: every change that a person makes from a page, a command or the API.

Each function authorizes the actor, makes the change and records it in the audit log, all in the caller's one
transaction. Each of them raises `PermissionDenied`, besides what its docstring names. Workers change data through the
other packages of `storage` (docs/adr/0019).
"""
