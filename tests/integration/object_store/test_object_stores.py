"""Objects in a folder, and in moto's S3."""

import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.session import get_session
from moto.server import ThreadedMotoServer

from adapters.object_store.folder_object_store import FolderObjectStore
from adapters.object_store.s3_object_store import S3Bucket, S3ObjectStore
from domains.conversational_ai.ports.object_store import ObjectKey, ObjectStore, pieces, whole
from shared_kernel.errors import Unavailable
from shared_kernel.identifiers import new_id
from tests.port_contracts.object_store import ObjectStoreContract, broken

KEYS = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}


class TestFolder(ObjectStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        return FolderObjectStore(tmp_path / "objects")


async def test_files_are_this_users_alone_and_nothing_unfinished_stays(tmp_path: Path) -> None:
    folder = tmp_path / "objects"
    store = FolderObjectStore(folder)
    await store.put(ObjectKey(new_id(), "a/b"), pieces(b"secret"))
    with pytest.raises(ConnectionResetError):
        await store.put(ObjectKey(new_id(), "c"), broken())
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert [path.name for path in files] == ["b"]
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / ".unfinished").stat().st_mode) == 0o700


async def test_what_a_killed_process_left_unfinished_is_discarded_when_it_is_old(tmp_path: Path) -> None:
    folder = tmp_path / "objects"
    store = FolderObjectStore(folder)
    await store.put(ObjectKey(new_id(), "a"), pieces(b"x"))
    (folder / "note.txt").write_text("not ours")
    unfinished = folder / ".unfinished" / "cut-off"
    unfinished.write_bytes(b"x")
    now = datetime.now(UTC)
    assert [key async for key in store.older(now - timedelta(days=1))] == []
    assert unfinished.exists()
    assert len([key async for key in store.older(now + timedelta(days=1))]) == 1
    assert not unfinished.exists()
    assert (folder / "note.txt").exists()


async def test_a_folder_that_is_not_there_yet_holds_nothing(tmp_path: Path) -> None:
    assert [key async for key in FolderObjectStore(tmp_path / "none").older(datetime.now(UTC))] == []


async def test_a_folder_that_can_not_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("a file where the folder should be")
    with pytest.raises(Unavailable, match="can't be written"):
        await FolderObjectStore(tmp_path / "objects").put(ObjectKey(new_id(), "a"), pieces(b"x"))


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = get_session().create_client("s3", region_name="us-east-1", endpoint_url=f"http://{host}:{port}", **KEYS)
    client.create_bucket(Bucket="luneo-objects")
    client.close()
    yield f"http://{host}:{port}"
    server.stop()


def bucket(endpoint: str, name: str = "luneo-objects") -> S3Bucket:
    return S3Bucket(name=name, region="us-east-1", endpoint_url=endpoint, access_key_id="key", secret_access_key="secret")


class TestS3(ObjectStoreContract):
    @pytest.fixture
    def store(self, endpoint: str) -> ObjectStore:
        return S3ObjectStore(bucket(endpoint))


async def test_a_bucket_that_is_away_is_unavailable() -> None:
    store = S3ObjectStore(bucket("http://127.0.0.1:9"))
    with pytest.raises(Unavailable, match="does not answer"):
        await store.check()


async def test_a_bucket_that_is_there_is_well(endpoint: str) -> None:
    store = S3ObjectStore(bucket(endpoint))
    await store.check()
    key = ObjectKey(new_id(), "a")
    await store.put(key, pieces(b"x"))
    assert await whole(await store.get(key)) == b"x"
