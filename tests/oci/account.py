"""An account on the server: a key of its own, a config file with a profile, and requests as somebody else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from bisyncer.job import Remote
from tests.oci.server import OciServer, serving
from tests.oci.store import Bucket

NAMESPACE = "testspace"
BUCKET = "bucket"
REGION = "us-ashburn-1"

_TENANCY = "ocid1.tenancy.oc1..aaaa"
_USER = "ocid1.user.oc1..bbbb"
_TOKEN = "session.token.text"


class OciAccount(NamedTuple):
    """A running server with a bucket, and who may use it."""

    server: OciServer
    folder: Path

    @property
    def config_file(self) -> Path:
        return self.folder / "config"

    @contextmanager
    def abroad(self, region: str) -> Iterator[OciServer]:
        """The service of another region, in which there is a bucket of the same name."""
        with serving(NAMESPACE, region, self.server.keys) as server:
            server.store.buckets[BUCKET] = Bucket(BUCKET)
            stores = {store.region: store for store in (self.server.store, server.store)}
            self.server.store.regions = server.store.regions = stores
            yield server
            self.server.store.regions = {REGION: self.server.store}

    @property
    def bucket(self) -> Bucket:
        return self.server.store.buckets[BUCKET]

    def session(self, name: str) -> str:
        """A token of a resource principal whose key is that of the profile DEFAULT."""
        claims = {"jti": name, "exp": 4_000_000_000, "res_tenant": _TENANCY, "res_compartment": "compartment"}
        token = jwt.encode(claims, "a secret of the service alone, long enough", algorithm="HS256")
        self.server.keys[f"ST${token}"] = _loaded(self.folder / "key.pem").public_key()
        return token

    def end_session(self, token: str) -> None:
        """Let a token have run out."""
        del self.server.keys[f"ST${token}"]

    def remote(self, **changes: Any) -> Remote:
        """The remote of a config that leads here."""
        remote = Remote(
            name="oci",
            type="oci",
            region=REGION,
            endpoint_url=self.server.endpoint_url,
            config_file=str(self.config_file),
        )
        return replace(remote, **changes)


@contextmanager
def account(folder: Path) -> Iterator[OciAccount]:
    """Make keys, a config file with the profiles DEFAULT, WRONG and SESSION, and a server."""
    fingerprint = _key(folder / "key.pem")
    _key(folder / "wrong.pem")
    (folder / "token").write_text(_TOKEN)
    common = f"tenancy={_TENANCY}\nregion={REGION}\nfingerprint={fingerprint}\n"
    (folder / "config").write_text(
        f"[DEFAULT]\n{common}user={_USER}\nkey_file={folder / 'key.pem'}\n"
        f"[WRONG]\n{common}user={_USER}\nkey_file={folder / 'wrong.pem'}\n"
        f"[SESSION]\n{common}key_file={folder / 'key.pem'}\nsecurity_token_file={folder / 'token'}\n"
    )
    (folder / "config").chmod(0o600)  # rclone and the SDK warn about any other mode
    key = _loaded(folder / "key.pem").public_key()
    ids = (f"{_TENANCY}/{_USER}/{fingerprint}", f"ST${_TOKEN}")
    with serving(NAMESPACE, REGION, dict.fromkeys(ids, key)) as server:
        server.store.buckets[BUCKET] = Bucket(BUCKET)
        yield OciAccount(server, folder)


def _key(path: Path) -> str:
    """Make a key; return its fingerprint, as OCI counts it."""
    key = generate_private_key(65537, 2048)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest = hashlib.md5(der).hexdigest()
    return ":".join(digest[at : at + 2] for at in range(0, 32, 2))


def _loaded(path: Path) -> Any:
    from oci.signer import load_private_key_from_file

    return load_private_key_from_file(str(path))
