"""The desk: what people do. Each function asks for the right, makes the change and adds to the audit log, all in the
caller's one transaction; workers use the noun modules of `storage` themselves (docs/adr/0019).
"""
