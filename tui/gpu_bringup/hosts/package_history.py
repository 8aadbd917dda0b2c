"""dnf's history of transactions, read from its database without changing it.

dnf 4 keeps it in /var/lib/dnf/history.sqlite, dnf 5 in
/usr/lib/sysimage/libdnf5/transaction_history.sqlite. Source of the tables and of the numbers of
actions: libdnf, libdnf/swdb/sql/create_tables.sql and TransactionItemAction (dnf 4); dnf5,
libdnf/transaction/db/sql/create_tables.sql (dnf 5).
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

_TRANSACTIONS = 400
"""Newest transactions that are looked at."""
_ACTIONS_4 = {
    1: "install", 2: "downgrade", 3: "replaced", 4: "obsolete", 5: "obsoleted", 6: "upgrade",
    7: "replaced", 8: "remove", 9: "reinstall", 10: "replaced", 11: "reason",
}  # fmt: skip
_ACTIONS_5 = {
    1: "install", 2: "upgrade", 3: "downgrade", 4: "reinstall", 5: "remove", 6: "replaced",
    7: "reason",
}  # fmt: skip
_QUERY_4 = """
SELECT trans.id, trans.dt_begin, trans.user_id, trans.cmdline, trans_item.action,
       rpm.name, rpm.version || '-' || rpm.release
FROM trans JOIN trans_item ON trans_item.trans_id = trans.id
JOIN rpm ON rpm.item_id = trans_item.item_id
WHERE trans.id > (SELECT max(id) FROM trans) - ? ORDER BY trans.id, trans_item.id"""
_QUERY_5 = """
SELECT trans.id, trans.dt_begin, trans.user_id, trans.description, trans_item.action_id,
       pkg_name.name, rpm.version || '-' || rpm.release
FROM trans JOIN trans_item ON trans_item.trans_id = trans.id
JOIN rpm ON rpm.item_id = trans_item.item_id JOIN {names} AS pkg_name ON pkg_name.id = rpm.name_id
WHERE trans.id > (SELECT max(id) FROM trans) - ? ORDER BY trans.id, trans_item.id"""


class HistoryError(Exception):
    """It can't be read; the message is for the operator."""


def read_history(path: str) -> dict[str, Any]:
    """The newest transactions, oldest first.

    Returns:
        {"transactions": [{"begin": seconds since 1970, "user": user id, "command": text,
        "items": [[action, name, version-release]]}]}.

    Raises:
        HistoryError: it is no such database, or one that is not known here.
        OSError: the file can't be read.
    """
    with Path(path).open("rb"):
        pass
    try:
        rows, actions = _read(path)
    except sqlite3.Error as error:
        raise HistoryError(f"it is no history of dnf that can be read: {error}") from error
    transactions: dict[int, dict[str, Any]] = {}
    for number, begin, user, command, action, name, version in rows:
        entry = transactions.setdefault(
            int(number),
            {
                "begin": int(begin),
                "user": int(user) if isinstance(user, int) else None,
                "command": str(command or ""),
                "items": [],
            },
        )
        entry["items"].append([actions.get(action, "other"), str(name), str(version)])
    return {"transactions": list(transactions.values())}


def _read(path: str) -> tuple[list[tuple[Any, ...]], dict[int, str]]:
    log = Path(f"{path}-wal")
    if log.exists() and log.stat().st_size:
        # The newest transactions may stand in the log only. Reading them in place would write to the
        # folder (the log's index), so a copy is read.
        with tempfile.TemporaryDirectory(prefix="gpu-bringup-") as folder:
            copy = f"{folder}/history.sqlite"
            shutil.copyfile(path, copy)
            shutil.copyfile(log, f"{copy}-wal")
            return _query(f"file:{quote(copy)}")
    # immutable: no lock is taken and no log is looked for, so nothing can be written.
    return _query(f"file:{quote(path)}?mode=ro&immutable=1")


def _query(address: str) -> tuple[list[tuple[Any, ...]], dict[int, str]]:
    connection = sqlite3.connect(address, uri=True, timeout=1.0)
    try:
        return _rows(connection)
    finally:
        connection.close()


def _rows(connection: sqlite3.Connection) -> tuple[list[tuple[Any, ...]], dict[int, str]]:
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    names = next((name for name in ("pkg_names", "pkg_name") if name in tables), "")
    if names:
        query, actions = _QUERY_5.format(names=names), _ACTIONS_5
    else:
        query, actions = _QUERY_4, _ACTIONS_4
    return connection.execute(query, (_TRANSACTIONS,)).fetchall(), actions
