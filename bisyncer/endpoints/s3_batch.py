"""Many deletions in one request, each on its own condition.

Only for a store that is known to test it in the step of the deletion. SeaweedFS takes the ETags too and isn't
one: what somebody writes between its test and its deletion is lost.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from bisyncer.endpoints.s3_bucket import Bucket, quoted
from bisyncer.endpoints.s3_error import SDK_ERRORS
from bisyncer.model import Entry

MOST_DELETES: Final = 1000  # https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html

# Names go as text of XML, where a parser may take one of these for another, or for none.
_UNSAFE: Final = re.compile(r"\A\s|\s\Z|[\x00-\x1f\x7f-\x9f\u2028\ufffe\uffff]")


def delete_many(bucket: Bucket, expect: Sequence[Entry]) -> frozenset[str]:
    """Delete the versions `expect`; return the keys that the store says it has deleted.

    Raises `Transient` or `Rejected`.
    """
    keys = {name: entry for entry in expect if not _UNSAFE.search(name := bucket.name(entry.key))}
    if not keys:
        return frozenset()
    try:
        gone = deleted(bucket, {name: quoted(entry.stamp) for name, entry in keys.items()})
    except SDK_ERRORS as error:
        raise bucket.judge(error).error(bucket.root) from None
    return frozenset(keys[name].key for name in gone & keys.keys())


def deleted(bucket: Bucket, etags: Mapping[str, str]) -> frozenset[str]:
    """Delete objects by name and ETag; return the names that are said to be deleted. Raises `SDK_ERRORS`."""
    objects = [{"Key": name, "ETag": etag} for name, etag in etags.items()]
    answer = bucket.ask("delete_objects", Delete={"Objects": objects})
    refused = {each.get("Key") for each in answer.get("Errors", ())}
    return frozenset(each["Key"] for each in answer.get("Deleted", ())) - refused
