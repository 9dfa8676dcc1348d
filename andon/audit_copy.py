"""A copy of the audit log in a file, to be kept where who can write the database can't write."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from andon.cli.output import rfc3339
from andon.errors import CommandFailed
from foundation.private_files import create_private_file
from storage.auth import audit_chain
from storage.auth.audit_chain import CONTENT, ChainedEntry


def extend(session: Session, path: Path) -> int:
    """Append the entries that the file lacks, oldest first, and return how many.

    Raises:
        CommandFailed: The file is no copy of this log, or can't be written.
    """
    compare(session, path)
    last_id = max((int(line["id"]) for line in _lines(path)), default=0)
    added = 0
    try:
        create_private_file(path)
        with path.open("a", encoding="utf-8") as file:
            for entry in audit_chain.entries(session, after_id=last_id):
                file.write(json.dumps(_as_json(entry), ensure_ascii=True, separators=(",", ":")) + "\n")
                added += 1
    except OSError as error:
        raise CommandFailed(f"The copy {path} can't be written: {error.strerror}.") from None
    return added


def compare(session: Session, path: Path) -> int:
    """Return the number of entries in the file, each of which the log holds unchanged; none where it is missing.

    Raises:
        CommandFailed: An entry of the file is not in the log, or another one; or the file is no copy.
    """
    stored: Iterator[ChainedEntry] = audit_chain.entries(session)
    count = 0
    for line in _lines(path):
        count += 1
        entry = next(stored, None)
        if entry is None or _as_json(entry) != line:
            raise CommandFailed(
                f"The audit log is not the one in {path}: its entry {line['id']} is missing or was changed since."
            )
    return count


def _as_json(entry: ChainedEntry) -> dict[str, Any]:
    content = {name: entry.content[name] for name in CONTENT} | {"at": rfc3339(entry.content["at"])}
    return {"id": entry.id, **content, "hash": entry.hash}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    try:
        with path.open(encoding="utf-8") as file:
            for text in file:
                line = json.loads(text)
                if not isinstance(line, dict) or not isinstance(line.get("id"), int):
                    raise ValueError
                yield line
    except OSError as error:
        raise CommandFailed(f"The copy {path} can't be read: {error.strerror}.") from None
    except ValueError:
        raise CommandFailed(
            f"{path} is no copy of an audit log: name a new file, or one that this command wrote."
        ) from None
