"""The uploads in parts that have begun, so that what a killed run leaves of one is aborted by the next."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import delete, insert, select

from bisyncer.model import Side
from bisyncer.state import schema
from bisyncer.state.database import Database


class Uploads:
    """The uploads of all pairs in one database."""

    def __init__(self, database: Database, now_ns: Callable[[], int]) -> None:
        self._database = database
        self._now_ns = now_ns

    def begin(self, pair_id: int, side: Side, key: str, upload: str) -> None:
        """Remember an upload that was begun; it is kept when this returns."""
        with self._database.write() as connection:
            connection.execute(
                insert(schema.upload).values(
                    pair_id=pair_id, side=side.value, upload_id=upload, key=key, began_ns=self._now_ns()
                )
            )

    def end(self, pair_id: int, side: Side, upload: str) -> None:
        """Forget an upload that was published or aborted."""
        table = schema.upload.c
        with self._database.write() as connection:
            connection.execute(
                delete(schema.upload).where(
                    table.pair_id == pair_id, table.side == side.value, table.upload_id == upload
                )
            )

    def of_pair(self, pair_id: int) -> list[tuple[Side, str, str]]:
        """The side, the key and the id of each upload that has not ended, as far as is known."""
        table = schema.upload.c
        statement = select(table.side, table.key, table.upload_id).where(table.pair_id == pair_id)
        with self._database.read() as connection:
            return [(Side(row.side), row.key, row.upload_id) for row in connection.execute(statement)]
