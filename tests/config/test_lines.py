from __future__ import annotations

import pytest

from bisyncer.config.lines import line_of

TEXT = """\
state = "x"  # 1

[pairs.cms]  # 3
path1 = "a"
exclude = [
  "x = y",
]
"path2" = "b"  # 8

[pairs."two"]
path1 = "c"  # 11

[remotes]
minio.region = "r"  # 14
inline = { region = "s" }  # 15
"""


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("state",), 1),
        (("pairs", "cms"), 3),
        (("pairs", "cms", "path1"), 4),
        (("pairs", "cms", "path2"), 8),
        (("pairs", "two", "path1"), 11),
        (("remotes", "minio", "region"), 14),
        (("remotes", "inline", "region"), 15),
        (("pairs", "cms", "nowhere"), 3),
        (("nowhere",), 1),
    ],
)
def test_a_key_is_found_where_it_stands_or_else_its_table(keys: tuple[str, ...], line: int) -> None:
    assert line_of(TEXT, keys) == line
