"""The databases that MLflow may write to: what can be told of them before it does, in one line and within
seconds.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}  # where a database listens that names no port
# where a driver is not named as its package
PACKAGES = {"psycopg": "'psycopg[binary]'", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
# where MLflow keeps the addresses of files
NAMED = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
NO_FOLDER = "?#%"  # what MLflow takes for a part of an address, so that the file would lie elsewhere


def check(told: str, address: str) -> None:
    """Raise ValueError where no run can be kept there: no driver, or a file that is damaged or cannot be
    written.

    told: who named the address. A server that does not answer now may answer later, and one of HTTP is none
    of these.
    """
    if _kind(address) not in ("sqlite", *PORTS):
        return
    try:
        import sqlalchemy
    except ImportError:
        return  # no MLflow that writes to databases is installed, which is a warning of the steps

    try:
        engine = sqlalchemy.create_engine(address)
    except ImportError as error:
        driver = str(error.name)
        remedy = f"pip install {PACKAGES.get(driver, driver)}, or name another server"
        raise ValueError(
            f"{told}: {shown(address)} needs the driver {driver}, which is not installed; {remedy}"
        ) from error
    except sqlalchemy.exc.SQLAlchemyError as error:
        remedy = "give it as dialect://user:password@host:port/database"
        raise ValueError(
            f"{told}: {shown(address)} is no database's address ({shown(line(error))}); {remedy}"
        ) from error
    if engine.dialect.name == "sqlite" and engine.url.database not in (None, "", ":memory:"):
        _check_file(told, Path(engine.url.database))


def _check_file(told: str, path: Path) -> None:
    """Raise ValueError where the SQLite file is damaged or cannot be written."""
    import sqlite3

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=20, isolation_level=None)) as file:
            file.execute("BEGIN IMMEDIATE")
            found = file.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found)
    except (sqlite3.OperationalError, OSError) as error:
        if "locked" not in str(error):  # by another program, for a while
            remedy = "make it writable, or choose another place"
            raise ValueError(
                f"{told}: MLflow's database {path} cannot be written ({line(error)}); {remedy}"
            ) from error
    except sqlite3.DatabaseError as error:
        remedy = "move it away and run again: what the runs hold is sent anew"
        raise ValueError(f"{told}: {path} is no whole SQLite database ({line(error)}); {remedy}") from error


def follow(path: Path, home: str) -> None:
    """Let the database of a run that was copied or moved name the files beside it, `home`, and no others'."""
    import sqlite3

    with closing(sqlite3.connect(path, timeout=20)) as file, file:
        found = file.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
        for (old,) in found:
            if old != home and old.endswith(home.rpartition("/")[2]):
                for table, column in NAMED:
                    ours = f"UPDATE {table} SET {column} = ? || substr({column}, ?)"
                    begins = f"WHERE substr({column} || '/', 1, ?) = ?"
                    file.execute(f"{ours} {begins}", (home, len(old) + 1, len(old) + 1, f"{old}/"))


def rewrite(path: Path, change: Callable[[str], str]) -> None:
    """Change every text of an SQLite file, and leave nothing of what they were in it."""
    import sqlite3

    with closing(sqlite3.connect(path, timeout=20)) as file:
        file.execute("PRAGMA secure_delete = ON")
        with file:
            tables = file.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for (table,) in tables:
                for _, column, *_ in file.execute(f'PRAGMA table_info("{table}")').fetchall():
                    _rewrite(file, f'"{table}"', f'"{column}"', change)
        file.execute("VACUUM")
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _rewrite(file: Any, table: str, column: str, change: Callable[[str], str]) -> None:
    texts = f"SELECT DISTINCT {column} FROM {table} WHERE typeof({column}) = 'text'"
    for (old,) in file.execute(texts).fetchall():
        if change(old) != old:
            file.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (change(old), old))


def reach(address: str) -> None:
    """Raise OSError or SQLAlchemyError where a database server is away or refuses: MLflow itself would try
    for 101 s.
    """
    if _kind(address) not in PORTS:
        return
    import sqlalchemy

    url = sqlalchemy.make_url(address)
    if url.host:
        socket.create_connection((url.host, url.port or PORTS[_kind(address)]), 5).close()
    sqlalchemy.create_engine(url).connect().close()


def shown(address: str) -> str:
    """An address, or a text with one, without the account: all from // to the last @ of the word."""
    return re.sub(r"//\S*@", "//***@", address)


def line(error: BaseException) -> str:
    """An error in one line, without SQLAlchemy's hint at its documentation."""
    return " ".join(str(error).partition("(Background on this error")[0].split()) or type(error).__name__


def _kind(address: str) -> str:
    return address.partition("://")[0].partition("+")[0]
