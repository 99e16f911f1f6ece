"""Whatever is wrong with what was asked for, it is one line with the place, and exit 2."""

from __future__ import annotations

import pytest

from tests.desk import Desk

PAIR = 'path1 = "one"\npath2 = "two"\n'

FILES = [
    (
        "[pairs.cms]\n" + PAIR + 'exlude = ["x"]\n',
        ":4: unknown key 'exlude' in [pairs.cms]; did you mean 'exclude'?",
    ),
    (
        "[pairs.cms]\n" + PAIR + "colour = true\n",
        ":4: unknown key 'colour' in [pairs.cms]. Known here: path1,",
    ),
    (
        "[pairs.cms]\n" + PAIR + 'mode = "sync"\n',
        ":4: mode in [pairs.cms]: 'sync' is none of: bisync, mirror, copy, dual-copy.",
    ),
    (
        "[pairs.cms]\n" + PAIR + 'transfers = "many"\n',
        ":4: transfers in [pairs.cms]: 'many' is no number from 1",
    ),
    ('[pairs.cms]\npath1 = "one"\n', ":1: [pairs.cms] has no path2; a pair has two roots."),
    ("[pairs.cms]\n[pairs.cms]\n", ":2: this isn't TOML: Cannot declare ('pairs', 'cms') twice."),
    ("pears = 1\n", ":1: unknown key 'pears'; did you mean 'pairs'?"),
]


@pytest.mark.parametrize(("text", "sentence"), FILES)
@pytest.mark.parametrize(
    "command", [["run"], ["status"], ["conflicts", "list"], ["init", "cms"]], ids=" ".join
)
def test_a_wrong_config(command: list[str], text: str, sentence: str, desk: Desk) -> None:
    desk.config.write_text(text)
    answer = desk(*command)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"bisyncer: bisyncer.toml{sentence}")
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["run", "cns"],
            "bisyncer.toml has no pair 'cns' (there: cms). Name one of these, or add [pairs.cns].",
        ),
        (["run", "cms", "--all"], "run takes the names of pairs or --all, not both."),
        (["run", "--force", "everything"], "--force: 'everything' is no gate. The gates are: max-delete,"),
        (["run", "--force", "listing-incomplete"], "--force: an incomplete listing can't be forced"),
        (["run", "--transfers", "0"], "--transfers: '0' is no number from 1 to 1024."),
        (
            ["run", "--mode", "sync"],
            "--mode: 'sync' is none of: bisync, mirror, copy, dual-copy.",
        ),
        (
            ["run", "--mode", "copy", "--delete-excluded"],
            "--delete-excluded: this is for the mode mirror, and that of the pair is copy. Leave it out.",
        ),
        (
            ["run", "--mode", "mirror", "--resync", "--resync-mode", "newer"],
            "--resync-mode: the mode of the pair is mirror, in which path1 prevails",
        ),
        (["run", "--remote", "x"], "--remote: write NAME.KEY=VALUE"),
        (["run", "--config", "nowhere.toml"], "nowhere.toml, named by --config, isn't there."),
        (["run", "--state", "mysql://u@h/d"], "--state: it is no database URL;"),
        (["run", "--state", "postgresql://u:hush@h/d"], "--state holds a password, which the list of proc"),
        (["run", "--state", "postgresql://h/d?password=hush"], "--state holds a password, which the list "),
        (["doctor", "cns"], "There is no pair 'cns' in bisyncer.toml (there: cms). Name one of these."),
        (["state", "export", "cms", "--json", "--format", "csv"], "--json and --format csv exclude each "),
        (["plan", "cns"], "bisyncer.toml has no pair 'cns'"),
        (["status", "cns"], "There is no pair 'cns' (there: cms). Name one of these."),
        (["history", "cns"], "There is no pair 'cns' (there: cms). Name one of these."),
        (["problems", "cns"], "There is no pair 'cns' (there: cms). Name one of these."),
        (["conflicts", "list", "cns"], "There is no pair 'cns' (there: cms). Name one of these."),
        (["show", "7"], "There is no run 7. See `bisyncer history`."),
        (["conflicts", "show", "7"], "There is no conflict 7. See `bisyncer conflicts list`."),
        (
            ["conflicts", "resolve", "7", "--keep", "path1"],
            "There is no conflict 7. See `bisyncer conflicts list`.",
        ),
        (
            ["conflicts", "resolve", "--keep", "path1"],
            "Name the conflicts to settle, or say --all or --glob.",
        ),
        (
            ["conflicts", "resolve", "1", "--all", "--keep", "path1"],
            "Name the conflicts to settle, or say --all or --glob.",
        ),
        (
            ["conflicts", "resolve", "1", "--pair", "cms", "--keep", "path1"],
            "--pair goes with --all and --glob;",
        ),
        (["init", "cns"], "bisyncer.toml has no pair 'cns'"),
        (
            ["init", "a", "b", "c"],
            "init takes the name of a pair of the config, or two roots and maybe --name.",
        ),
        (["init", "cms", "--name", "x"], "init takes the name of a pair of the config, or two roots"),
        (["init", "one", "two", "--name", "a b"], "'a b' can't be the name of a pair."),
        (["init", "one", "two", "--name", "cms"], "bisyncer.toml has a pair 'cms' already."),
        (
            ["init", "one", "ftp://host/x"],
            "PATH2: ftp://host/x: unknown scheme 'ftp'. A root is a directory, or a URL with one of: file",
        ),
        (
            ["init", "one", "file://host/x"],
            "PATH2: file://host/x: names a host, 'host', and a tree is one of this",
        ),
        (["init", "one", "memory://two"], "PATH2: memory:// holds nothing beyond this process; it is for"),
        (["run", "--path2", "memory://two"], "--path2: memory:// holds nothing beyond this process; it is"),
        (["init", "", "two"], "PATH1: it is empty; give it a value or leave it out."),
        (["init", "one", ""], "PATH2: it is empty; give it a value or leave it out."),
        (["init", "one", "two", "--name", ""], "'' can't be the name of a pair."),
        (
            ["init", "one", "weed:", "--remote", "weed.endpoint_url=http://127.0.0.1:1"],
            "weed:: names no bucket. Write weed:bucket or weed:bucket/prefix.",
        ),
        (["init", "one", "s3://"], "s3://: names no bucket. Write s3://bucket or s3://bucket/prefix."),
        (["run", "--config="], "--config is empty. Give it a value, or leave it out."),
        (["--config=", "run"], "--config is empty. Give it a value, or leave it out."),
        (["run", "--config=one"], "one, named by --config, is a folder. Name the file that holds the pairs."),
        (["run", "--state="], "--state is empty. Give it a value, or leave it out."),
        (["run", "--max-delete", "-5%"], "--max-delete: '-5%' is no limit;"),
        (
            ["run", "--modify-window", "2d"],
            "--modify-window: '2d' would take edits of different days for one;",
        ),
        (["show", str(2**63)], "Invalid value for 'RUN': Input should be less than or equal to"),
        (["show", "0"], "Invalid value for 'RUN': Input should be greater than or equal to 1."),
        (["show", "9" * 5000], "Invalid value for 'RUN': "),
        (["history", "--limit", str(2**63)], "Invalid value for '--limit': Input should be less than or"),
        (["conflicts", "show", str(2**64)], "Invalid value for 'ID': Input should be less than or equal"),
        (
            ["conflicts", "resolve", str(2**64), "--keep", "path1"],
            "Invalid value for 'ID': Input should be less than or equal",
        ),
        (["init", "one", "minio:bucket"], "minio:bucket: no remote named 'minio' in the config"),
        (["init", "one", "one/inside"], "path1 (file://"),
        (["init", "one", "nowhere"], "file://"),
    ],
)
def test_a_wrong_wish(arguments: list[str], sentence: str, desk: Desk) -> None:
    desk.configure()
    desk.tree("one/inside")
    before = desk.config.read_text()
    answer = desk(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"bisyncer: {sentence}"), answer.err
    assert answer.err.count("\n") == 1
    assert "hush" not in answer.err
    assert desk.config.read_text() == before


def test_no_config_at_all(desk: Desk) -> None:
    answer = desk("run")
    assert answer.code == 2
    assert answer.err.startswith("bisyncer: There is no pair to run: ")
    assert "isn't there. Write it, or make a pair with `bisyncer init PATH1 PATH2`." in answer.err
    assert desk("status") == (0, "There is no pair yet: bisyncer init PATH1 PATH2.\n", "")


def test_a_misspelt_variable(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.configure()
    monkeypatch.setenv("BISYNCER_MAX_DELTE", "5")
    answer = desk("run")
    assert answer.code == 2
    assert "did you mean 'BISYNCER_MAX_DELETE'?" in answer.err


def test_a_state_that_can_not_be_opened(desk: Desk) -> None:
    desk.configure()
    desk.state.write_text("this is no database, but a letter to a friend" * 100)
    answer = desk("run")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("bisyncer: ") and answer.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["init", "one", "two", "--exclude", "*.\udcff"],
        ["init", "one", "tw\udcff"],
        ["trash", "list", "cms", "caf\udce9"],
        ["trash", "restore", "cms", "caf\udce9"],
        ["plan", "cms", "--explain", "caf\udce9"],
        ["run", "cms", "--prefix", "caf\udce9"],
        ["conflicts", "list", "--glob", "caf\udce9"],
    ],
    ids=" ".join,
)
def test_a_word_that_is_no_text(arguments: list[str], desk: Desk) -> None:
    desk.align(files=1)
    before = desk.config.read_text()
    answer = desk(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert "isn't UTF-8" in answer.err
    assert answer.err.count("\n") == 1
    assert desk.config.read_text() == before


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("type = ['s3']", '["s3"] is no text; put it in quotes.'),
        ("type = 's3'\naddressing_style = ['path']", '["path"] is no text; put it in quotes.'),
        ("type = 's3'\nsecret_access_key_file = '~nobody-here/key'", "isn't there or can't be read."),
        ("type = 's3'\nsecret_access_key_env = 'minioadmin'", "the environment has no such variable."),
    ],
)
def test_a_wrong_remote(text: str, sentence: str, desk: Desk) -> None:
    desk.config.write_text(f"[pairs.cms]\npath1 = 'one'\npath2 = 'm:b'\n[remotes.m]\n{text}\n")
    answer = desk("init", "cms")
    assert (answer.code, answer.out) == (2, "")
    assert sentence in answer.err
    assert "minioadmin" not in answer.err
    assert answer.err.count("\n") == 1


def test_a_filters_file_of_a_user_that_is_not_there(desk: Desk) -> None:
    desk.configure({"cms": "filters_file = '~nobody-here/cms.filters'"})
    answer = desk("run", "cms")
    assert (answer.code, answer.out) == (2, "")
    assert "can't be read: No such file or directory" in answer.err


@pytest.mark.parametrize("rule", ["path2", "newer"])
@pytest.mark.parametrize("mode", ["mirror", "copy"])
def test_a_rule_that_the_mode_of_the_pair_never_follows(mode: str, rule: str, desk: Desk) -> None:
    desk.configure({"cms": f"mode = '{mode}'\nconflict_resolve = '{rule}'"})
    assert desk("init", "cms", "--resync").code == 0
    answer = desk("run", "cms", "--resync", "--conflict-resolve", rule)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(
        f"bisyncer: --conflict-resolve: the mode of the pair is {mode}, in which path1"
    )


def test_a_name_that_no_file_can_have(desk: Desk) -> None:
    desk.align(files=1)
    long = "x" * 300
    for arguments in (
        ["state", "backup", long],
        ["state", "restore", long, "--yes"],
        ["run", "--config", long],
    ):
        answer = desk(*arguments)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.count("\n") == 1


@pytest.mark.parametrize("root", ["ftp://host/x", "file://host/x"])
def test_a_root_that_no_store_has_is_told_with_its_place(root: str, desk: Desk) -> None:
    desk.config.write_text(f"[pairs.cms]\npath1 = 'one'\npath2 = '{root}'\n")
    answer = desk("run", "cms")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"bisyncer: bisyncer.toml:3: path2 in [pairs.cms]: {root}: ")
