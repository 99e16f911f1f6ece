from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st

from bisyncer.endpoints.base64_md5 import digests, digests_of_page
from bisyncer.model import Algorithm, Digest

MD5S = st.binary(min_size=16, max_size=16).map(lambda raw: base64.b64encode(raw).decode())


@given(st.lists(MD5S, min_size=1))
def test_the_md5s_of_a_page_are_decoded_exactly(md5s: list[str]) -> None:
    assert list(digests_of_page(Algorithm.MD5, md5s)) == [
        (Digest(Algorithm.MD5, base64.b64decode(md5).hex()),) for md5 in md5s
    ]


@given(
    st.lists(
        MD5S
        | st.sampled_from(("", "MTIz", "A" * 24, "B" * 22 + "==", "=" * 24, "A" * 12, "A" * 33 + "w=="))
        | st.none()
    )
)
def test_what_is_no_md5_of_a_page_is_no_digest(md5s: list[str | None]) -> None:
    assert list(digests_of_page(Algorithm.MD5, md5s)) == [digests(Algorithm.MD5, md5) for md5 in md5s]
