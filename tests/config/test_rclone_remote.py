from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bisyncer.config import rclone_file
from bisyncer.config.rclone_remote import remote_of
from bisyncer.errors import UsageError
from bisyncer.job import Remote, Secret
from tests.config.rclone import Rclone

SECRETS = (
    "secret_access_key",
    "session_token",
    "account_key",
    "sas",
    "connection_string",
    "client_secret",
    "sse_customer_key",
)
KEYS = {"access_key_id": "KEY", "secret_access_key": "hush"}
Known = Callable[..., Remote]


@pytest.fixture
def rclone(tmp_path: Path) -> Rclone:
    return Rclone(tmp_path / "rclone.conf")


def found(rclone: Rclone, name: str = "r", **ours: Remote) -> Remote | None:
    return remote_of(name, rclone_file.read(str(rclone.config)), ours)


def seen(remote: Remote | None) -> dict[str, Any]:
    """The fields that aren't what a remote has by default, with secrets as text."""
    assert remote is not None
    plain = Remote(name=remote.name, type=remote.type)
    fields = {name: getattr(remote, name) for name in Remote.__slots__}
    for name in SECRETS:
        assert fields[name] is None or isinstance(fields[name], Secret)
        assert fields[name] is None or fields[name].reveal() not in repr(remote)
    return {
        name: value.reveal() if isinstance(value, Secret) else value
        for name, value in fields.items()
        if name not in {"name", "type"} and value != getattr(plain, name)
    }


def refused(rclone: Rclone, name: str = "r") -> str:
    with pytest.raises(UsageError) as caught:
        found(rclone, name)
    sentence = str(caught.value)
    assert "\n" not in sentence and "hush" not in sentence
    assert sentence.startswith(str(rclone.config))
    return sentence.removeprefix(str(rclone.config))


CUSTOMER_KEY = "0123456789abcdef0123456789abcdef"
ENCODED_KEY = base64.b64encode(CUSTOMER_KEY.encode()).decode()
EMULATOR_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
BASE = {"access_key_id": "KEY", "secret_access_key": "hush", "region": "us-east-1"}


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"provider": "AWS", **KEYS}, BASE),
        ({"provider": "AWS", **KEYS, "region": "eu-west-1"}, {**BASE, "region": "eu-west-1"}),
        ({**KEYS, "session_token": "hush2"}, {**BASE, "session_token": "hush2"}),
        ({"env_auth": "true"}, {"region": "us-east-1"}),
        ({"env_auth": "true", "profile": "p", "session_token": "x"}, {"region": "us-east-1", "profile": "p"}),
        ({**KEYS, "env_auth": "true", "profile": "p", "shared_credentials_file": "f"}, BASE),
        (
            {"provider": "Minio", **KEYS, "endpoint": "http://h:9000"},
            {**BASE, "endpoint_url": "http://h:9000", "addressing_style": "path"},
        ),
        (
            {"provider": "Other", **KEYS, "endpoint": "h.example"},
            {**BASE, "endpoint_url": "https://h.example", "addressing_style": "path"},
        ),
        (
            {"provider": "Nobody", **KEYS, "endpoint": "h.example", "force_path_style": "false"},
            {**BASE, "endpoint_url": "https://h.example", "addressing_style": "virtual"},
        ),
        (
            {"provider": "TencentCOS", **KEYS, "endpoint": "cos.example", "force_path_style": "true"},
            {**BASE, "endpoint_url": "https://cos.example", "addressing_style": "virtual"},
        ),
        (
            {
                **KEYS,
                "storage_class": "GLACIER_IR",
                "server_side_encryption": "aws:kms",
                "sse_kms_key_id": "k",
            },
            {**BASE, "storage_class": "GLACIER_IR", "sse": "aws:kms", "sse_kms_key_id": "k"},
        ),
        (
            {**KEYS, "sse_customer_algorithm": "AES256", "sse_customer_key": CUSTOMER_KEY},
            {**BASE, "sse_customer_key": ENCODED_KEY},
        ),
        ({**KEYS, "sse_customer_key_base64": ENCODED_KEY}, {**BASE, "sse_customer_key": ENCODED_KEY}),
        (
            {**KEYS, "requester_pays": "true", "list_version": "1"},
            {**BASE, "request_payer": True, "list_version": "1"},
        ),
        (
            {
                **KEYS,
                "acl": "private",
                "bucket_acl": "public-read",
                "location_constraint": "x",
                "list_version": "0",
                "chunk_size": "16Mi",
                "upload_concurrency": "9",
                "no_check_bucket": "true",
                "versions": "false",
                "version_at": "off",
                "encoding": "Slash,InvalidUtf8,Dot",
                "use_multipart_etag": "unset",
                "description": "mine",
            },
            BASE,
        ),
    ],
)
def test_an_s3_remote_is_one_of_ours(options: dict[str, str], fields: dict[str, Any], rclone: Rclone) -> None:
    rclone.create("r", "s3", **options)
    remote = found(rclone)

    assert remote is not None and (remote.name, remote.type) == ("r", "s3")
    assert seen(remote) == fields


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"account": "a", "key": "hush"}, {"account": "a", "account_key": "hush"}),
        (
            {"account": "a", "key": "hush", "endpoint": "http://h:1/a", "access_tier": "cool"},
            {"account": "a", "account_key": "hush", "endpoint_url": "http://h:1/a", "access_tier": "Cool"},
        ),
        (
            {"sas_url": "https://a.blob.core.windows.net/?sv=1&sig=hush%3D"},
            {"endpoint_url": "https://a.blob.core.windows.net", "sas": "sv=1&sig=hush%3D"},
        ),
        (
            {"account": "other", "sas_url": "https://a.blob.core.windows.net/box?sv=1&sig=hush"},
            {"endpoint_url": "https://a.blob.core.windows.net", "sas": "sv=1&sig=hush"},
        ),
        (
            {"sas_url": "http://127.0.0.1:10000/a/box?sv=1&sig=hush"},
            {"endpoint_url": "http://127.0.0.1:10000/a", "sas": "sv=1&sig=hush"},
        ),
        (
            {"connection_string": "AccountName=a;AccountKey=hush=="},
            {"connection_string": "AccountName=a;AccountKey=hush=="},
        ),
        (
            {"account": "a", "tenant": "t", "client_id": "c", "client_secret": "hush"},
            {"account": "a", "tenant_id": "t", "client_id": "c", "client_secret": "hush"},
        ),
        ({"account": "a", "use_msi": "true", "msi_client_id": "c"}, {"account": "a", "client_id": "c"}),
        ({"account": "a", "env_auth": "true"}, {"account": "a"}),
        (
            {"use_emulator": "true"},
            {
                "account": "devstoreaccount1",
                "account_key": EMULATOR_KEY,
                "endpoint_url": "http://127.0.0.1:10000/devstoreaccount1",
            },
        ),
        (
            {
                "account": "a",
                "key": "hush",
                "sas_url": "x",
                "use_az": "true",
                "chunk_size": "8Mi",
                "public_access": "blob",
            },
            {"account": "a", "account_key": "hush"},
        ),
    ],
)
def test_an_azure_remote_is_one_of_ours(
    options: dict[str, str], fields: dict[str, Any], rclone: Rclone
) -> None:
    rclone.create("r", "azureblob", **options)
    remote = found(rclone)

    assert remote is not None and (remote.name, remote.type) == ("r", "azure")
    assert seen(remote) == fields


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({}, {}),
        ({"provider": "env_auth", "compartment": "ocid1", "config_file": "~/x", "config_profile": "p"}, {}),
        (
            {"provider": "user_principal_auth", "config_file": "/x/config", "config_profile": "FK"},
            {"config_file": "/x/config", "profile": "FK"},
        ),
        ({"provider": "user_principal_auth", "config_profile": "Default"}, {}),
        ({"provider": "instance_principal_auth"}, {"auth": "instance_principal"}),
        ({"provider": "resource_principal_auth"}, {"auth": "resource_principal"}),
        ({"provider": "workload_identity_auth"}, {"auth": "oke_workload_identity"}),
        (
            {
                "namespace": "n",
                "region": "eu-frankfurt-1",
                "endpoint": "objectstorage.example",
                "storage_tier": "infrequentaccess",
                "sse_kms_key_id": "ocid1.key",
                "copy_timeout": "2m",
            },
            {
                "namespace": "n",
                "region": "eu-frankfurt-1",
                "endpoint_url": "https://objectstorage.example",
                "storage_class": "InfrequentAccess",
                "sse_kms_key_id": "ocid1.key",
            },
        ),
    ],
)
def test_an_oci_remote_is_one_of_ours(
    options: dict[str, str], fields: dict[str, Any], rclone: Rclone
) -> None:
    rclone.create("r", "oracleobjectstorage", **options)
    remote = found(rclone)

    assert remote is not None and (remote.name, remote.type) == ("r", "oci")
    assert seen(remote) == fields


def test_a_service_principal_may_be_in_a_file_of_its_own(
    rclone: Rclone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERE", str(tmp_path))
    file = tmp_path / "principal.json"
    rclone.create("r", "azureblob", account="a", service_principal_file="${HERE}/principal.json")
    for bad in ('{"appId": "c", "tenant": "t"}', "[]", '"hush"', "hush"):
        file.write_text(bad)
        assert refused(rclone).endswith(f": {file} is no JSON with tenant, appId and password.")

    file.write_text('{"appId": "c", "password": "hush", "tenant": "t", "displayName": "d"}')

    assert seen(found(rclone)) == {
        "account": "a",
        "tenant_id": "t",
        "client_id": "c",
        "client_secret": "hush",
    }


@pytest.mark.parametrize(
    ("profile", "auth"),
    [(None, "api_key"), ("TOKEN", "security_token"), ("KEY", "api_key"), ("NONE", "api_key")],
)
def test_a_profile_with_a_token_is_known_for_one(
    profile: str | None, auth: str, rclone: Rclone, tmp_path: Path
) -> None:
    oci = tmp_path / "oci"
    oci.write_text("[DEFAULT]\nregion=r\n[KEY]\nuser=50%\n[TOKEN]\nsecurity_token_file=/t\n")
    more = {"config_profile": profile} if profile else {}
    rclone.create("r", "oracleobjectstorage", provider="user_principal_auth", config_file=str(oci), **more)

    remote = found(rclone)

    assert remote is not None and remote.auth == auth


@pytest.mark.parametrize(
    ("kind", "options", "sentence"),
    [
        ("s3", {**KEYS, "acl": "public-read"}, ":5: acl in [r]: it can't be honoured: objects are written"),
        ("s3", {**KEYS, "v2_auth": "true"}, ":5: v2_auth in [r]: it can't be honoured: requests are signed"),
        ("s3", {**KEYS, "region": "other-v2-signature"}, ":5: region in [r]: it can't be honoured: requests"),
        (
            "s3",
            {**KEYS, "role_arn": "arn:x"},
            ":5: role_arn in [r]: it can't be honoured: no role is assumed",
        ),
        ("s3", {**KEYS, "versions": "true"}, ":5: versions in [r]: it can't be honoured: only the newest"),
        ("s3", {**KEYS, "version_at": "2024-01-01"}, ":5: version_at in [r]: it can't be honoured:"),
        ("s3", {**KEYS, "directory_markers": "true"}, ":5: directory_markers in [r]: it can't be honoured:"),
        ("s3", {**KEYS, "use_accelerate_endpoint": "1"}, ":5: use_accelerate_endpoint in [r]: it can't be"),
        ("s3", {**KEYS, "object_lock_mode": "COMPLIANCE"}, ":5: object_lock_mode in [r]: it can't be"),
        (
            "s3",
            {**KEYS, "encoding": "Slash,Ctl"},
            ":5: encoding in [r]: it can't be honoured: keys are taken",
        ),
        ("s3", {"access_key_id": "KEY"}, ": secret_access_key in [r]: it is missing, and the other half"),
        ("s3", {"provider": "AWS"}, ": access_key_id in [r]: there is no key, and without one nobody may"),
        ("s3", {"env_auth": "maybe"}, ":3: env_auth in [r]: 'maybe' is neither true nor false."),
        (
            "s3",
            {"env_auth": "true", "shared_credentials_file": "f"},
            ":4: shared_credentials_file in [r]: it can't be honoured: set AWS_SHARED",
        ),
        ("s3", {**KEYS, "server_side_encryption": "x"}, ":5: server_side_encryption in [r]: 'x' is none of:"),
        ("s3", {**KEYS, "list_version": "3"}, ":5: list_version in [r]: '3' is none of: 0, 1, 2."),
        (
            "s3",
            {**KEYS, "sse_customer_key": "hush"},
            ":5: sse_customer_key in [r]: it has 4 bytes, and a key",
        ),
        ("s3", {**KEYS, "sse_customer_key_base64": "hush!"}, ":5: sse_customer_key_base64 in [r]: it isn't"),
        (
            "s3",
            {**KEYS, "sse_customer_key_base64": "x", "sse_customer_key": "y"},
            ":6: sse_customer_key in [r]: sse_customer_key_base64 is there too.",
        ),
        (
            "s3",
            {**KEYS, "sse_customer_algorithm": "AES512"},
            ":5: sse_customer_algorithm in [r]: it can't be",
        ),
        ("s3", {**KEYS, "profile": "%(hush)s"}, ""),
        ("azureblob", {"account": "a"}, ": key in [r]: there is no key and no other way to say who we are."),
        ("azureblob", {"account": "a", "use_az": "true"}, ":4: use_az in [r]: it can't be honoured: say env"),
        (
            "azureblob",
            {"account": "a", "username": "u"},
            ":4: username in [r]: it can't be honoured: there is",
        ),
        (
            "azureblob",
            {"service_principal_file": "/f"},
            ":3: service_principal_file in [r]: /f can't be read: No",
        ),
        (
            "azureblob",
            {"account": "a", "endpoint": "http://me:hush@h"},
            ":4: endpoint in [r]: it holds a user na",
        ),
        (
            "azureblob",
            {"sas_url": "http://me:hush@h/?sig=x"},
            ":3: sas_url in [r]: it is no URL with a signature.",
        ),
        (
            "s3",
            {**KEYS, "endpoint": "me:hush@host"},
            ":5: endpoint in [r]: it holds a user name or a password;",
        ),
        ("s3", {**KEYS, "endpoint": "host:port"}, ":5: endpoint in [r]: it is no URL;"),
        (
            "azureblob",
            {"account": "a", "client_certificate_path": "f"},
            ":4: client_certificate_path in [r]:",
        ),
        (
            "azureblob",
            {"account": "a", "use_msi": "true", "msi_mi_res_id": "i"},
            ":5: msi_mi_res_id in [r]: it can't be honoured: a managed identity is named by msi_client_id.",
        ),
        ("azureblob", {"sas_url": "sig=hush"}, ":3: sas_url in [r]: it is no URL with a signature. Write it"),
        (
            "azureblob",
            {"account": "a", "key": "hush", "access_tier": "warm"},
            ":5: access_tier in [r]: 'warm'",
        ),
        (
            "azureblob",
            {"account": "a", "key": "hush", "directory_markers": "true"},
            ":5: directory_markers in",
        ),
        ("oracleobjectstorage", {"provider": "no_auth"}, ":3: provider in [r]: nobody may write to a bucket"),
        (
            "oracleobjectstorage",
            {"provider": "magic"},
            ":3: provider in [r]: 'magic' is none of: user_princi",
        ),
        (
            "oracleobjectstorage",
            {"storage_tier": "Deep"},
            ":3: storage_tier in [r]: 'Deep' is none of: Stand",
        ),
        ("oracleobjectstorage", {"sse_customer_key": "hush"}, ":3: sse_customer_key in [r]: it can't be"),
        ("local", {"copy_links": "true"}, ":3: copy_links in [r]: it can't be honoured: symbolic links are"),
        ("local", {"one_file_system": "true"}, ":3: one_file_system in [r]: it can't be honoured:"),
        ("sftp", {"host": "h"}, ":2: type in [r]: 'sftp' is a kind of store that can't be synced. The kinds"),
        ("alias", {"remote": "photos"}, ":3: remote in [r]: 'photos' counts from wherever a command is"),
        ("alias", {"remote": "none:x"}, ":3: remote in [r]: there is no remote named 'none'."),
        (
            "alias",
            {"remote": ":s3,secret_access_key=hush:b"},
            ":3: remote in [r]: a remote that is written on",
        ),
        ("alias", {"remote": "r:b"}, ":3: remote in [r]: the aliases lead in a circle: r: r:"),
    ],
)
def test_what_can_not_be_honoured_is_one_line_with_its_place(
    kind: str, options: dict[str, str], sentence: str, rclone: Rclone
) -> None:
    rclone.add(f"[r]\ntype = {kind}\n" + "".join(f"{key} = {value}\n" for key, value in options.items()))
    if sentence:
        assert refused(rclone).startswith(sentence)
    else:  # only where it is used: with a key, the profile isn't
        assert seen(found(rclone)) == BASE


def test_a_value_that_takes_a_part_from_another_is_refused(rclone: Rclone) -> None:
    rclone.add("[r]\ntype = s3\nenv_auth = true\nregion = %(part)s-1\npart = eu\n")
    assert (
        refused(rclone)
        == ":4: region in [r]: it takes a part from another key with %(...)s. Write the whole value."
    )


def test_a_section_without_a_type_is_told_and_one_that_is_not_there_is_none(rclone: Rclone) -> None:
    rclone.add("[r]\nprovider = AWS\n")
    assert refused(rclone) == ": type in [r]: it is missing. Say which kind of store it is."
    assert found(rclone, "s") is None


def test_the_environment_says_more_than_the_file(rclone: Rclone, monkeypatch: pytest.MonkeyPatch) -> None:
    rclone.add("[OCI_f.k-1]\ntype = s3\naccess_key_id = KEY\nsecret_access_key = hush\nregion = file\n")
    monkeypatch.setenv("RCLONE_S3_REGION", "all")
    monkeypatch.setenv("RCLONE_S3_STORAGE_CLASS", "GLACIER_IR")
    monkeypatch.setenv("RCLONE_AZUREBLOB_ACCESS_TIER", "cool")
    monkeypatch.setenv("RCLONE_CONFIG_OCI_F.K-1_REGION", "one")
    monkeypatch.setenv("RCLONE_CONFIG_OCI_F.K-1_ACL", "public-read")
    with pytest.raises(UsageError, match=re.escape("RCLONE_CONFIG_OCI_F.K-1_ACL: it can't be honoured")):
        found(rclone, "OCI_f.k-1")
    monkeypatch.delenv("RCLONE_CONFIG_OCI_F.K-1_ACL")

    assert seen(found(rclone, "OCI_f.k-1")) == {
        **BASE,
        "region": "one",
        "storage_class": "GLACIER_IR",
    }


def test_a_remote_may_be_in_the_environment_alone(rclone: Rclone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCLONE_CONFIG_ENVY_TYPE", "azureblob")
    monkeypatch.setenv("RCLONE_CONFIG_ENVY_ACCOUNT", "a")
    monkeypatch.setenv("RCLONE_CONFIG_ENVY_KEY", "hush")

    assert seen(found(rclone, "envy")) == {"account": "a", "account_key": "hush"}


def test_a_local_remote_begins_nowhere_and_an_alias_where_it_says(rclone: Rclone) -> None:
    rclone.create("lo", "local")
    rclone.create("al", "alias", remote="lo:/srv/files/")
    rclone.create("tree", "alias", remote="/srv/../srv/photos")
    rclone.create("top", "alias", remote="tree:2024/../2025")
    rclone.create("cloud", "s3", provider="AWS", env_auth="true")
    rclone.create("media", "alias", remote="cloud:bucket/media")
    rclone.create("mine", "alias", remote="own:box")
    own = Remote("own", type="azure", account="a")

    assert found(rclone, "lo") == Remote("lo", type="local")
    assert found(rclone, "al") == Remote("al", type="local", root="/srv/files/")
    assert found(rclone, "tree") == Remote("tree", type="local", root="/srv/photos")
    assert found(rclone, "top") == Remote("top", type="local", root="/srv/photos/2025")
    assert found(rclone, "media") == Remote("media", type="s3", region="us-east-1", root="bucket/media")
    assert found(rclone, "mine", own=own) == Remote("mine", type="azure", account="a", root="box")


def test_aliases_that_lead_to_each_other_are_told(rclone: Rclone) -> None:
    rclone.add("[r]\ntype = alias\nremote = s:\n[s]\ntype = alias\nremote = r:x\n")
    assert refused(rclone) == ":6: remote in [s]: the aliases lead in a circle: r: s: r:"
