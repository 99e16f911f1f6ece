"""Fixtures that every part of the suite may ask for."""

import gc

# As the command does: a heap with every SDK in it takes long to look through.
gc.set_threshold(50_000)

pytest_plugins = ["tests.servers", "tests.places"]
