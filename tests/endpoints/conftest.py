"""Failures inside the contract suite are explained as failures inside a test module are."""

import pytest

pytest.register_assert_rewrite("tests.endpoints.contract")
