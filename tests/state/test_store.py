from __future__ import annotations

import random
import tracemalloc
import unicodedata
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Table, event, select, update

from bisyncer.errors import BisyncerError, Leased, LeaseLost, StateUnusable, UsageError
from bisyncer.model import (
    Action,
    Agreement,
    Algorithm,
    Ancestor,
    Delta,
    Digest,
    Done,
    Entry,
    Failed,
    Kept,
    Mode,
    Outcome,
    Planned,
    Problem,
    Raced,
    RunOutcome,
    Side,
    Verdict,
)
from bisyncer.state import records, schema
from bisyncer.state import store as store_module
from bisyncer.state.lease import Lease
from bisyncer.state.places import first_of
from bisyncer.state.records import ActionState, Conflict, ConflictState, Pair, Trouble
from bisyncer.state.store import Store
from tests.making import ancestor, entry
from tests.state.conftest import Clock

NASTY = [
    "a", "a-", "a/", "a//b", "a0", "a/b", "Z", "z", "é", unicodedata.normalize("NFD", "é"), "\n", "a\nb",
    "%41", "/lead", "dir/", " ", "\t", "\x01", "\x7f", "\x80", "\ud7ff", "\ue000", "\uffff", "😀", "😀a",
    "ﬀ", "ß", "ss", "İ", "i", "中", "中/文", "'", '"', "\\", "%", "_", "?", "%s", "*",
]  # fmt: skip


def plan(store: Store, run: int, *actions: Action) -> list[Planned]:
    store.actions.spool(run, actions)
    return list(store.actions.planned(run))


def action(key: str, verdict: Verdict = Verdict.COPY_TO_PATH2, **more: Any) -> Action:
    made = Action(key, verdict, Delta.CHANGED, Delta.UNCHANGED, None, entry(key, 5), entry(key, 6))
    return made._replace(**more)


class Held(NamedTuple):
    """What the lease of a pair shows that another fixture holds."""

    pair_id: int
    token: int


def begin(store: Store, pair: Pair, *, dry_run: bool = False, resync: bool = False) -> int:
    """Begin a run under the lease that is held of the pair, else under one of its own."""
    try:
        with Lease.take(store, pair) as lease:
            return store.begin_run(pair, lease, dry_run=dry_run, resync=resync)
    except Leased:
        with store.database.read() as connection:
            mine = schema.lease.c.pair_id == pair.id
            token = connection.execute(select(schema.lease.c.token).where(mine)).scalar_one()
        return store.begin_run(pair, Held(pair.id, token), dry_run=dry_run, resync=resync)


def record(store: Store, pair: Pair, lease: Lease, *ancestors: Ancestor) -> None:
    """Make these ancestors, in a run of their own."""
    run = begin(store, pair)
    planned = plan(store, run, *(action(each.key, Verdict.RECORD) for each in ancestors))
    store.commit(run, [Done(*both) for both in zip(planned, ancestors, strict=True)], lease)
    store.end_run(run, RunOutcome.SUCCESS, {})


def conflict(store: Store, pair: Pair, lease: Lease, key: str, kept_as: str) -> int:
    """Let a run settle a conflict."""
    run = begin(store, pair)
    (planned,) = plan(store, run, action(key, Verdict.CONFLICT))
    kept = Kept(Side.PATH1, entry(key, 7), entry(key, 8, sha256="ab" * 32), ancestor(kept_as, 8))
    ((number, _),) = store.commit(run, [Done(planned, ancestor(key, 7), kept)], lease)
    store.end_run(run, RunOutcome.SUCCESS, {})
    return number


def everything(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table but the lease."""
    with store.database.read() as connection:
        return {
            name: sorted(map(tuple, connection.execute(table.select())), key=repr)
            for name, table in schema.metadata.tables.items()
            if name != "lease"
        }


def take_over(store: Store, pair: Pair) -> None:
    """Do to the lease what another run does that found it run out."""
    table = schema.lease
    with store.database.write() as connection:
        connection.execute(
            update(table).where(table.c.pair_id == pair.id).values(token=table.c.token + 1, holder="other")
        )


# Pairs


def test_a_pair_is_found_by_its_name_and_all_are_listed_by_name(store: Store) -> None:
    second = store.add_pair("b", "file:///b", "s3://b", Mode.BISYNC)
    first = store.add_pair("a", "file:///a", "s3://a", Mode.BISYNC)

    assert (
        store.pair("a") == first == Pair(first.id, "a", first.owner, "file:///a", "s3://a", Mode.BISYNC, None)
    )
    assert store.pair("c") is None
    assert store.pairs() == [first, second]


def test_the_name_of_a_pair_is_taken_once(store: Store, pair: Pair) -> None:
    with pytest.raises(UsageError, match="pair called cms already"):
        store.add_pair("cms", "file:///other", "s3://other", Mode.BISYNC)

    assert store.pairs() == [pair]


def test_an_alignment_forgets_the_ancestors_of_its_pair_alone(
    store: Store, pair: Pair, lease: Lease, clock: Clock
) -> None:
    other = store.add_pair("other", "file:///o", "s3://o", Mode.BISYNC)
    record(store, pair, lease, ancestor("a"))
    with Lease.take(store, other) as others_lease:
        record(store, other, others_lease, ancestor("a"))
    clock.ns += 5

    aligned = store.begin_alignment(pair, lease, Mode.BISYNC)

    assert aligned == store.pair("cms") == pair._replace(aligned_ns=clock.ns)
    assert store.ancestors.count(pair.id) == 0
    assert store.ancestors.count(other.id) == 1


def test_an_alignment_without_the_lease_forgets_nothing(store: Store, pair: Pair, lease: Lease) -> None:
    record(store, pair, lease, ancestor("a"))
    take_over(store, pair)

    with pytest.raises(LeaseLost):
        store.begin_alignment(pair, lease, Mode.BISYNC)

    assert store.ancestors.count(pair.id) == 1
    assert store.pair("cms") == pair


# Ancestors


def test_ancestors_come_in_the_order_of_code_points(store: Store, pair: Pair, lease: Lease) -> None:
    expected = [ancestor(key) for key in sorted(NASTY)]
    shuffled = expected.copy()
    random.Random(1).shuffle(shuffled)
    record(store, pair, lease, *shuffled)

    actual = list(store.ancestors.all(pair.id))

    assert expected == actual


def test_any_text_comes_back_in_its_place(store: Store, pair: Pair, lease: Lease) -> None:
    dice = random.Random(2)
    planes = [(1, 0x7F), (0x80, 0x7FF), (0x800, 0xD7FF), (0xE000, 0xFFFF), (0x10000, 0x10FFFF)]
    keys = {
        "".join(chr(dice.randint(*dice.choice(planes))) for _ in range(dice.randint(1, 6)))
        for _ in range(3000)
    }
    record(store, pair, lease, *map(ancestor, keys))

    assert [each.key for each in store.ancestors.all(pair.id)] == sorted(keys)


@pytest.mark.parametrize(
    ("low", "high"),
    [("", "a"), ("a", "a0"), ("a/", "a/"), ("é", None), ("😀", None), ("b", "a"), ("", None), ("", "\uffff")],
)
def test_a_range_holds_its_low_end_and_not_its_high_end(
    store: Store, pair: Pair, lease: Lease, low: str, high: str | None
) -> None:
    record(store, pair, lease, *map(ancestor, NASTY))

    actual = [each.key for each in store.ancestors.all(pair.id, low, high)]

    assert actual == [key for key in sorted(NASTY) if low <= key and (high is None or key < high)]


@pytest.mark.parametrize("every", [1, 2, 3, 100])
@pytest.mark.parametrize("range_", [("", None), ("a", "e"), ("d", None), ("", "\uffff")])
def test_boundaries_part_a_range_after_so_many_keys_each(
    store: Store, pair: Pair, lease: Lease, every: int, range_: tuple[str, str | None]
) -> None:
    low, high = range_
    record(store, pair, lease, *map(ancestor, NASTY))
    keys = [key for key in sorted(NASTY) if low < key and (high is None or key < high)]

    found = list(store.ancestors.boundaries(pair.id, every, low, high))

    assert found == [(keys[number - 1], keys[number]) for number in range(every, len(keys), every)]


def test_a_reader_sees_the_ancestors_as_they_were_when_it_began(
    store: Store, pair: Pair, lease: Lease
) -> None:
    before = [ancestor(f"{number:05}") for number in range(5000)]
    record(store, pair, lease, *before)
    reader = store.ancestors.all(pair.id)
    first = next(reader)

    record(store, pair, lease, *(ancestor(each.key, 99) for each in before[4000:]), ancestor("later"))

    assert [first, *reader] == before


def test_a_reader_that_gives_up_gives_its_connection_back(store: Store, pair: Pair, lease: Lease) -> None:
    record(store, pair, lease, *(ancestor(f"{number:05}") for number in range(5000)))
    reader = store.ancestors.all(pair.id)
    next(reader)

    reader.close()

    assert "Current Checked out connections: 0" in store.database.engine.pool.status()


def test_many_readers_and_a_writer_go_on_at_once(store: Store, pair: Pair, lease: Lease) -> None:
    record(store, pair, lease, *(ancestor(f"{number:05}") for number in range(5000)))
    readers = [store.ancestors.all(pair.id) for _ in range(20)]
    for reader in readers:
        next(reader)

    record(store, pair, lease, ancestor("later"))

    assert [sum(1 for _ in reader) for reader in readers] == [4999] * 20


def test_reading_many_ancestors_takes_no_more_memory_than_reading_few(
    store: Store, pair: Pair, lease: Lease
) -> None:
    fill = (
        "INSERT INTO ancestor (pair_id, key, path1_size, path1_stamp, path2_size, path2_stamp) "
        "WITH RECURSIVE n (i) AS (SELECT 1000000 UNION ALL SELECT i + 1 FROM n WHERE i < 1199999) "
        "SELECT ?, 'directory/' || i, 1, 's1', 1, 's2' FROM n"
    )
    with store.database.write() as connection:
        connection.exec_driver_sql(store.database.sql(fill), (pair.id,))
    tracemalloc.start()
    try:
        seen = sum(1 for _ in store.ancestors.all(pair.id))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert seen == store.ancestors.count(pair.id) == 200_000
    assert peak < 4_000_000


def test_digests_of_either_side_are_recorded_for_both(store: Store, pair: Pair, lease: Lease) -> None:
    sha256, md5 = "ab" * 32, "0f" * 16
    given = Ancestor("k", entry("k", sha256=sha256), entry("k", md5=md5, etag_md5="11" * 16))
    record(store, pair, lease, given)

    both = entry("k", sha256=sha256, md5=md5)

    assert list(store.ancestors.all(pair.id)) == [Ancestor("k", both, both)]


def test_a_side_without_a_time_has_none_in_its_ancestor(store: Store, pair: Pair, lease: Lease) -> None:
    given = Ancestor("k", entry("k", mtime_ns=None), entry("k", mtime_ns=-5))
    record(store, pair, lease, given)

    assert list(store.ancestors.all(pair.id)) == [given]


def test_a_time_beyond_what_a_column_holds_is_brought_to_its_end(
    store: Store, pair: Pair, lease: Lease
) -> None:
    record(store, pair, lease, Ancestor("k", entry("k", mtime_ns=2**64), entry("k", mtime_ns=-(2**70))))

    (told,) = store.ancestors.all(pair.id)

    assert (told.path1.mtime_ns, told.path2.mtime_ns) == (2**63 - 1, 1 - 2**63)


def test_ancestors_of_some_keys_are_those_that_there_are(store: Store, pair: Pair, lease: Lease) -> None:
    expected = {f"{number}": ancestor(f"{number}", sha256="cd" * 32) for number in range(1200)}
    record(store, pair, lease, *expected.values(), *map(ancestor, NASTY))

    assert store.ancestors.of(pair.id, [*expected, "missing"]) == expected
    assert store.ancestors.of(pair.id, NASTY) == {key: ancestor(key) for key in NASTY}
    assert store.ancestors.of(pair.id, []) == {}
    assert store.ancestors.of(pair.id + 1, expected) == {}


# Plans


def test_the_largest_copies_are_told_by_the_size_of_what_is_copied(store: Store, pair: Pair) -> None:
    run = begin(store, pair)

    def of(key: str, verdict: Verdict, one: int | None, two: int | None) -> Action:
        held = [None if size is None else entry(key, size) for size in (one, two)]
        return action(key, verdict, path1=held[0], path2=held[1])

    store.actions.spool(
        run,
        [
            of("a", Verdict.COPY_TO_PATH2, 10, None),
            of("b", Verdict.COPY_TO_PATH2, 9, 99),
            of("c", Verdict.COPY_TO_PATH1, 99, 20),
            of("d", Verdict.COPY_TO_PATH1, None, 10),
            of("e", Verdict.DELETE_FROM_PATH1, 99, 99),
            of("f", Verdict.COPY_TO_PATH2, 30, None),
        ],
    )

    def keys(most: int) -> list[str]:
        return [planned.action.key for planned in store.actions.largest(run, 10, most)]

    assert keys(9) == ["f", "c", "a", "d"]
    assert keys(2) == ["f", "c"]


def test_a_plan_comes_back_as_it_was_spooled(store: Store, pair: Pair) -> None:
    run = begin(store, pair)
    digests: dict[str, Any] = {"sha256": "ab" * 32, "md5": "cd" * 16, "etag_md5": "ef" * 16}
    actions = [
        action("z", Verdict.CONFLICT, agreement=Agreement.DIFFERENT, winner=Side.PATH2),
        action("a", Verdict.HOLD, path1=None, path2=None, reason="it can't be read"),
        action("m", path1=entry("m", **digests), path2=None),
        action(
            "n", Verdict.CHECK, agreement=Agreement.UNKNOWN, path2=entry("n", mtime_ns=None, md5="00" * 16)
        ),
        *map(action, NASTY),
    ]

    store.actions.spool(run, actions[:2])
    store.actions.spool(run, iter(actions[2:]))

    assert list(store.actions.planned(run)) == [Planned(*both) for both in enumerate(actions, start=1)]


def test_a_plan_is_read_by_verdict(store: Store, pair: Pair) -> None:
    run = begin(store, pair)
    verdicts = [Verdict.COPY_TO_PATH1, Verdict.DELETE_FROM_PATH1, Verdict.CONFLICT] * 2000
    store.actions.spool(run, (action(f"{number}", verdict) for number, verdict in enumerate(verdicts)))

    copies = [planned.seq for planned in store.actions.planned(run, Verdict.COPY_TO_PATH1)]
    both = [
        planned.seq for planned in store.actions.planned(run, Verdict.CONFLICT, Verdict.DELETE_FROM_PATH1)
    ]

    assert copies == list(range(1, 6001, 3))
    assert both == [seq for seq in range(1, 6001) if seq % 3 != 1]


def test_plans_of_two_runs_are_kept_apart(store: Store, pair: Pair) -> None:
    other = store.add_pair("other", "file:///o", "s3://o", Mode.BISYNC)
    run, others_run = begin(store, pair), begin(store, other)

    store.actions.spool(run, [action("a")])
    store.actions.spool(others_run, [action("b")])

    assert list(store.actions.planned(run)) == [Planned(1, action("a"))]
    assert list(store.actions.planned(others_run)) == [Planned(1, action("b"))]


def test_a_plan_may_be_amended_and_committed_while_it_is_read(store: Store, pair: Pair, lease: Lease) -> None:
    run = begin(store, pair)
    store.actions.spool(run, (action(f"{number}", Verdict.CHECK) for number in range(5000)))
    seen = 0

    for planned in store.actions.planned(run, Verdict.CHECK):
        seen += 1
        if planned.seq % 2:
            store.actions.amend(
                run, [planned._replace(action=planned.action._replace(verdict=Verdict.RECORD))]
            )
        elif planned.seq % 100 == 0:
            store.commit(run, [Done(planned, ancestor(planned.action.key))], lease)

    assert seen == 5000
    assert sum(1 for _ in store.actions.planned(run, Verdict.RECORD)) == 2500
    assert sum(1 for _ in store.actions.planned(run, Verdict.CHECK)) == 2450
    assert store.ancestors.count(pair.id) == 50


def test_an_amended_action_is_what_it_was_amended_to(store: Store, pair: Pair) -> None:
    run = begin(store, pair)
    first, second = plan(store, run, action("a", Verdict.CHECK), action("b", Verdict.CHECK))
    settled = Action(
        "b",
        Verdict.CONFLICT,
        Delta.NEW,
        Delta.TOUCHED,
        Agreement.DIFFERENT,
        entry("b", 9, sha256="ab" * 32),
        entry("b", 10, md5="cd" * 16),
        "why",
        Side.PATH1,
    )

    store.actions.amend(run, [second._replace(action=settled)])

    assert list(store.actions.planned(run)) == [first, Planned(2, settled)]


def test_no_transaction_is_open_while_a_slow_source_of_actions_is_asked(store: Store, pair: Pair) -> None:
    run = begin(store, pair)

    def scanning() -> Iterator[Action]:
        yield action("a")
        store.hold(run, [Problem("b", "it can't be read")])  # on SQLite this would wait for ever
        yield action("c")

    store.actions.spool(run, scanning())

    assert [planned.action.key for planned in store.actions.planned(run)] == ["a", "c"]


# Commit


def test_what_was_done_is_recorded(store: Store, pair: Pair, lease: Lease, clock: Clock) -> None:
    record(store, pair, lease, ancestor("changed"), ancestor("deleted"), ancestor("left"))
    run = begin(store, pair)
    changed, deleted = plan(store, run, action("changed"), action("deleted", Verdict.DELETE_FROM_PATH1))
    clock.ns += 7

    conflicts = store.commit(run, [Done(changed, ancestor("changed", 2)), Done(deleted, None)], lease)

    assert conflicts == []
    assert list(store.ancestors.all(pair.id)) == [ancestor("changed", 2), ancestor("left")]
    assert [(row.key, row.state, row.finished_ns) for row in store.actions_of(run)] == [
        ("changed", ActionState.DONE, clock.ns),
        ("deleted", ActionState.DONE, clock.ns),
    ]
    assert list(store.actions.planned(run)) == []


def test_what_failed_or_raced_keeps_its_ancestor_and_is_a_problem(
    store: Store, pair: Pair, lease: Lease, clock: Clock
) -> None:
    record(store, pair, lease, ancestor("a"), ancestor("b"))
    run = begin(store, pair)
    first, second = plan(store, run, action("a"), action("b"))
    outcomes: list[Outcome] = [
        Failed(first, Problem("a", "no space")),
        Raced(second, Problem("b", "it changed")),
    ]

    store.commit(run, outcomes, lease)

    assert list(store.ancestors.all(pair.id)) == [ancestor("a"), ancestor("b")]
    assert [(row.state, row.sentence) for row in store.actions_of(run)] == [
        (ActionState.FAILED, "no space"),
        (ActionState.RACED, "it changed"),
    ]
    assert store.problems.told("cms") == [
        Trouble("cms", "a", "no space", clock.ns, clock.ns, 1),
        Trouble("cms", "b", "it changed", clock.ns, clock.ns, 1),
    ]


def test_a_conflict_is_kept_with_what_each_side_held(
    store: Store, pair: Pair, lease: Lease, clock: Clock
) -> None:
    run = begin(store, pair)
    before, met = plan(store, run, action("a"), action("x.txt", Verdict.CONFLICT))
    kept = Kept(
        winner=Side.PATH2,
        path1=entry("x.txt", 3, "s3", md5="ab" * 16, mtime_ns=None),
        path2=entry("x.txt", 4, "s4", etag_md5="cd" * 16),
        loser=ancestor("x.conflict1.txt", 3),
    )

    ((number, key),) = store.commit(
        run, [Done(before, ancestor("a")), Done(met, ancestor("x.txt", 4), kept)], lease
    )

    expected = Conflict(
        id=number,
        pair="cms",
        run=run,
        key="x.txt",
        kept_as="x.conflict1.txt",
        winner=Side.PATH2,
        detected_ns=clock.ns,
        path1=kept.path1,
        path2=kept.path2,
        state=ConflictState.OPEN,
        resolved_ns=None,
        resolution=None,
    )
    assert key == "x.txt"
    assert store.conflicts.told() == store.conflicts.told("cms", state=None) == [expected]
    assert store.conflicts.one(number) == expected
    assert store.conflicts.told("other") == []
    assert store.conflicts.one(number + 1) is None
    assert [each.key for each in store.ancestors.all(pair.id)] == ["a", "x.conflict1.txt", "x.txt"]


def settled(store: Store, run: int, lease: Lease) -> list[str]:
    return [a.key for span in store.actions.spans(run) for a in store.settle(run, span, lease)]


def test_what_only_the_state_must_learn_leaves_what_its_commit_would(
    store: Store, pair: Pair, lease: Lease
) -> None:
    sha256, md5 = "ab" * 32, "cd" * 16
    both = (entry("k", 5, sha256=sha256), entry("k", 5, md5=md5))
    listed = (entry("k", 5), entry("k", 5)._replace(digests=(Digest(Algorithm.ETAG_MD5, md5),)))
    record(store, pair, lease, *(ancestor(key) for key in ("gone", "left", "other", "touched")))
    open_conflict = conflict(store, pair, lease, "c", "gone")
    left_conflict = conflict(store, pair, lease, "d", "left")

    def rows_of(name: str, path1: Entry | None, path2: Entry | None, verdict: Verdict, **more: Any) -> Action:
        one, two = (side and side._replace(key=name) for side in (path1, path2))
        return action(name, verdict, path1=one, path2=two, **more)

    actions = [
        rows_of("gone", None, None, Verdict.FORGET),
        rows_of("left", None, None, Verdict.FORGET, reason="excluded now"),
        rows_of("listed", *listed, Verdict.RECORD),
        rows_of("hashed", *both, Verdict.RECORD),
        rows_of("touched", *both, Verdict.NOTHING),
        rows_of("copied", *both, Verdict.COPY_TO_PATH2),
        rows_of("other", None, both[1], Verdict.RECORD),
    ]
    run = begin(store, pair)
    planned = plan(store, run, *actions)
    failures = [Failed(each, Problem(each.action.key, "no space")) for each in planned[2:3]]
    store.commit(run, failures, lease)
    run = begin(store, pair)
    plan(store, run, *actions)

    assert settled(store, run, lease) == ["gone", "left", "listed", "hashed", "touched", "other"]
    digests = (Digest(Algorithm.SHA256, sha256), Digest(Algorithm.MD5, md5))
    found = {each.key: each for each in store.ancestors.all(pair.id)}
    assert set(found) == {"c", "d", "hashed", "listed", "touched"}
    assert found["listed"] == Ancestor(
        "listed", *(side._replace(key="listed", digests=()) for side in listed)
    )
    for key in ("hashed", "touched"):
        assert found[key] == Ancestor(key, *(side._replace(key=key, digests=digests) for side in both))
    assert [each.action.key for each in store.actions.planned(run)] == ["copied"]
    assert store.problems.told() == []
    states = {each.id: each.state for each in store.conflicts.told(state=None)}
    assert states == {open_conflict: ConflictState.SETTLED, left_conflict: ConflictState.OPEN}
    assert settled(store, run, lease) == []


def test_what_only_the_state_must_learn_is_judged_and_needs_the_lease(
    store: Store, pair: Pair, lease: Lease
) -> None:
    run = begin(store, pair)
    differ = (entry("b", 5, md5="ab" * 16), entry("b", 5, md5="cd" * 16))
    plan(
        store, run, action("a", Verdict.RECORD), action("b", Verdict.RECORD, path1=differ[0], path2=differ[1])
    )
    before = everything(store)
    with pytest.raises(BisyncerError, match="their md5 differs"):
        settled(store, run, lease)
    assert everything(store) == before

    take_over(store, pair)
    with pytest.raises(LeaseLost):
        settled(store, run, lease)
    assert everything(store) == before


def agreed(store: Store, run: int, *keys: str, piece: int = 0, **more: Any) -> None:
    """Plan keys as alike on both sides."""
    first = first_of(piece)
    store.agreed.spool(run, [(entry(key, 5, "s1", **more), entry(key, 5, "s2")) for key in keys], first)


def recorded(store: Store, run: int, lease: Lease) -> list[str]:
    return [each.key for span in store.agreed.spans(run) for each in store.record(run, span, lease)]


def test_keys_that_are_alike_become_ancestors_in_order_and_end_their_problems(
    store: Store, pair: Pair, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bisyncer.state.agreed._LENGTH", 7)
    record(store, pair, lease, ancestor("a", 9))
    run = begin(store, pair)
    store.hold(run, [Problem("a", "why"), Problem("elsewhere", "why")])
    nasty = sorted(NASTY)
    agreed(store, run, *nasty)
    agreed(store, run, "😀b", piece=3, sha256="ab" * 32)
    later = 2**70

    agreed(store, run, "😀c", piece=5, mtime_ns=later)

    assert recorded(store, run, lease) == [*nasty, "😀b", "😀c"]
    found = {each.key: each for each in store.ancestors.all(pair.id)}
    assert list(found) == [*nasty, "😀b", "😀c"]
    assert found["a"] == Ancestor("a", entry("a", 5, "s1"), entry("a", 5, "s2"))
    assert found["😀b"].path2.digests == (Digest(Algorithm.SHA256, "ab" * 32),)
    assert found["😀c"].path1.mtime_ns == 2**63 - 1
    assert [each.key for each in store.problems.told()] == ["elsewhere"]
    assert recorded(store, run, lease) == []


def test_what_is_alike_is_judged_and_needs_the_lease(store: Store, pair: Pair, lease: Lease) -> None:
    run = begin(store, pair)
    agreed(store, run, "a")
    before = everything(store)
    with pytest.raises(BisyncerError, match="their md5 differs"):
        store.agreed.spool(run, [(entry("b", 5, md5="ab" * 16), entry("b", 5, md5="cd" * 16))], 9)
    with pytest.raises(BisyncerError, match="An ancestor of 'b' was about to be recorded for 'c'"):
        store.agreed.spool(run, [(entry("b", 5), entry("c", 5))], 9)
    take_over(store, pair)
    with pytest.raises(LeaseLost):
        recorded(store, run, lease)
    assert everything(store) == before


@pytest.mark.parametrize("killed", [False, True])
def test_what_is_alike_and_was_not_recorded_goes_with_its_run(
    store: Store, pair: Pair, lease: Lease, *, killed: bool
) -> None:
    run = begin(store, pair)
    agreed(store, run, "a", "b")
    agreed(store, run, "y", "z", piece=7)
    store.drop_piece(run, 7)
    assert rows_of(store, schema.agreed) == 2

    if killed:
        begin(store, pair)
    else:
        store.end_run(run, RunOutcome.HALTED, {})

    assert rows_of(store, schema.agreed) == 0
    assert list(store.ancestors.all(pair.id)) == []


def rows_of(store: Store, table: Table) -> int:
    with store.database.read() as connection:
        return len(connection.execute(table.select()).all())


def test_a_lease_that_was_taken_over_writes_nothing(store: Store, pair: Pair, lease: Lease) -> None:
    record(store, pair, lease, ancestor("b"))
    run = begin(store, pair)
    first, second = plan(store, run, action("a"), action("b"))
    outcomes: list[Outcome] = [Done(first, ancestor("a")), Failed(second, Problem("b", "no space"))]
    take_over(store, pair)
    before = everything(store)

    with pytest.raises(LeaseLost, match="took this pair over"):
        store.commit(run, outcomes, lease)

    assert everything(store) == before


def test_a_lease_that_was_released_writes_nothing(store: Store, pair: Pair) -> None:
    run = begin(store, pair)
    (planned,) = plan(store, run, action("a"))
    with Lease.take(store, pair) as lease:
        pass

    with pytest.raises(LeaseLost):
        store.commit(run, [Done(planned, ancestor("a"))], lease)

    assert store.ancestors.count(pair.id) == 0


def test_a_lease_of_another_pair_writes_nothing_here(store: Store, pair: Pair, lease: Lease) -> None:
    other = store.add_pair("other", "file:///o", "s3://o", Mode.BISYNC)
    run = begin(store, other)
    (planned,) = plan(store, run, action("a"))
    with Lease.take(store, other):
        with pytest.raises(BisyncerError, match="bug"):
            store.commit(run, [Done(planned, ancestor("a"))], lease)
        with pytest.raises(BisyncerError, match="bug"):
            store.begin_alignment(other, lease, Mode.BISYNC)

    assert store.ancestors.count(pair.id) == store.ancestors.count(other.id) == 0


class Injected(Exception):
    """Raised by a test in place of a statement."""


def test_a_commit_cut_at_any_statement_leaves_nothing(store: Store, pair: Pair, lease: Lease) -> None:
    """The statements are counted, and each in turn fails; then one more round lets all through."""
    record(store, pair, lease, ancestor("gone"), ancestor("old"))
    conflict(store, pair, lease, "k", "gone.conflict1")
    run = begin(store, pair)
    store.hold(run, [Problem("a", "it could not be read")])
    planned = plan(
        store, run, action("a"), action("x", Verdict.CONFLICT), action("gone"), action("old"),
        action("gone.conflict1"),
    )  # fmt: skip
    kept = Kept(Side.PATH1, entry("x"), entry("x", 2), ancestor("x.conflict1", 2))
    outcomes: Sequence[Outcome] = [
        Done(planned[0], ancestor("a")),
        Done(planned[1], ancestor("x"), kept),
        Done(planned[2], None),
        Failed(planned[3], Problem("old", "no space")),
        Done(planned[4], None),
    ]
    before = everything(store)
    left = 0

    def cut(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Injected

    event.listen(store.database.engine, "before_cursor_execute", cut)
    try:
        for fatal in count(1):
            left = fatal
            try:
                store.commit(run, outcomes, lease)
                break
            except Injected:
                left = 0
            assert everything(store) == before
    finally:
        event.remove(store.database.engine, "before_cursor_execute", cut)

    assert fatal >= 8
    assert [each.key for each in store.ancestors.all(pair.id)] == ["a", "k", "old", "x", "x.conflict1"]


@pytest.mark.parametrize(
    "wrong",
    [
        ancestor("other"),
        Ancestor("k", entry("other"), entry("k")),
        Ancestor("k", entry("k"), entry("other")),
        Ancestor("k", entry("k", sha256="aa" * 32), entry("k", sha256="bb" * 32)),
        Ancestor("k", entry("k", sha256="aa" * 32, md5="aa" * 16), entry("k", md5="bb" * 16)),
    ],
    ids=["key", "path1's key", "path2's key", "sha256", "md5"],
)
def test_what_two_stores_cannot_have_returned_is_not_recorded(
    store: Store, pair: Pair, lease: Lease, wrong: Ancestor
) -> None:
    run = begin(store, pair)
    fine, planned = plan(store, run, action("fine"), action("k"))
    before = everything(store)

    with pytest.raises(BisyncerError, match="bug"):
        store.commit(run, [Done(fine, ancestor("fine")), Done(planned, wrong)], lease)
    kept = Kept(Side.PATH1, entry("k"), entry("k"), wrong._replace(key="k.conflict1"))
    with pytest.raises(BisyncerError, match="bug"):
        store.commit(run, [Done(fine, ancestor("fine")), Done(planned, ancestor("k"), kept)], lease)

    assert everything(store) == before


def test_etags_that_differ_prove_nothing(store: Store, pair: Pair, lease: Lease) -> None:
    record(store, pair, lease, Ancestor("k", entry("k", etag_md5="aa" * 16), entry("k", etag_md5="bb" * 16)))

    assert store.ancestors.count(pair.id) == 1


# Problems


def test_a_problem_is_counted_until_its_key_is_done(
    store: Store, pair: Pair, lease: Lease, clock: Clock
) -> None:
    since = clock.ns
    for sentence in ("no space", "still no space"):
        clock.ns += 1
        run = begin(store, pair)
        (planned,) = plan(store, run, action("a"))
        store.commit(run, [Failed(planned, Problem("a", sentence))], lease)
        store.end_run(run, RunOutcome.UNFINISHED, {})
    told = store.problems.told()
    run = begin(store, pair)
    (planned,) = plan(store, run, action("a"))
    store.commit(run, [Done(planned, ancestor("a"))], lease)

    assert told == [Trouble("cms", "a", "still no space", since + 1, since + 2, 2)]
    assert store.problems.told() == []


def test_a_problem_that_a_whole_run_did_not_meet_has_gone_away(store: Store, pair: Pair) -> None:
    run = begin(store, pair)
    store.hold(run, [Problem("secret/", "it can't be read"), Problem("b", "it can't be named")])
    store.end_run(run, RunOutcome.UNFINISHED, {})
    kept = {}
    for outcome in (RunOutcome.HALTED, RunOutcome.FAILED, RunOutcome.INTERRUPTED):
        store.end_run(begin(store, pair), outcome, {})
        kept[outcome] = store.problems.count(pair.id)
    store.end_run(begin(store, pair, dry_run=True), RunOutcome.SUCCESS, {})
    after_dry_run = store.problems.count(pair.id)
    run = begin(store, pair)
    store.hold(run, [Problem("b", "it can't be named")])
    store.end_run(run, RunOutcome.UNFINISHED, {})

    assert set(kept.values()) == {2}
    assert after_dry_run == 2
    assert [(told.key, told.tries) for told in store.problems.told()] == [("b", 2)]


def test_problems_of_another_pair_stay(store: Store, pair: Pair) -> None:
    other = store.add_pair("a pair before", "file:///o", "s3://o", Mode.BISYNC)
    others_run = begin(store, other)
    store.hold(others_run, [Problem("a", "it can't be read")])
    run = begin(store, pair)
    store.hold(run, [Problem("z", "it can't be read")])
    store.end_run(begin(store, pair), RunOutcome.SUCCESS, {})

    assert [told.pair for told in store.problems.told()] == ["a pair before"]
    assert store.problems.told("cms") == []


def test_a_name_that_no_database_can_hold_is_spelled_out_in_its_problem(store: Store, pair: Pair) -> None:
    store.hold(begin(store, pair), [Problem("a\0b\udcff", "the name a\0b\udcff can't be kept")])

    assert [(told.key, told.sentence) for told in store.problems.told()] == [
        (r"a\x00b\udcff", r"the name a\x00b\udcff can't be kept")
    ]


def test_a_name_that_is_a_problem_for_its_length_is_cut_in_its_problem(
    store: Store, pair: Pair, lease: Lease
) -> None:
    dice = random.Random(3)
    long = "".join(chr(dice.randrange(0x4E00, 0x9FFF)) for _ in range(1400))  # no compression helps
    store.hold(begin(store, pair), [Problem(long, "too long"), Problem(long + "x", "too long")])
    first, second = (told.key for told in store.problems.told())
    run = begin(store, pair)
    (planned,) = plan(store, run, action(long))
    store.commit(run, [Done(planned, None)], lease)

    assert first[:600] == second[:600] == long[:600]
    assert "... (4200 bytes, sha256 " in first
    assert [told.key for told in store.problems.told()] == [second]


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_key_too_long_for_an_index_of_postgresql_is_told(store: Store, pair: Pair, lease: Lease) -> None:
    dice = random.Random(3)
    long = "".join(chr(dice.randrange(0x4E00, 0x9FFF)) for _ in range(1400))

    with pytest.raises(StateUnusable, match="can't hold a key as long as this"):
        record(store, pair, lease, ancestor(long))


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_piece_is_dropped_with_what_was_just_about_to_be_committed_to_it(store: Store, pair: Pair) -> None:
    run = begin(store, pair)
    plan(store, run, action("a"))
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"

    with ThreadPoolExecutor() as threads:
        with store.database.write() as connection:
            connection.execute(update(schema.action).values(seq=first_of(7)))
            dropped = threads.submit(store.drop_piece, run, 7)
            while not dropped.done() and not connection.exec_driver_sql(waiting).scalar_one():
                pass
        dropped.result()

    assert list(store.actions.planned(run)) == []


def test_the_longest_key_of_a_bucket_is_held(store: Store, pair: Pair, lease: Lease) -> None:
    dice = random.Random(3)
    long = "".join(chr(dice.randrange(0x4E00, 0x9FFF)) for _ in range(341))  # 1,023 bytes
    record(store, pair, lease, ancestor(long))

    assert list(store.ancestors.all(pair.id)) == [ancestor(long)]


# Runs


def test_a_run_that_was_passed_over_before_it_began_leaves_the_other_alone(store: Store, pair: Pair) -> None:
    with Lease.take(store, pair) as first:
        passed_over = Held(first.pair_id, first.token)
    with Lease.take(store, pair) as second:
        number = store.begin_run(pair, second, dry_run=False, resync=False)
        planned = plan(store, number, action("k"))
        with pytest.raises(LeaseLost):
            store.begin_run(pair, passed_over, dry_run=False, resync=False)
        assert list(store.actions.planned(number)) == planned

    going = store.runs.one(number)
    assert going is not None
    assert going.outcome is None


def test_a_run_is_told_from_its_begin_to_its_end(store: Store, pair: Pair, clock: Clock) -> None:
    started = clock.ns
    number = begin(store, pair, dry_run=True, resync=True)
    going = store.runs.one(number)
    clock.ns += 3
    store.end_run(number, RunOutcome.SUCCESS, {"pair": "cms", "bytes": {"to_path1": 1}})
    ended = store.runs.one(number)

    assert going == records.Run(number, "cms", started, None, None, True, True, {})
    assert ended == records.Run(
        number, "cms", started, started + 3, RunOutcome.SUCCESS, True, True,
        {"pair": "cms", "bytes": {"to_path1": 1}},
    )  # fmt: skip
    assert store.runs.one(number + 1) is None


def test_runs_are_listed_newest_first(store: Store, pair: Pair) -> None:
    other = store.add_pair("other", "file:///o", "s3://o", Mode.BISYNC)
    numbers = [begin(store, each) for each in (pair, other, pair, other)]

    assert [run.id for run in store.runs.newest()] == numbers[::-1]
    assert [run.id for run in store.runs.newest("cms")] == [numbers[2], numbers[0]]
    assert [run.id for run in store.runs.newest(limit=1)] == [numbers[3]]
    assert store.runs.newest("missing") == []


def test_the_last_good_run_came_to_its_end_and_was_not_dry(store: Store, pair: Pair) -> None:
    none_yet = store.runs.last_good(pair.id)
    numbers = {}
    for outcome in (RunOutcome.SUCCESS, RunOutcome.UNFINISHED, RunOutcome.HALTED, RunOutcome.FAILED):
        numbers[outcome] = begin(store, pair)
        store.end_run(numbers[outcome], outcome, {})
    store.end_run(begin(store, pair, dry_run=True), RunOutcome.SUCCESS, {})
    begin(store, pair)

    good = store.runs.last_good(pair.id)

    assert none_yet is None
    assert good is not None and good.id == numbers[RunOutcome.UNFINISHED]


def test_a_run_that_was_killed_is_interrupted_when_the_next_begins(
    store: Store, pair: Pair, lease: Lease, clock: Clock
) -> None:
    other = store.add_pair("other", "file:///o", "s3://o", Mode.BISYNC)
    others_run = begin(store, other)
    killed = begin(store, pair)
    done, _, _ = plan(store, killed, action("done"), action("planned"), action("r", Verdict.RECORD))
    store.commit(killed, [Done(done, ancestor("done"))], lease)
    clock.ns += 9

    begin(store, pair)

    told, others = store.runs.one(killed), store.runs.one(others_run)
    assert told is not None and (told.outcome, told.ended_ns) == (RunOutcome.INTERRUPTED, clock.ns)
    assert others is not None and others.outcome is None
    assert [(row.key, row.state) for row in store.actions_of(killed)] == [("done", ActionState.DONE)]


def test_a_paused_run_that_was_called_interrupted_cannot_call_itself_a_success(
    store: Store, pair: Pair
) -> None:
    paused = begin(store, pair)
    run = begin(store, pair)
    store.hold(run, [Problem("a", "it can't be read")])

    store.end_run(paused, RunOutcome.SUCCESS, {})

    told = store.runs.one(paused)
    assert told is not None and told.outcome is RunOutcome.INTERRUPTED
    assert store.problems.count(pair.id) == 1


def test_a_run_that_was_never_recorded_has_no_end(store: Store, pair: Pair) -> None:
    store.end_run(0, RunOutcome.FAILED, {})

    assert store.runs.newest() == []


def test_records_make_room_for_their_ancestors_at_once(store: Store, pair: Pair, lease: Lease) -> None:
    run = begin(store, pair)
    recorded, failed = plan(store, run, action("a", Verdict.RECORD), action("b", Verdict.RECORD))

    store.commit(run, [Done(recorded, ancestor("a")), Failed(failed, Problem("b", "why"))], lease)

    assert [row.key for row in store.actions_of(run)] == ["b"]


def test_only_actions_that_changed_a_store_or_tried_to_stay_after_a_run(
    store: Store, pair: Pair, lease: Lease
) -> None:
    run = begin(store, pair)
    planned = plan(store, run, *(action(verdict.value, verdict) for verdict in Verdict), action("not done"))
    *tried, _ = planned
    failed = Failed(tried[1], Problem(tried[1].action.key, "no space"))
    store.commit(run, [failed, *(Done(each, None) for each in tried if each is not tried[1])], lease)

    store.end_run(run, RunOutcome.UNFINISHED, {})

    assert {row.key: row.state for row in store.actions_of(run)} == {
        "copy-to-path1": ActionState.FAILED,
        "copy-to-path2": ActionState.DONE,
        "move-on-path1": ActionState.DONE,
        "move-on-path2": ActionState.DONE,
        "delete-from-path1": ActionState.DONE,
        "delete-from-path2": ActionState.DONE,
        "conflict": ActionState.DONE,
    }


def test_a_dry_run_leaves_no_actions(store: Store, pair: Pair) -> None:
    run = begin(store, pair, dry_run=True)
    plan(store, run, action("a"), action("b", Verdict.CONFLICT))

    store.end_run(run, RunOutcome.SUCCESS, {})

    assert list(store.actions_of(run)) == []


def test_an_action_is_told_with_what_each_side_held(store: Store, pair: Pair) -> None:
    run = begin(store, pair)
    plan(store, run, action("a", path2=None, winner=Side.PATH1, reason="why"))

    (row,) = store.actions_of(run)

    assert row == records.ActionRow(
        1, "a", Verdict.COPY_TO_PATH2, Delta.CHANGED, Delta.UNCHANGED, ActionState.PLANNED, "why", Side.PATH1,
        None, entry("a", 5), None,
    )  # fmt: skip


def test_old_quiet_runs_are_pruned_and_those_that_changed_something_stay_for_ninety_days(
    store: Store, pair: Pair, lease: Lease, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "RUNS_KEPT", 3)
    other = store.add_pair("other", "file:///o", "s3://o", Mode.BISYNC)
    others_run = begin(store, other)
    number = conflict(store, pair, lease, "k", "k.conflict1")
    (old,) = store.runs.newest("cms")

    for _ in range(3):
        store.end_run(begin(store, pair), RunOutcome.SUCCESS, {})

    assert [run.id for run in store.runs.newest("cms")] == [old.id + 3, old.id + 2, old.id + 1, old.id]
    assert [row.key for row in store.actions_of(old.id)] == ["k"]

    clock.ns += 90 * 24 * 3600 * 10**9 + 1
    store.end_run(begin(store, pair), RunOutcome.SUCCESS, {})

    assert [run.id for run in store.runs.newest("cms")] == [old.id + 4, old.id + 3, old.id + 2]
    assert list(store.actions_of(old.id)) == []
    assert store.runs.one(others_run) is not None
    assert [(each.id, each.run) for each in store.conflicts.told()] == [(number, old.id)]


# Conflicts


def test_a_conflict_is_settled_by_deleting_the_version_kept_beside(
    store: Store, pair: Pair, lease: Lease, clock: Clock
) -> None:
    settled, left = (conflict(store, pair, lease, key, f"{key}.conflict1") for key in ("a", "b"))
    run = begin(store, pair)
    gone = plan(store, run, action("a.conflict1"), action("b"))
    clock.ns += 4

    store.commit(run, [Done(planned, None) for planned in gone], lease)

    assert [each.id for each in store.conflicts.told()] == [left]
    (told,) = store.conflicts.told(state="settled")
    assert (told.id, told.resolved_ns, told.resolution) == (settled, clock.ns, None)


def test_a_conflict_of_another_pair_is_not_settled_here(store: Store, pair: Pair, lease: Lease) -> None:
    other = store.add_pair("other", "file:///o", "s3://o", Mode.BISYNC)
    conflict(store, pair, lease, "a", "a.conflict1")
    with Lease.take(store, other) as others_lease:
        run = begin(store, other)
        (planned,) = plan(store, run, action("a.conflict1"))
        store.commit(run, [Done(planned, None)], others_lease)

    assert len(store.conflicts.told()) == 1


def test_a_person_resolves_a_conflict(store: Store, pair: Pair, lease: Lease, clock: Clock) -> None:
    number = conflict(store, pair, lease, "a", "a.conflict1")
    clock.ns += 4

    store.conflicts.resolve(number, "path2", {"a": ancestor("a", 8), "a.conflict1": None}, lease)

    assert store.conflicts.told() == []
    told = store.conflicts.one(number)
    assert told is not None
    assert (told.state, told.resolved_ns, told.resolution) == (ConflictState.RESOLVED, clock.ns, "path2")
    assert list(store.ancestors.all(pair.id)) == [ancestor("a", 8)]


def test_a_conflict_is_resolved_once(store: Store, pair: Pair, lease: Lease) -> None:
    number = conflict(store, pair, lease, "a", "a.conflict1")
    store.conflicts.resolve(number, "both", {}, lease)
    before = everything(store)

    for wrong in (number, number + 1):
        with pytest.raises(UsageError, match=f"Conflict {wrong} is not open"):
            store.conflicts.resolve(wrong, "path1", {"a": None}, lease)

    assert everything(store) == before


def test_a_resolution_without_the_lease_writes_nothing(store: Store, pair: Pair, lease: Lease) -> None:
    number = conflict(store, pair, lease, "a", "a.conflict1")
    take_over(store, pair)
    before = everything(store)

    with pytest.raises(LeaseLost):
        store.conflicts.resolve(number, "path1", {"a.conflict1": None}, lease)

    assert everything(store) == before


def test_a_resolution_is_judged_like_a_commit(store: Store, pair: Pair, lease: Lease) -> None:
    number = conflict(store, pair, lease, "a", "a.conflict1")

    with pytest.raises(BisyncerError, match="bug"):
        store.conflicts.resolve(number, "path1", {"a": ancestor("b")}, lease)

    assert len(store.conflicts.told()) == 1


# Threads


def test_threads_commit_spool_and_renew_at_once(
    opened: Callable[..., Store], url: str, store: Store, pair: Pair
) -> None:
    """No writer starves another, and none is told that the database is locked."""
    run = begin(store, pair)
    stranger = opened(url)
    with Lease.take(store, pair, ttl_s=0.4) as lease:
        planned = plan(store, run, *(action(f"{number:04}") for number in range(400)))

        def commit(part: int) -> None:
            for each in planned[part::4]:
                store.commit(run, [Done(each, ancestor(each.action.key))], lease)

        def spool() -> None:
            for _ in range(100):
                store.actions.spool(run, [action("more")])

        def read() -> None:
            for _ in range(100):
                stranger.ancestors.count(pair.id)

        def work() -> None:
            for _ in range(1000):
                lease.assert_held()

        with ThreadPoolExecutor() as pool:
            going = [pool.submit(each) for each in (spool, read, work)]
            going += [pool.submit(commit, part) for part in range(4)]
        for each in going:
            each.result()

    assert store.ancestors.count(pair.id) == 400
    assert sum(1 for _ in store.actions.planned(run)) == 100


def done(store: Store, run: int, lease: Lease, *planned: Planned) -> None:
    store.commit(run, [Done(each, None) for each in planned], lease)


def test_what_was_done_is_told_in_the_order_of_the_plan_among_what_was_not(
    store: Store, pair: Pair, lease: Lease, clock: Clock
) -> None:
    run = begin(store, pair)
    digests = (Digest(Algorithm.ETAG_MD5, "s1"), Digest(Algorithm.MD5, "cd" * 16))
    more = {"winner": Side.PATH2, "path1": None, "path2": entry("é\n", 7)._replace(digests=digests)}
    planned = plan(
        store,
        run,
        *(action(f"k{number}", path2=None) for number in range(6)),
        action("é\n", Verdict.DELETE_FROM_PATH2, **more),
        action("new", Verdict.MOVE_ON_PATH1, origin=entry("old")),
    )
    done(store, run, lease, planned[5], planned[2])
    failed = Failed(planned[3], Problem("k3", "no space"))
    clock.ns += 1
    store.commit(run, [Done(planned[6], None, trashed="T/é"), failed, Done(planned[7], None)], lease)
    done(store, run, lease, planned[4], planned[0])

    told = list(store.actions_of(run))

    assert [(row.key, row.state) for row in told] == [
        *((f"k{number}", ActionState.DONE) for number in (0,)),
        ("k1", ActionState.PLANNED),
        ("k2", ActionState.DONE),
        ("k3", ActionState.FAILED),
        *((f"k{number}", ActionState.DONE) for number in (4, 5)),
        ("é\n", ActionState.DONE),
        ("new", ActionState.DONE),
    ]
    assert told[6] == records.ActionRow(
        7, "é\n", Verdict.DELETE_FROM_PATH2, Delta.CHANGED, Delta.UNCHANGED, ActionState.DONE,
        "the version before went to T/é", Side.PATH2, clock.ns, None,
        entry("é\n", 7, "")._replace(digests=digests),
    )  # fmt: skip
    assert told[7].origin == "old"
    assert told[2].finished_ns == clock.ns - 1


def test_what_was_done_leaves_the_plan_at_once_and_takes_little_room(
    store: Store, pair: Pair, lease: Lease
) -> None:
    run = begin(store, pair)
    planned = plan(store, run, *(action(f"folder/file-{number:05}.txt") for number in range(500)))

    done(store, run, lease, *planned)

    assert rows_of(store, schema.action) == 0
    with store.database.read() as connection:
        (row,) = connection.execute(schema.history.select()).all()
    assert len(row.actions) < 500 * 10
    assert [each.key for each in store.actions_of(run)] == [each.action.key for each in planned]


@pytest.mark.parametrize("packed", [b"", b"x\x9c", zlib.compress(b'[["k"]]'), zlib.compress(b"7")])
def test_history_that_is_damaged_is_told(store: Store, pair: Pair, packed: bytes) -> None:
    run = begin(store, pair)
    with store.database.write() as connection:
        connection.execute(schema.history.insert().values(run_id=run, seq=1, finished_ns=0, actions=packed))

    with pytest.raises(StateUnusable, match="is damaged"):
        list(store.actions_of(run))


@pytest.mark.parametrize("stamp", ["ab" * 16, "AB" * 16, "cd" * 16, "s", ""])
def test_a_stamp_is_recorded_as_it_is_whether_or_not_it_is_the_md5_of_the_content(
    store: Store, pair: Pair, lease: Lease, stamp: str
) -> None:
    held = ancestor("k", stamp=stamp, md5="ab" * 16)
    unlike = Ancestor("o", entry("o", stamp=stamp), entry("o", stamp="s2", md5="ab" * 16))

    record(store, pair, lease, held, unlike)

    assert {key: each.path2.stamp for key, each in store.ancestors.of(pair.id, ["k", "o"]).items()} == {
        "k": stamp,
        "o": "s2",
    }
    assert [each.path1.stamp for each in store.ancestors.all(pair.id)] == [stamp, stamp]


@pytest.mark.parametrize("value", ["s1", "ab" * 16])
def test_a_digest_that_is_the_stamp_is_planned_as_it_is(store: Store, pair: Pair, value: str) -> None:
    run = begin(store, pair)
    digests = (Digest(Algorithm.ETAG_MD5, value),)
    planned = action("k", path2=entry("k", 6, "s1")._replace(digests=digests))

    assert [each.action for each in plan(store, run, planned)] == [planned]
    assert [each.path2 for each in store.actions_of(run)] == [planned.path2]
