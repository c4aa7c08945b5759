"""Removing files that no source names: their upload was cut off before it was kept, or their removal was."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from domains.conversational_ai.ports.named_uploads import NamedUploads
from domains.conversational_ai.ports.object_store import ObjectStore, SourceObjects
from shared_kernel.clock import Clock

LEAST_AGE = timedelta(days=1)
"""Far longer than a file may wait between its last byte and the transaction that names it."""
_BATCH = 500

_Uploads = dict[UUID, SourceObjects]


@dataclass(frozen=True, slots=True)
class SweepOrphanObjectsHandler:
    """Runs each day in the scheduler."""

    objects: ObjectStore
    uploads: NamedUploads
    clock: Clock

    async def __call__(self) -> int:
        """Look at every file that is older than a day, remove those that nothing names, and return how many.

        Objects that are not a source's are left alone. Each organisation's files are looked up as that organisation.
        Raises `Unavailable` when the store or the database does not answer; the next run goes on.
        """
        swept = 0
        batch: defaultdict[UUID, _Uploads] = defaultdict(dict)
        async for key in self.objects.older(self.clock.now() - LEAST_AGE):
            found = SourceObjects.of(key)
            if found is None:
                continue
            kept, upload_id = found
            batch[key.organization_id][upload_id] = kept
            if sum(map(len, batch.values())) >= _BATCH:
                swept += await self._sweep(batch)
                batch.clear()
        return swept + await self._sweep(batch)

    async def _sweep(self, batch: dict[UUID, _Uploads]) -> int:
        swept = 0
        for organization_id, uploads in batch.items():
            source_ids = {kept.source_id for kept in uploads.values()}
            named = await self.uploads.named(organization_id, source_ids=source_ids, upload_ids=uploads.keys())
            for upload_id in uploads.keys() - named:
                await self.objects.delete_below(uploads[upload_id].upload(upload_id))
                swept += 1
        return swept
