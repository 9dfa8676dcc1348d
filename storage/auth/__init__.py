"""Users, passwords, roles and rights, logins, and the audit log."""
