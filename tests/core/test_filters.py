"""Which keys are in."""

from __future__ import annotations

import subprocess
from functools import cache
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from bisyncer.core.filters import Filters
from bisyncer.job import FilterFile
from tests.rclone_serve import rclone


@pytest.mark.parametrize(
    ("pattern", "out", "kept"),
    [
        ("*.tmp", ["a.tmp", "d/e/a.tmp", "d.tmp/a", "/a.tmp", "d\n/a.tmp"], ["a.tmp2", "tmp", "a.tmp\n"]),
        (".git/**", [".git/config", ".git/a/b", "sub/.git/config"], [".gitignore", "x", ".git"]),
        ("/.git/**", [".git/config", ".git/a/b"], ["sub/.git/config"]),
        (".~lock*", [".~lock.a.odt#", "d/.~lock.b#"], ["lock"]),
        ("/top.txt", ["top.txt"], ["d/top.txt"]),
        ("cache/", ["cache/x", "d/cache/y"], ["cache"]),
        ("**/logs/*.log", ["logs/a.log", "d/logs/b.log"], ["logs/d/c.log"]),
        ("*.{jpg,p{n,f}g}", ["a.jpg", "d/a.png", "a.pfg"], ["a.{jpg,png}", "a.gif"]),
        ("{0AF-1}", ["{0AF-1}", "d/{0AF-1}/x"], ["0AF-1"]),
        (r"\{a,b}", ["{a,b}"], ["a"]),
        ("[!a-c]?.x", ["dd.x", "-d.x"], ["ad.x", "d.x", "d/.x"]),
        (r"\#a\*", ["#a*"], ["#ab"]),
        ("a ", ["a"], ["a "]),
    ],
)
def test_a_pattern_means_what_gitignore_says_and_some_words_of_rclone(
    pattern: str, out: list[str], kept: list[str]
) -> None:
    filters = Filters([pattern])

    assert [key for key in out + kept if filters.excluded(key)] == out


SEGMENTS = st.sampled_from(["a", "b", "*", "**", "?", "*.t", "a*", "[ab]", "[!a]", "x.t", ".g", "*b*"])
PATTERNS = st.tuples(st.sampled_from(["", "/"]), st.lists(SEGMENTS, min_size=1, max_size=3)).map(
    lambda parts: parts[0] + "/".join(parts[1])
)
NAMES = ["a", "b", "x.t", ".g", "ab"]
KEYS = ["/".join(parts) for depth in (1, 2, 3) for parts in product(NAMES, repeat=depth)]


@given(st.lists(PATTERNS.filter(lambda each: each[0] == "/" or each[2:4] != "**"), min_size=1, max_size=3))
def test_patterns_are_read_as_pathspec_reads_them(patterns: list[str]) -> None:
    patterns = [each for each in patterns if not each.endswith("/**") or each.count("/") > 1]
    theirs = GitIgnoreSpec.from_lines(patterns)

    assert [key for key in KEYS if Filters(patterns).excluded(key)] == [
        key for key in KEYS if theirs.match_file(key)
    ]


def test_a_later_pattern_with_a_bang_brings_a_key_back() -> None:
    filters = Filters(["*.log", "!keep.log", "cache/", "!cache/keep", "d/*.x", "!d/"])

    out = ["a.log", "keep.log", "d/keep.log", "cache/a", "cache/keep", "cache/e/a", "d/a.x", "d/a"]
    assert [key for key in out if filters.excluded(key)] == ["a.log", "cache/a", "cache/e/a", "d/a.x"]


def test_where_patterns_are_included_the_others_are_out_and_exclude_still_wins() -> None:
    filters = Filters(exclude=["*.tmp"], include=["/docs/", "*.txt"])

    keys = ["docs/a", "docs/a.tmp", "a.txt", "d/b.txt", "a", "d/docs/a"]
    assert [key for key in keys if not filters.excluded(key)] == ["docs/a", "a.txt", "d/b.txt"]


def file(*lines: str) -> FilterFile:
    return FilterFile("/etc/cms.filters", lines)


@pytest.mark.parametrize("lines", [("*.log", "!keep.log"), ("- *.log", "+ /a/**")])
def test_a_key_with_as_many_segments_as_a_bucket_takes_is_judged(lines: tuple[str, ...]) -> None:
    filters = Filters(file=file(*lines))

    assert not filters.excluded("a/" * 511 + "x")
    assert filters.excluded("a/" * 509 + "x.log")


def test_a_file_has_gitignore_patterns_and_comments() -> None:
    filters = Filters(file=file("# of ours", "", "*.tmp", "!keep.tmp"))

    assert [key for key in ["a.tmp", "keep.tmp", "# of ours"] if filters.excluded(key)] == ["a.tmp"]


def test_in_a_file_of_rclone_the_first_match_wins_and_a_bang_alone_clears() -> None:
    filters = Filters(file=file("- x", "!", "; of ours", "+ keep.tmp", "- *.tmp", "+ a.tmp", "- /d/"))

    keys = ["x", "keep.tmp", "a.tmp", "e/d/a", "d/a", "d/keep.tmp"]
    assert [key for key in keys if filters.excluded(key)] == ["a.tmp", "d/a"]


TREE = [
    "a.txt",
    "a.tmp",
    "b c.TMP",
    ".git/config",
    ".git/x/y",
    "sub/.git/config",
    "sub/a.tmp",
    "sub/.~lock.a.odt#",
    ".~lock.b#",
    "d/e/f.log",
    "d/e/-x",
    "d/e/+y",
    "[a]/x",
    "{a,b}",
    "a/{b}",
    "ü/é.tmp",
    "u\u0308",
    "new\nline/a\nb.tmp",
    "end\n",
    "st*ar",
    "que?st",
    "back\\slash",
    "~$doc.docx",
    "sub/~$doc.docx",
    "Thumbs.db",
    "sub/Thumbs.db",
    ".DS_Store",
    "sub/.DS_Store",
    "node_modules/a/b.js",
    "sub/node_modules/c",
    "x/cache/tmp/1",
    "x/cache/2",
    "#hash",
    " lead",
    "old.tmp/inner",
]
COMMON = [
    "*.tmp",
    "*.swp",
    "*~",
    "~$*",
    ".git/**",
    ".git/",
    "/.git/**",
    ".~lock*",
    ".DS_Store",
    "Thumbs.db",
    "node_modules/**",
    "node_modules/",
    "/d/**",
    "/d/e/*",
    "*.{tmp,log}",
    "*.{[tT][mM][pP],log}",
    "{sub,d}/",
    "/sub/*.tmp",
    "[^.]*.tmp",
    "b?c.TMP",
    "*",
    "**",
    "st\\*ar",
    "\\#hash",
    "ü/**",
    "**/cache/",
    "/x/**/1",
    "*.docx",
    "/a.*",
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with hostile names."""
    root = tmp_path_factory.mktemp("tree")
    for key in TREE:
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).touch()
    return root


def listed(tree: Path, *flags: str) -> list[str]:
    """The keys that rclone lists; a newline in one is shown as another sign."""
    told = subprocess.run(
        [rclone(), "lsf", "-R", "--files-only", "--config=", *flags, str(tree)],
        check=True,
        capture_output=True,
        text=True,
    )
    return sorted(line for line in told.stdout.splitlines() if not line.startswith("NOTICE"))


@cache
def left_by(tree: Path, pattern: str) -> list[str]:
    """The keys that rclone lists without what a pattern excludes."""
    return listed(tree, f"--exclude={pattern}")


def kept(filters: Filters) -> list[str]:
    """The keys of the tree that are in, as rclone would show them."""
    return sorted(key.replace("\n", "␊") for key in TREE if not filters.excluded(key))


@pytest.mark.parametrize("pattern", COMMON)
def test_a_pattern_written_for_rclone_leaves_out_the_same_keys_here(pattern: str, tree: Path) -> None:
    theirs = left_by(tree, pattern)
    filters = Filters([pattern])

    ours = kept(filters)
    assert set(ours) <= set(theirs)
    # As for git, a pattern that a directory matches covers what lies below it.
    assert all(filters.excluded(key.rpartition("/")[0]) for key in set(theirs) - set(ours))


@pytest.mark.parametrize("pattern", COMMON)
def test_a_line_of_a_filter_file_leaves_out_exactly_what_rclone_leaves_out(pattern: str, tree: Path) -> None:
    assert kept(Filters(file=file(f"- {pattern}"))) == without_newlines_after_stars(
        pattern, left_by(tree, pattern)
    )


def without_newlines_after_stars(pattern: str, keys: list[str]) -> list[str]:
    """Without what rclone keeps since its '**' ends at a newline; ours doesn't."""
    return [key for key in keys if pattern != "**" or "␊" not in key]


FILES = [
    ["- *.tmp", "+ /sub/**", "- *"],
    ["+ /sub/*.tmp", "+ *.js", "- /sub/**", "- node_modules/"],
    ["+ *.tmp", "- *"],
    ["+ /d/e/**", "+ {a,b}.txt", "- **"],
    ["- .git/", "+ .*", "- .*", "- *.{tmp,log}"],
    ["+ sub/", "- *"],
    ["# c", "; c", "- a*", "!", "- **/cache/*", "- [a-c]*.txt"],
    ["+ cache/2", "- /x/**", "- ?e*"],
    ["- [^/]o*", "+ x", "- /*/*"],
]


@pytest.mark.parametrize("lines", FILES)
def test_a_filter_file_of_rclone_means_here_what_it_means_there(lines: list[str], tree: Path) -> None:
    from_file = tree.parent / "filters"
    from_file.write_text("\n".join(lines))

    theirs = listed(tree, f"--filter-from={from_file}")
    starred = any("**" in line for line in lines)
    ours = kept(Filters(file=file(*lines)))
    assert [key for key in ours if not (starred and "␊" in key)] == [
        key for key in theirs if not (starred and "␊" in key)
    ]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("- {{[0-9]+}}.txt", "a regular expression in"),
        ("- a[b", "has no ']'"),
        ("- a{b", "has no '}'"),
        ("- a]", "closes nothing"),
        ("- a***b", "more than two stars"),
        ("- [[:alpha:]]", "a named class of letters"),
        ("- [z-a]", "is no set of letters"),
        ("- \\d", "a backslash stands before no sign"),
        ("*.tmp", "begin it with '- '"),
        ("include *.tmp", "begin it with '- '"),
    ],
)
def test_a_line_that_is_none_is_refused_with_its_place(line: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"cms\.filters:2: ") as refused:
        Filters(file=file("- *.swp", line))
    assert sentence in str(refused.value)


def test_a_place_is_hidden_only_where_no_pattern_brings_back_what_lies_below() -> None:
    assert Filters(["d/"]).hidden("d/")
    assert Filters(["/d/**"]).hidden("d/")
    assert Filters(file=file("- x", "- d/**")).hidden("d/")
    assert not Filters(["*", "!*.txt"]).hidden("d/")
    assert not Filters(["e/"]).hidden("d/")
    assert not Filters(["d/*.x"]).hidden("d/")
    assert not Filters(include=["e"]).hidden("d/")
    assert not Filters(file=file("+ d/a", "- d/**")).hidden("d/")
    assert not Filters(file=file("- d/*")).hidden("d/")


def test_nothing_is_excluded_without_a_pattern() -> None:
    assert not Filters().excluded("anything")


@pytest.mark.parametrize("pattern", ["!", "/", "a//b", "[a", "a\\", "[[:alpha:]]", "[z-a]"])
def test_what_is_no_pattern_is_refused_by_name(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"exclude: .* is not a gitignore pattern"):
        Filters(["*.tmp", pattern])


@pytest.mark.parametrize(
    ("filters", "reason"),
    [
        (Filters(["*.x", "*.tmp"]), "by exclude: *.tmp"),
        (Filters(["*", "!b", "a.*"]), "by exclude: a.*"),
        (Filters(file=file("", "- *.tmp")), "by /etc/cms.filters:2: - *.tmp"),
        (Filters(include=["b"]), "since no pattern of include has it"),
        (Filters(include=["a.*", "!*.tmp"]), "by include: !*.tmp"),
        (Filters(["b"]), None),
    ],
)
def test_the_reason_names_the_pattern_that_decides(filters: Filters, reason: str | None) -> None:
    assert filters.reason("a.tmp") == (reason and f"left out on both sides {reason}")
