"""Uploads in parts: remembered in the state while they are under way, and aborted after a killed run."""

from __future__ import annotations

from collections.abc import Mapping

from bisyncer.endpoints.base import Endpoint, Upload
from bisyncer.errors import EndpointError
from bisyncer.model import Side
from bisyncer.state.lease import Lease
from bisyncer.state.store import Store


class Remembered:
    """The uploads of one side of a pair."""

    def __init__(self, store: Store, pair_id: int, side: Side) -> None:
        self._store = store
        self._pair_id = pair_id
        self._side = side

    def began(self, upload: Upload) -> None:
        """Remember it."""
        self._store.uploads.begin(self._pair_id, self._side, upload.key, upload.id)

    def ended(self, upload: Upload) -> None:
        """Forget it."""
        self._store.uploads.end(self._pair_id, self._side, upload.id)


def abort_leftovers(lease: Lease, endpoints: Mapping[Side, Endpoint], store: Store) -> int:
    """Abort what killed runs of the pair that is held have left, and return how many there were.

    What can't be aborted now is tried again by the next run: it costs storage, and nothing else.
    """
    aborted = 0
    for side, key, upload in store.uploads.of_pair(lease.pair_id):
        lease.assert_held()
        try:
            endpoints[side].abort(Upload(key, upload))
        except EndpointError:
            continue
        store.uploads.end(lease.pair_id, side, upload)
        aborted += 1
    return aborted
