"""Empty directories and links between a real tree and a real bucket, which rclone reads and writes too."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.rclone_serve import rclone
from tests.scenarios.conftest import PAIR, Operator, actions
from tests.servers import BUCKET, S3Server


def test_empty_directories_and_links_go_both_ways_and_rclone_reads_and_writes_the_same(
    tmp_path: Path, operator: Operator, seaweed: S3Server, prefix: str
) -> None:
    config = operator.folder / "bisyncer.toml"
    config.write_text(config.read_text() + 'create_empty_dirs = true\nlinks = "keep"\n')
    tree = operator.tree
    (tree / "inbox" / "deep").mkdir(parents=True)
    (tree / "file").write_text("file")
    (tree / "link").symlink_to("file")
    (tree / "outside").symlink_to("/no/such/place")
    rclones = tmp_path / "rclones"

    assert actions(operator.report("init", PAIR, "--resync")) == {"copy-to-path2": 4}
    copied(seaweed, f":s3:{BUCKET}/{prefix}", str(rclones))
    assert (rclones / "inbox" / "deep").is_dir()
    assert str((rclones / "link").readlink()) == "file"
    assert str((rclones / "outside").readlink()) == "/no/such/place"

    (rclones / "link").unlink()
    (rclones / "link").symlink_to("file of rclone")
    (rclones / "made by rclone").mkdir()
    copied(seaweed, str(rclones), f":s3:{BUCKET}/{prefix}")
    assert actions(operator.report("run", PAIR)) == {"copy-to-path1": 2}
    assert str((tree / "link").readlink()) == "file of rclone"
    assert (tree / "made by rclone").is_dir()

    with seaweed.client() as client:
        for key in ("inbox/deep/", "link.rclonelink"):
            client.delete_object(Bucket=BUCKET, Key=f"{prefix}/{key}")
    assert actions(operator.report("run", PAIR)) == {"delete-from-path1": 2}
    assert not (tree / "link").is_symlink()
    assert list((tree / "inbox").iterdir()) == []  # which rclone made a marker of its own for
    (tree / "made by rclone").rmdir()
    assert actions(operator.report("run", PAIR)) == {"delete-from-path2": 1, "record": 1}
    assert actions(operator.report("run", PAIR)) == {}


def copied(server: S3Server, source: str, target: str) -> None:
    """What rclone copies, with its options for links and for the markers of directories."""
    subprocess.run(
        [
            rclone(),
            "--config=/dev/null",
            "copy",
            "--links",
            "--create-empty-src-dirs",
            "--s3-directory-markers",
            "--s3-provider=SeaweedFS",
            f"--s3-endpoint={server.endpoint_url}",
            f"--s3-access-key-id={server.access_key}",
            f"--s3-secret-access-key={server.secret_key}",
            source,
            target,
        ],
        check=True,
    )
