"""Fixtures that every part of the suite may ask for."""

import gc
import os

import pytest
from hypothesis import settings

from bisyncer.endpoints import backoff

# A second attempt comes at once, unless the server says when; test_backoff looks at how long it else waits.
backoff._FIRST_S = 0.0

# How long an example takes says more about what else the machine does.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")

# Nothing that is set for other servers reaches the suite's own: profiles, session tokens, proxies.
for name in [
    name for name in os.environ if name.startswith(("AWS_", "AZURE_", "OCI_", "RCLONE_", "BISYNCER_"))
]:
    del os.environ[name]
for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
    os.environ[name] = os.devnull
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
for name in ("NO_PROXY", "no_proxy"):
    os.environ[name] = "127.0.0.1,localhost"

# As the command does: a heap with every SDK in it takes long to look through.
gc.set_threshold(50_000)

pytest_plugins = ["tests.servers", "tests.places"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first: begun last, they keep one process at work while the others have nothing left."""
    items.sort(key=lambda item: "properties" not in item.path.parts)
