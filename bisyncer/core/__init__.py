"""The decision: pure functions over entries; knows no store, no SQL and no clock."""
