from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bisyncer.config import load as loading
from bisyncer.config.config import Config
from bisyncer.config.environment import counted_remote_flag
from bisyncer.config.load import load
from bisyncer.config.relative import absolute_root
from bisyncer.errors import UsageError
from bisyncer.job import Bounds, Evidence, Job, Limit, Limits, Loser, Policy, Remote, Resolve
from bisyncer.model import Mode

PAIR = '[pairs.cms]\npath1 = "/a"\npath2 = "/b"\n'


def write(text: str, path: Path = Path("bisyncer.toml")) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def read(text: str, **asked: Any) -> Config:
    return load(write(text), **asked)


def refused(text: str, **asked: Any) -> str:
    with pytest.raises(UsageError) as caught:
        read(text, **asked)
    assert caught.value.exit_code == 2
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def test_a_pair_with_two_roots_and_nothing_else_is_a_job_of_defaults() -> None:
    assert read(PAIR).job("cms") == Job("cms", "/a", "/b")


def test_every_key_of_a_pair_reaches_the_job() -> None:
    config = read(
        """
        state = "sqlite:////var/lib/bisyncer/state.db"
        [remotes.minio]
        type = "s3"
        endpoint_url = "http://127.0.0.1:8333"
        region = "eu-central-1"
        profile = "minio"
        addressing_style = "path"
        storage_class = "STANDARD_IA"
        sse = "aws:kms"
        sse_kms_key_id = "alias/content"
        [pairs.cms]
        path1 = "/mnt/nfs/content"
        path2 = "minio:cms-content/live"
        mode = "bisync"
        compare = ["size", "hash"]
        modify_window = "2s"
        exclude = ["*.tmp", ".git/**"]
        include = ["/docs/"]
        exclude_if_present = ".nosync"
        min_size = "1B"
        max_size = "1.5G"
        min_age = "30s"
        max_age = "7d"
        check_file = ".bisyncer-check"
        require_mount = true
        max_delete = ["20%", 100]
        conflict_resolve = "larger"
        conflict_loser = "pathname"
        conflict_suffix = ["here", "{DateOnly} there"]
        resync_mode = "older"
        metadata = false
        require_conditional = true
        bwlimit = "08:00,512k Sat-00:00,off"
        max_duration = "2h"
        transfers = 3
        stale_after = "1h30m"
        """
    )

    assert config.state == "sqlite:////var/lib/bisyncer/state.db"
    assert config.stale_after_ns("cms") == 5400 * 10**9
    assert config.job("cms", dry_run=True, resync=True, force=["emptied"]) == Job(
        pair="cms",
        path1="/mnt/nfs/content",
        path2="minio:cms-content/live",
        mode=Mode.BISYNC,
        remotes=(
            Remote(
                name="minio",
                type="s3",
                endpoint_url="http://127.0.0.1:8333",
                region="eu-central-1",
                profile="minio",
                addressing_style="path",
                storage_class="STANDARD_IA",
                sse="aws:kms",
                sse_kms_key_id="alias/content",
            ),
        ),
        policy=Policy(
            compare=frozenset({Evidence.SIZE, Evidence.HASH}),
            modify_window_ns=2 * 10**9,
            bounds=Bounds(1, 3 * 2**29, 30 * 10**9, 7 * 86400 * 10**9),
            conflict_resolve=Resolve.LARGER,
            conflict_loser=Loser.PATHNAME,
            conflict_suffix=("here", "{DateOnly} there"),
            resync_mode=Resolve.OLDER,
        ),
        limits=Limits(max_delete_percent=20.0, max_delete_count=100, force=frozenset({"emptied"})),
        exclude=("*.tmp", ".git/**"),
        include=("/docs/",),
        exclude_if_present=".nosync",
        check_file=".bisyncer-check",
        require_mount=True,
        transfers=3,
        metadata=False,
        require_conditional=True,
        bwlimit=(Limit(None, 480, 512 * 1024), Limit(5, 0, None)),
        max_duration_ns=7200 * 10**9,
        dry_run=True,
        resync=True,
    )


def test_the_first_of_the_five_places_is_the_config_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = tmp_path / "etc/bisyncer.toml"
    monkeypatch.setattr(loading, "SYSTEM_FILE", system)
    own = tmp_path / "home/.config/bisyncer/bisyncer.toml"
    assert loading.find(None) == (own, False)

    write(PAIR, system)
    assert loading.find(None) == (system, True)

    write(PAIR, own)
    assert loading.find(None) == (own, True)

    write(PAIR)
    assert loading.find(None) == (Path("bisyncer.toml"), True)

    monkeypatch.setenv("BISYNCER_CONFIG", str(write(PAIR, tmp_path / "named.toml")))
    assert loading.find(None) == (tmp_path / "named.toml", True)

    asked = write(PAIR, tmp_path / "asked.toml")
    assert loading.find(asked) == (asked, True)


def test_a_place_that_may_not_be_searched_is_passed_over_unless_it_is_named_or_the_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = write(PAIR, tmp_path / "etc/bisyncer.toml")
    monkeypatch.setattr(loading, "SYSTEM_FILE", system)
    named = tmp_path / "closed/bisyncer.toml"
    closed = {Path("bisyncer.toml"), tmp_path / "home/.config/bisyncer/bisyncer.toml", named}
    exists = Path.exists

    def searched(path: Path) -> bool:
        if path in closed:
            raise PermissionError(13, "Permission denied", str(path))  # as stat() of a user who isn't root
        return exists(path)

    monkeypatch.setattr(Path, "exists", searched)
    assert loading.find(None) == (system, True)

    with pytest.raises(UsageError, match=r"closed/bisyncer\.toml can't be looked at: Permission denied"):
        loading.find(named)
    closed.add(system)
    with pytest.raises(UsageError, match=r"etc/bisyncer\.toml can't be looked at"):
        loading.find(None)


def test_a_flag_beats_the_environment_which_beats_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    text = PAIR + "transfers = 1\nmodify_window = '1s'\nexclude = ['a']\n"
    monkeypatch.setenv("BISYNCER_TRANSFERS", "2")
    monkeypatch.setenv("BISYNCER_MODIFY_WINDOW", "2s")

    job = read(text, flags={"transfers": "3"}).job("cms")

    assert job.transfers == 3
    assert job.policy.modify_window_ns == 2 * 10**9
    assert job.exclude == ("a",)


def test_the_state_follows_the_same_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert load(None).state == f"sqlite:///{tmp_path}/home/.local/state/bisyncer/state.db"

    text = 'state = "sqlite:////file.db"\n'
    assert read(text).state == "sqlite:////file.db"

    monkeypatch.setenv("BISYNCER_STATE", "sqlite:////environment.db")
    assert read(text).state == "sqlite:////environment.db"

    assert read(text, state="sqlite:////flag.db").state == "sqlite:////flag.db"


def test_a_relative_state_and_a_relative_root_count_from_the_folder_of_the_file(tmp_path: Path) -> None:
    path = write(
        'state = "sqlite:///state.db"\n[pairs.cms]\npath1 = "./content"\npath2 = "~/copy"\n',
        tmp_path / "etc/b.toml",
    )

    config = load(path)

    assert config.state == f"sqlite:///{tmp_path}/etc/state.db"
    assert config.job("cms").path1 == f"{tmp_path}/etc/content"
    assert config.job("cms").path2 == f"{tmp_path}/home/copy"


@pytest.mark.parametrize("root", ["s3://bucket/x", "minio:bucket/x", "file:///x", "/x", "", " "])
def test_a_url_a_remote_and_an_absolute_directory_stay_as_they_are(root: str) -> None:
    assert absolute_root(root, Path("/folder")) == root


def test_a_list_in_the_environment_has_commas_and_a_switch_is_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BISYNCER_EXCLUDE", "*.tmp, .git/**")
    monkeypatch.setenv("BISYNCER_COMPARE", "size,mtime")
    monkeypatch.setenv("BISYNCER_MAX_DELETE", "10%,5")
    monkeypatch.setenv("BISYNCER_REQUIRE_MOUNT", "yes")

    job = read(PAIR).job("cms")

    assert job.exclude == ("*.tmp", ".git/**")
    assert job.policy.compare == {Evidence.SIZE, Evidence.MTIME}
    assert (job.limits.max_delete_percent, job.limits.max_delete_count) == (10.0, 5)
    assert job.require_mount


def test_a_pattern_in_the_environment_keeps_the_commas_in_its_braces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BISYNCER_EXCLUDE", "*.{jpg,{png,gif}}, *.tmp ,{a,b}/x,c")

    assert read(PAIR).job("cms").exclude == ("*.{jpg,{png,gif}}", "*.tmp", "{a,b}/x", "c")


def test_a_secret_in_the_wrong_place_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = PAIR.replace("/b", "m:bucket")
    with pytest.raises(UsageError) as told:
        read(pair + "[remotes.m]\nsecret_access_key_env = 'wJalr/XUtn+FEMI'\n").job("cms")
    assert "wJalr" not in str(told.value)
    monkeypatch.setenv("BISYNCER_STATE", "postgresql+psycopg://u:secret@h/db\r")
    with pytest.raises(UsageError, match="holds a control character") as told:
        read(PAIR)
    assert "secret" not in str(told.value)


def test_the_file_of_a_secret_counts_from_the_folder_of_the_config(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    path = write(PAIR + "[remotes.m]\nsecret_access_key_file = 'key'\n", tmp_path / "deep/b.toml")

    assert loading.load(path).remotes["m"].secret_access_key_file == str(tmp_path / "deep/key")


def test_the_file_of_a_secret_in_a_flag_counts_from_here_and_is_written_so(tmp_path: Path) -> None:
    assert counted_remote_flag("m.sas_file=key") == f"m.sas_file={Path.cwd() / 'key'}"
    assert counted_remote_flag("m.sas_file=~/key") == "m.sas_file=~/key"
    assert counted_remote_flag("m.region=eu=1") == "m.region=eu=1"
    path = write(PAIR, tmp_path / "deep/b.toml")
    config = loading.load(path, remotes=["m.secret_access_key_file=key"])
    assert config.remotes["m"].secret_access_key_file == str(Path.cwd() / "key")


def test_a_timetable_in_the_environment_keeps_its_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BISYNCER_BWLIMIT", "08:00,1M 18:00,off")
    monkeypatch.setenv("BISYNCER_METADATA", "no")
    monkeypatch.setenv("BISYNCER_MAX_DURATION", "90m")

    job = read(PAIR).job("cms")

    assert job.bwlimit == (Limit(None, 480, 1024**2), Limit(None, 1080, None))
    assert (job.metadata, job.max_duration_ns) == (False, 5400 * 10**9)


@pytest.mark.parametrize(("value", "limit"), [("512", 512 * 1024), ("'10M'", 10 * 1024**2)])
def test_a_limit_of_bandwidth_may_be_a_bare_number_of_kib(value: str, limit: int) -> None:
    assert read(PAIR + f"bwlimit = {value}\n").job("cms").bwlimit == (Limit(None, 0, limit),)


def test_a_remote_is_set_by_the_environment_and_by_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BISYNCER_REMOTES_MY_MINIO_ENDPOINT_URL", "http://one:1")
    monkeypatch.setenv("BISYNCER_REMOTES_OTHER_REGION", "eu-west-1")

    config = read("[remotes.my-minio]\nregion = 'x'\n", remotes=["my-minio.profile=p"])

    assert config.remotes["my-minio"] == Remote(
        "my-minio", endpoint_url="http://one:1", region="x", profile="p"
    )
    assert config.remotes["other"] == Remote("other", region="eu-west-1")


def test_a_root_from_outside_is_for_a_single_pair_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BISYNCER_PATH1", "/elsewhere")
    assert read(PAIR).job("cms").path1 == "/elsewhere"

    assert refused(PAIR + '[pairs.two]\npath1 = "/c"\npath2 = "/d"\n') == (
        "BISYNCER_PATH1: the config has 2 pairs, and they can't share a root. Set it in the file."
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            PAIR + "exlude = []\n",
            "bisyncer.toml:4: unknown key 'exlude' in [pairs.cms]; did you mean 'exclude'?",
        ),
        ("stat = 'x'\n", "bisyncer.toml:1: unknown key 'stat'; did you mean 'state'?"),
        ("\n[pair.cms]\npath1 = '/a'\n", "bisyncer.toml:2: unknown key 'pair'; did you mean 'pairs'?"),
        (
            "[remotes.m]\nendpont_url = 'http://x'\n",
            "bisyncer.toml:2: unknown key 'endpont_url' in [remotes.m]; did you mean 'endpoint_url'?",
        ),
        (
            "[remotes.m]\nsecret_access_key = 'hush'\n",
            "bisyncer.toml:2: unknown key 'secret_access_key' in [remotes.m]; did you mean 'secret",
        ),
        (
            "[pairs]\ncms = { path1 = '/a', path2 = '/b', zzz = 1 }\n",
            "bisyncer.toml:2: unknown key 'zzz' in [pairs.cms]. Known here: path1, path2,",
        ),
        (PAIR + "# later\nhooks = true\n", "bisyncer.toml:5: unknown key 'hooks' in [pairs.cms]"),
        (
            "# none\n[pairs.cms]\npath1 = '/a'\n",
            "bisyncer.toml:2: [pairs.cms] has no path2; a pair has two roots.",
        ),
        ("[pairs.cms]\n", "bisyncer.toml:1: [pairs.cms] has no path1 and no path2; a pair has two roots."),
        ("pairs = 3\n", "bisyncer.toml:1: 'pairs' is no table; write [pairs.NAME]."),
        (
            "[pairs]\ncms = '/a'\n",
            "bisyncer.toml:2: 'cms' is no table; write [pairs.cms] and its keys below it.",
        ),
        ("[pairs.'c m s']\npath1 = '/a'\n", "bisyncer.toml:1: 'c m s' can't be a name in [pairs]."),
        ("state = \n", "bisyncer.toml:1: this isn't TOML: Invalid value"),
        ("a = 1\nb = 2\na = 3\n", "bisyncer.toml:3: this isn't TOML: Cannot overwrite a value"),
        ('x = "abc', "bisyncer.toml:1: this isn't TOML: "),
    ],
)
def test_what_is_wrong_in_the_file_is_one_line_with_its_place(text: str, sentence: str) -> None:
    assert refused(text).startswith(sentence)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("mode = 'sync'", "'sync' is none of: bisync, mirror, copy, dual-copy."),
        ("compare = ['size', 'colour']", '["size", "colour"] is not \'auto\' and not a list of any of: size'),
        ("compare = []", "[] is not 'auto' and not a list"),
        ("modify_window = 2", "2 is no duration; write numbers with units: 500ms, 2s, 5m, 1h30m or 7d."),
        ("modify_window = '2 weeks'", "'2 weeks' is no duration;"),
        ("modify_window = '-2s'", "'-2s' is no duration;"),
        ("exclude = '*.tmp'", "'*.tmp' is no list;"),
        ("exclude = ['']", "it is empty;"),
        ("exclude = ['!']", "'!' is not a gitignore pattern"),
        ("exclude_if_present = 'd/.nosync'", "'d/.nosync' is no name of a file;"),
        ("max_size = '10'", "'10' is no size; write a number with B, K, M, G, T or P, such as 10M, or off."),
        ("min_size = 10", "10 is no text; put it in quotes."),
        ("max_size = '9999999P'", "'9999999P' is larger than any file;"),
        ("min_age = '30'", "'30' is no duration;"),
        ("check_file = '/abs'", "'/abs' names no file below a root;"),
        ("check_file = '../up'", "'../up' names no file below a root;"),
        ("require_mount = 'maybe'", "'maybe' is neither true nor false."),
        ("max_delete = '150%'", "'150%' is no limit;"),
        ("max_delete = -1", "-1 is no limit;"),
        ("max_delete = true", "true is no limit;"),
        ("max_delete = ['1%', '2%']", '["1%", "2%"] is no limit;'),
        ("max_delete = []", "[] is no limit;"),
        (
            "conflict_resolve = 'both'",
            "'both' is none of: none, newer, older, larger, smaller, path1, path2.",
        ),
        ("conflict_loser = 'rename'", "'rename' is none of: num, pathname, delete."),
        ("conflict_suffix = 'a/b'", "'a/b' can't end a name in every store;"),
        ("conflict_suffix = 'a:b'", "'a:b' can't end a name in every store;"),
        ("conflict_suffix = 'old.'", "'old.' can't end a name in every store;"),
        ("conflict_suffix = 'a,b,c'", "'a,b,c' is not one suffix, or two with a comma between them."),
        ("conflict_suffix = []", "[] is not one suffix, or two with a comma between them."),
        ("conflict_suffix = 5", "5 is not one suffix, or two with a comma between them."),
        (
            "conflict_suffix = '{DateTime}'",
            "{DateTime} is no date that a name can hold in every store; there are: {DateOnly}, ",
        ),
        ("resync_mode = 'both'", "'both' is none of: none, newer, older, larger, smaller, path1, path2."),
        ("transfers = 0", "0 is no number from 1 to 1024."),
        ("transfers = true", "true is no number from 1 to 1024."),
        ("metadata = 'some'", "'some' is neither true nor false."),
        ("require_conditional = 2", "2 is neither true nor false."),
        ("bwlimit = '10M:100k'", "'10M:100k' is one limit for uploads and one for downloads;"),
        ("bwlimit = '25:00,1M'", "'25:00,1M' is no line of a timetable;"),
        ("bwlimit = true", "true is no text;"),
        ("bwlimit = ''", "it is empty;"),
        ("max_duration = '0s'", "'0s' leaves no time for any work;"),
        ("max_duration = 3600", "3600 is no duration;"),
        ("stale_after = 'soon'", "'soon' is no duration;"),
    ],
)
def test_a_bad_value_is_told_with_its_place_and_with_what_it_may_be(line: str, sentence: str) -> None:
    key = line.partition(" ")[0]
    assert refused(PAIR + line + "\n").startswith(f"bisyncer.toml:4: {key} in [pairs.cms]: {sentence}")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("endpoint_url = 'minio:9000'", "'minio:9000' is no URL;"),
        ("endpoint_url = 'http://:9000'", "'http://:9000' is no URL;"),
        ("endpoint_url = 'http://host:port'", "it is no URL;"),
        ("endpoint_url = 'http://me:hush@host'", "it holds a user name or a password;"),
        (
            "type = 'swift'",
            "'swift' is no type of remote that this version knows; there are: s3, azure, oci.",
        ),
        ("addressing_style = 'dns'", "'dns' is none of: auto, path, virtual."),
        ("auth = 'magic'", "'magic' is none of: api_key, security_token, instance_principal,"),
        ("request_payer = 'me'", "'me' is neither true nor false."),
        ("list_version = 3", "3 is none of: auto, 1, 2."),
        ("access_tier = 'Hot'", "a remote of type s3 has no access_tier."),
        ("namespace = 'n'", "a remote of type s3 has no namespace."),
        ("sse = 'AES'", "'AES' is none of: AES256, aws:kms, aws:kms:dsse."),
        ("sas_env = 'SAS'", "a remote of type s3 has no sas_env. Known here: type, endpoint_url, region,"),
    ],
)
def test_a_bad_value_of_a_remote_is_told_without_its_secret(line: str, sentence: str) -> None:
    told = refused(f"[remotes.m]\n{line}\n")
    assert told.startswith(f"bisyncer.toml:2: {line.partition(' ')[0]} in [remotes.m]: {sentence}")
    assert "hush" not in told


@pytest.mark.parametrize("word", ["oci", "oracleobjectstorage"])
def test_a_remote_of_oci_is_known_by_both_names(word: str) -> None:
    text = (
        f"[remotes.o]\ntype = '{word}'\nauth = 'instance_principal'\nnamespace = 'n'\nconfig_file = '~/c'\n"
    )
    assert read(text).remotes["o"] == Remote(
        name="o", type="oci", auth="instance_principal", namespace="n", config_file="~/c"
    )


@pytest.mark.parametrize("root", ["oci://b/p", "OCI://b@n/p", "oci:b/p"])
def test_a_config_file_that_is_missing_is_told_for_the_pair_that_needs_it(root: str, tmp_path: Path) -> None:
    remote = "[remotes.oci]\ntype = 'oci'\nconfig_file = '~/.oci/cfg'\n"
    text = f"{remote}[pairs.cms]\npath1 = '/a'\npath2 = '{root}'\n"
    with pytest.raises(UsageError, match=r"bisyncer\.toml:3: config_file .*~/\.oci/cfg isn't there"):
        read(text).job("cms")
    (tmp_path / "home/.oci").mkdir(parents=True)
    (tmp_path / "home/.oci/cfg").touch()
    assert read(text).job("cms").path2 == root


@pytest.mark.parametrize("word", ["azure", "azureblob"])
def test_a_remote_of_azure_has_keys_of_its_own(word: str) -> None:
    remote = read(f"[remotes.a]\ntype = '{word}'\naccount = 'acct'\nsas_env = 'SAS'\n").remotes["a"]

    assert (remote.type, remote.account, remote.sas_env) == ("azure", "acct", "SAS")
    told = refused(f"[remotes.a]\ntype = '{word}'\nregion = 'eu-west-1'\n")
    assert told.startswith("bisyncer.toml:3: region in [remotes.a]: a remote of type azure has no region.")


def test_the_newer_keys_of_each_type_reach_the_remote() -> None:
    remotes = read(
        """
        [remotes.s]
        sse_customer_key_env = "SSEC"
        request_payer = true
        list_version = 1
        [remotes.t]
        sse_customer_key_file = "~/key"
        list_version = "2"
        [remotes.a]
        type = "azure"
        account = "acct"
        tenant_id = "t"
        client_id = "c"
        client_secret_env = "SECRET"
        access_tier = "Cool"
        [remotes.o]
        type = "oci"
        storage_class = "InfrequentAccess"
        """
    ).remotes

    assert remotes["s"] == Remote("s", sse_customer_key_env="SSEC", request_payer=True, list_version="1")
    assert remotes["t"] == Remote("t", sse_customer_key_file="~/key", list_version="2")
    assert remotes["a"] == Remote(
        "a",
        type="azure",
        account="acct",
        tenant_id="t",
        client_id="c",
        client_secret_env="SECRET",
        access_tier="Cool",
    )
    assert remotes["o"] == Remote("o", type="oci", storage_class="InfrequentAccess")


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (
            "type = 'azure'\naccess_tier = 'hot'",
            "access_tier in [remotes.r]: 'hot' is none of: Hot, Cool, Cold,",
        ),
        ("type = 'azure'\nlist_version = 1", "list_version in [remotes.r]: a remote of type azure has no"),
        ("type = 'oci'\nsse = 'AES256'", "sse in [remotes.r]: a remote of type oci has no sse."),
        ("type = 'oci'\nclient_id = 'c'", "client_id in [remotes.r]: a remote of type oci has no client_id."),
        (
            "type = 'oci'\nstorage_class = 'STANDARD_IA'",
            "storage_class in [remotes.r]: 'STANDARD_IA' is none of: Standard, InfrequentAccess, Archive.",
        ),
        (
            "sse_customer_key_env = 'A'\nsse_customer_key_file = 'b'",
            "sse_customer_key_file in [remotes.r]: sse_customer_key_env is given too, and an object is",
        ),
        (
            "sse_customer_key_file = 'b'\nsse = 'AES256'",
            "sse in [remotes.r]: sse_customer_key_file is given too, and an object is encrypted with",
        ),
    ],
)
def test_a_key_of_another_type_and_two_that_exclude_each_other_are_told(lines: str, sentence: str) -> None:
    assert refused(f"[remotes.r]\n{lines}\n").startswith(f"bisyncer.toml:3: {sentence}")


@pytest.mark.parametrize("root", ["azure://c/x", "az://c/x", "azure:c/x"])
def test_a_missing_secret_of_azure_is_told_for_every_way_to_write_its_root(root: str) -> None:
    remote = "[remotes.azure]\ntype = 'azure'\nsas_env = 'NO_SUCH_SAS'\n"
    text = f"{remote}[pairs.p]\npath1 = '/d'\npath2 = '{root}'\n"
    with pytest.raises(UsageError, match="the environment has no NO_SUCH_SAS"):
        read(text).job("p")


def test_a_bad_state_is_told_without_its_password() -> None:
    told = refused("state = 'mysql://me:hush@host/x'\n")
    assert told.startswith("bisyncer.toml:1: state: it is no database URL; write sqlite:////var")
    assert "hush" not in told

    assert refused("state = 'sqlite://x.db'\n").startswith(
        "bisyncer.toml:1: state: 'sqlite://x.db' has too few"
    )


def test_a_bad_value_from_outside_is_told_with_its_variable_or_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(PAIR, flags={"max_delete": ["lots"]}).startswith("--max-delete: 'lots' is no limit;")

    monkeypatch.setenv("BISYNCER_TRANSFERS", "many")
    assert refused(PAIR) == "BISYNCER_TRANSFERS: 'many' is no number from 1 to 1024."


def test_a_variable_that_is_no_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BISYNCER_MAX_DELTE", "5")
    assert refused(PAIR) == (
        "BISYNCER_MAX_DELTE is in the environment and is no setting; did you mean 'BISYNCER_MAX_DELETE'?"
    )


def test_a_variable_that_holds_a_secret_is_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BISYNCER_KEY_OF_MINIO", "hush")
    text = "[remotes.m]\nsecret_access_key_env = 'BISYNCER_KEY_OF_MINIO'\n"
    assert read(text).remotes["m"].secret_access_key_env == "BISYNCER_KEY_OF_MINIO"


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("minio", "--remote: write NAME.KEY=VALUE"),
        ("minio.secret_access_key=hush", "--remote: unknown key 'secret_access_key' of a remote"),
        ("minio.endpoint_url=nowhere", "--remote minio.endpoint_url: 'nowhere' is no URL;"),
    ],
)
def test_a_bad_remote_flag_is_told_without_a_secret(flag: str, sentence: str) -> None:
    told = refused(PAIR, remotes=[flag])
    assert told.startswith(sentence)
    assert "hush" not in told


def test_a_remote_variable_that_is_no_setting_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BISYNCER_REMOTES_M_COLOUR", "red")
    assert "BISYNCER_REMOTES_M_COLOUR is in the environment and is no setting" in refused(PAIR)


def test_a_secret_that_is_missing_is_told_for_the_pair_that_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    config = read(
        "[remotes.m]\nsecret_access_key_env = 'M_SECRET'\n"
        "[remotes.n]\nsecret_access_key_file = '/nowhere/secret'\n"
        "[pairs.a]\npath1 = '/a'\npath2 = 'm:bucket'\n"
        "[pairs.b]\npath1 = '/b'\npath2 = 'n:bucket'\n"
        "[pairs.c]\npath1 = '/c'\npath2 = '/d'\n"
    )

    assert config.job("c")
    with pytest.raises(
        UsageError, match=re.escape("bisyncer.toml:2: secret_access_key_env in [remotes.m]: the")
    ):
        config.job("a")
    with pytest.raises(
        UsageError, match=re.escape("bisyncer.toml:4: secret_access_key_file in [remotes.n]: /no")
    ):
        config.job("b")
    monkeypatch.setenv("M_SECRET", "x")
    assert config.job("a")


def test_a_pair_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(UsageError, match=re.escape("bisyncer.toml has no pair 'cns' (there: cms).")):
        read(PAIR).pair("cns")
    Path("bisyncer.toml").unlink()
    with pytest.raises(UsageError, match="There is no pair 'cms', since there is no config file yet"):
        load(None).pair("cms")


def test_a_named_file_that_is_missing_is_refused_unless_it_will_be_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UsageError, match=r"^none.toml, named by --config, isn't there"):
        load(Path("none.toml"))
    assert not load(Path("none.toml"), new_pair=True).exists
    monkeypatch.setenv("BISYNCER_CONFIG", "other.toml")
    with pytest.raises(UsageError, match=r"^other.toml, named by BISYNCER_CONFIG, isn't there"):
        load(None)


def test_a_file_that_is_no_text_or_can_not_be_read_is_one_line() -> None:
    Path("bisyncer.toml").write_bytes(b"# fine\nstate = '\xff'\n")
    with pytest.raises(UsageError, match=r"^bisyncer.toml:2: this isn't UTF-8"):
        load(None)
    Path("folder").mkdir()
    with pytest.raises(UsageError, match=r"^folder, named by --config, is a folder. Name the file"):
        load(Path("folder"))


def test_a_new_pair_takes_its_roots_as_they_count_from_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BISYNCER_TRANSFERS", "2")
    config = load(None, flags={"exclude": ["x"]}).with_pair("new", "./tree", "s3://bucket")

    assert config.job("new") == Job(
        "new", f"{tmp_path}/here/tree", "s3://bucket", exclude=("x",), transfers=2
    )


@pytest.mark.parametrize("name", ["", "-x", "a b", "a/b", "ä", "x" * 65])
def test_a_name_that_no_unit_and_no_flag_could_carry_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="can't be the name of a pair"):
        load(None).with_pair(name, "/a", "/b")


def test_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(UsageError, match="has a pair 'cms' already"):
        read(PAIR).with_pair("cms", "/x", "/y")


@pytest.mark.parametrize("where", ["file", "flag", "variable", "argument"])
def test_a_root_in_memory_is_refused_wherever_it_is_named(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("bisyncer.toml").write_text(PAIR)
    sentence = "memory:// holds nothing beyond this process; it is for tests. Name a directory or a bucket."
    if where == "file":
        assert sentence in refused('[pairs.cms]\npath1 = "Memory://m"\npath2 = "/x"\n')
    elif where == "flag":
        assert refused(PAIR, flags={"path2": "memory://m"}) == f"--path2: {sentence}"
    elif where == "variable":
        monkeypatch.setenv("BISYNCER_PATH2", "memory://m")
        assert refused(PAIR) == f"BISYNCER_PATH2: {sentence}"
    else:
        with pytest.raises(UsageError, match=r"^PATH2: memory:// holds nothing"):
            load(None).with_pair("new", "/x", "memory://m")


@pytest.mark.parametrize(("variable", "like"), [("BISYNCER_PAGER", None), ("BISYNCER_EXLUDE", "EXCLUDE")])
def test_the_prefix_of_all_variables_makes_no_two_of_them_alike(
    variable: str, like: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "5")
    said = refused(PAIR)
    assert ("did you mean" in said) == (like is not None)
    assert like is None or said.endswith(f"did you mean 'BISYNCER_{like}'?")


@pytest.mark.parametrize(("kind", "least", "most"), [("size", "1M", "1K"), ("age", "2d", "1d")])
def test_bounds_that_no_version_is_within_are_refused(kind: str, least: str, most: str) -> None:
    config = read(PAIR + f"min_{kind} = '{least}'\nmax_{kind} = '{most}'\n")

    with pytest.raises(UsageError, match=rf"toml:5: max_{kind} in .* it is less than min_{kind}"):
        config.job("cms")


def test_a_root_may_come_by_a_flag_alone(tmp_path: Path) -> None:
    file = write("[pairs.cms]\npath2 = '/two'\n", tmp_path / "bisyncer.toml")

    assert load(file, flags={"path1": "/one"}).job("cms").path1 == "/one"
    with pytest.raises(UsageError, match="has no path1"):
        load(file)


def test_the_variable_of_a_secret_is_no_setting_wherever_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(PAIR + "[remotes.minio]\ntype = 's3'\n", tmp_path / "bisyncer.toml")
    monkeypatch.setenv("BISYNCER_KEY", "hush")
    with pytest.raises(UsageError, match="BISYNCER_KEY is in the environment and is no setting"):
        load(file)

    assert load(file, remotes=["minio.secret_access_key_env=BISYNCER_KEY"]).remotes["minio"]
    monkeypatch.setenv("BISYNCER_REMOTES_MINIO_SECRET_ACCESS_KEY_ENV", "BISYNCER_KEY")
    assert load(file).remotes["minio"].secret_access_key_env == "BISYNCER_KEY"
