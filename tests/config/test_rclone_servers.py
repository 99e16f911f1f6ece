"""One rclone.conf for rclone and for bisyncer: both list the same objects of real servers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.storage.blob import (
    AccountSasPermissions,
    ContainerSasPermissions,
    ResourceTypes,
    generate_account_sas,
    generate_container_sas,
)

from bisyncer.config.load import load
from bisyncer.endpoints.open import open_endpoint
from bisyncer.model import Entry
from tests.config.rclone import Rclone
from tests.oci.account import BUCKET as OCI_BUCKET
from tests.oci.account import NAMESPACE, REGION, OciAccount
from tests.servers import BUCKET, AzureServer, S3Server

FILES = ("a.txt", "d/b c.txt", "d/é/+&?#%41", "z")


@pytest.fixture
def rclone(tmp_path: Path) -> Rclone:
    return Rclone(tmp_path / "rclone.conf")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def both_list(rclone: Rclone, root: str, tree: Path) -> str:
    """Fill a root with rclone, list it with either; return the canonical root of bisyncer."""
    rclone("copy", str(tree), root)
    theirs = rclone("lsf", "-R", "--files-only", root).splitlines()
    config = load(None, rclone_config=str(rclone.config)).with_pair("pair", root, "/nowhere")
    remotes = {remote.name: remote for remote in config.job("pair").remotes}
    endpoint = open_endpoint(root, remotes, owner="0badcafe")
    try:
        ours = [entry.key for entry in endpoint.scan() if isinstance(entry, Entry)]
        assert sorted(theirs) == sorted(ours) == sorted(FILES)
        return endpoint.root
    finally:
        endpoint.close()


class TestS3:
    def test_by_keys_in_the_file(self, seaweed: S3Server, rclone: Rclone, tree: Path) -> None:
        rclone.create(
            "My weed.1",
            "s3",
            provider="SeaweedFS",
            endpoint=seaweed.endpoint_url,
            access_key_id=seaweed.access_key,
            secret_access_key=seaweed.secret_key,
        )
        assert both_list(rclone, f"My weed.1:{BUCKET}/rclone/keys", tree).startswith(
            f"s3://{BUCKET}/rclone/keys"
        )

    def test_by_keys_in_the_environment(
        self, seaweed: S3Server, rclone: Rclone, tree: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rclone.create("weed", "s3", provider="SeaweedFS", endpoint=seaweed.endpoint_url, env_auth="true")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", seaweed.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seaweed.secret_key)
        rclone.create("short", "alias", remote=f"weed:{BUCKET}/rclone")

        direct = both_list(rclone, f"weed:{BUCKET}/rclone/env", tree)

        assert both_list(rclone, "short:env", tree) == direct
        assert both_list(rclone, "short:/up/../env/", tree) == direct


class TestAzure:
    def test_by_a_key(self, azurite: AzureServer, rclone: Rclone, tree: Path) -> None:
        rclone.create(
            "blob", "azureblob", account=azurite.account, key=azurite.key, endpoint=azurite.endpoint_url
        )
        direct = both_list(rclone, f"blob:{azurite.container}/rclone/key", tree)

        assert direct == f"azure://{azurite.container}/rclone/key?endpoint={azurite.endpoint_url}"

    def test_by_the_emulator_with_an_account_of_its_own(
        self, azurite: AzureServer, rclone: Rclone, tree: Path
    ) -> None:
        rclone.create(
            "blob",
            "azureblob",
            use_emulator="true",
            account=azurite.account,
            key=azurite.key,
            endpoint=azurite.endpoint_url,
        )
        both_list(rclone, f"blob:{azurite.container}/rclone/emulator", tree)

    def test_by_a_connection_string(self, azurite: AzureServer, rclone: Rclone, tree: Path) -> None:
        text = (
            f"DefaultEndpointsProtocol=http;AccountName={azurite.account};AccountKey={azurite.key};"
            f"BlobEndpoint={azurite.endpoint_url};"
        )
        rclone.create("blob", "azureblob", connection_string=text)
        both_list(rclone, f"blob:{azurite.container}/rclone/string", tree)

    @pytest.mark.parametrize("whole", [True, False])
    def test_by_a_signature(self, whole: bool, azurite: AzureServer, rclone: Rclone, tree: Path) -> None:
        expiry = datetime.now(UTC) + timedelta(hours=1)
        if whole:
            sas = generate_account_sas(
                azurite.account,
                azurite.key,
                ResourceTypes(service=True, container=True, object=True),
                AccountSasPermissions(read=True, write=True, list=True, create=True, delete=True),
                expiry,
            )
        else:
            permission = ContainerSasPermissions(read=True, write=True, list=True, create=True, delete=True)
            sas = generate_container_sas(
                azurite.account,
                azurite.container,
                account_key=azurite.key,
                permission=permission,
                expiry=expiry,
            )
        place = azurite.endpoint_url if whole else f"{azurite.endpoint_url}/{azurite.container}"
        rclone.create("blob", "azureblob", sas_url=f"{place}?{sas}", no_check_container="true")

        both_list(rclone, f"blob:{azurite.container}/rclone/sas{whole}", tree)


class TestOci:
    @pytest.mark.parametrize("profile", [None, "DEFAULT", "SESSION"])
    def test_by_a_profile(
        self, profile: str | None, oci_account: OciAccount, rclone: Rclone, tree: Path
    ) -> None:
        rclone.create(
            "OCI_fk",
            "oracleobjectstorage",
            provider="user_principal_auth",
            namespace=NAMESPACE,
            compartment="ocid1.compartment.oc1..c",
            region=REGION,
            endpoint=oci_account.server.endpoint_url,
            config_file=str(oci_account.config_file),
            **({"config_profile": profile} if profile else {}),
        )
        rclone.create("short", "alias", remote=f"OCI_fk:{OCI_BUCKET}/rclone")

        direct = both_list(rclone, f"OCI_fk:{OCI_BUCKET}/rclone/{profile}", tree)

        assert both_list(rclone, f"short:{profile}", tree) == direct


class TestTree:
    def test_a_local_remote_and_an_alias_are_the_tree_itself(
        self, rclone: Rclone, tree: Path, tmp_path: Path
    ) -> None:
        rclone.create("lo", "local")
        rclone.create("al", "alias", remote=str(tmp_path))
        to = tmp_path / "copy"
        to.mkdir()

        assert both_list(rclone, f"lo:{to}", tree) == to.as_uri()
        assert both_list(rclone, "al:copy", tree) == to.as_uri()
        assert both_list(rclone, "al:../../copy/", tree) == to.as_uri()

    def test_an_alias_alone_is_the_place_that_it_leads_to(
        self, rclone: Rclone, tree: Path, tmp_path: Path
    ) -> None:
        to = tmp_path / "alone"
        to.mkdir()
        rclone.create("al", "alias", remote=f"{to}/")

        assert both_list(rclone, "al:", tree) == to.as_uri()
