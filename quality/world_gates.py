"""Gates on databases, tasks, verdicts and the pool: is what we train and test on true, known and kept apart?

Each function takes the rows of one round and the context, and returns a `Finding`. Reading other tables goes through
`GateContext.read`; replaying through `GateContext.replay`.
"""

from collections.abc import Iterable, Sequence

from env_sim.pool import wording_key
from quality.gate import Check, Finding, GateContext, documented, needed, rows_of
from schemas import Attempt, DatabaseRow, Intent, PoolTask, Record, Task, Trajectory, Verdict
from schemas.ids import canonical_json, task_id

DATABASE_TABLES = ("train_databases", "validation_databases", "test_databases")
"""Where generated databases are declared, one table per split."""


def stored_databases(context: GateContext) -> dict[str, DatabaseRow]:
    """All databases that are declared, by id."""
    rows = [row for table in DATABASE_TABLES for row in rows_of(context.read(table, None), DatabaseRow)]
    return {row.database_id: row for row in rows}


def _entities(row: DatabaseRow) -> Iterable[str]:
    # Kinds have unrelated namespaces: the same number as a product and as an item is no overlap.
    yield from (f"{each.kind}:{name}" for each in row.entities for name in each.ids)


def entities_disjoint(rows: Sequence[Record], context: GateContext) -> Finding:
    """No entity is known to two splits or to a published benchmark."""
    databases = {**stored_databases(context), **{row.database_id: row for row in rows_of(rows, DatabaseRow)}}
    own = {row.database_id for row in rows_of(rows, DatabaseRow)}
    splits: dict[str, dict[str, str]] = {}
    for database in databases.values():
        for entity in _entities(database):
            splits.setdefault(entity, {})[database.split] = database.database_id
    bad: dict[str, str] = {}
    n_shared = 0
    for entity, places in splits.items():
        name = entity.split(":", 1)[-1]
        published = name in context.known_entity_ids
        n_shared += published or len(places) > 1
        if published or len(places) > 1:
            where = "a published benchmark" if published else " and ".join(sorted(places))
            bad.update({place: f"{name} occurs in {where}" for place in places.values() if place in own})
    return Finding(bad, numbers={"n_entities": len(splits), "n_shared": n_shared})


def databases_add_up(rows: Sequence[Record], context: GateContext) -> Finding:
    """Counts equal the ids listed, ids are unique inside a database, no two databases have one content."""
    bad: dict[str, str] = {}
    contents: dict[str, str] = {}
    for row in rows_of(rows, DatabaseRow):
        n_listed = len(row.ids("user_ids"))
        if row.n_users != n_listed:
            bad[row.database_id] = f"declares {row.n_users} users, lists {n_listed}"
        for each in row.entities:
            if len(each.ids) != len(set(each.ids)):
                bad[row.database_id] = f"lists {len(each.ids)} {each.kind}, {len(set(each.ids))} distinct"
        twin = contents.setdefault(row.content_sha256, row.database_id)
        if twin != row.database_id:
            bad[row.database_id] = f"has the content of {twin}"
    return Finding(bad)


def tasks_well_formed(rows: Sequence[Record], context: GateContext) -> Finding:
    """Id, goals, criteria, reference and intent of a task agree with each other."""
    faults = {task.task_id: _task_fault(task, context) for task in rows_of(rows, Task)}
    return Finding({key: fault for key, fault in faults.items() if fault})


def _task_fault(task: Task, context: GateContext) -> str:
    content = task.model_dump(include={"domain", "database_id", "intent", "pattern"})
    derived = task_id(**content, scenario=task.scenario, reference=task.reference, criteria=task.criteria)
    goals = task.scenario.goals
    wanted = sorted(canonical_json(goal.accepted) for goal in goals if goal.accepted)
    required = sorted(canonical_json(write) for write in task.criteria.writes)
    reference = {canonical_json(action) for action in task.reference}
    if task.task_id != derived:
        return f"its content has the id {derived}"
    if wanted != required:
        return "the goals' accepted actions are not the required writes"
    if not reference.issuperset(required):
        return "the reference lacks a required write"
    if task.scenario.raised_in_opening > len(goals):
        return f"the opening raises {task.scenario.raised_in_opening} of {len(goals)} goals"
    if context.patterns and task.pattern not in context.patterns | {"none"}:
        return f"pattern {task.pattern!r} is not in the domain's table"
    if task.intent is Intent.INFEASIBLE and all(goal.accepted for goal in goals):
        return "intent infeasible, but every goal has an accepted action"
    if task.intent is Intent.CHANGING and not any(goal.change for goal in goals):
        return "intent changing, but no goal changes"
    return ""


def references_known(rows: Sequence[Record], context: GateContext) -> Finding:
    """Each task's database is declared and holds its user."""
    databases = stored_databases(context)
    users = {name: frozenset(row.ids("user_ids")) for name, row in databases.items()}
    bad: dict[str, str] = {}
    for task in rows_of(rows, Task):
        if task.database_id not in databases:
            bad[task.task_id] = f"database {task.database_id} is not declared"
        elif task.scenario.identity.user_id not in users[task.database_id]:
            bad[task.task_id] = f"user {task.scenario.identity.user_id} is not in database {task.database_id}"
    return Finding(bad, numbers={"n_databases": len({task.database_id for task in rows_of(rows, Task)})})


@documented
def databases_of_split(split: str) -> Check:
    """A gate: all tasks play in databases of this split."""

    def check(rows: Sequence[Record], context: GateContext) -> Finding:
        databases = stored_databases(context)
        played = {task.task_id: databases.get(task.database_id) for task in rows_of(rows, Task)}
        return Finding(
            {
                key: f"plays in the {database.split} database {database.database_id}"
                for key, database in played.items()
                if database is not None and database.split != split
            }
        )

    return check


def references_replay(rows: Sequence[Record], context: GateContext) -> Finding:
    """Each reference, replayed in its world, reaches what the criteria require."""
    replay = needed(context.replay, "replay")
    verdicts = {task.task_id: replay(task) for task in rows_of(rows, Task)}
    return Finding({key: verdict for key, verdict in verdicts.items() if verdict != "ok"})


def tasks_distinct(rows: Sequence[Record], context: GateContext) -> Finding:
    """No two tasks of a round ask for the same in the same words."""
    tasks = rows_of(rows, Task)
    return Finding(_twins(tasks), numbers={"n_distinct": len({wording_key(task) for task in tasks})})


def _twins(tasks: Iterable[Task]) -> dict[str, str]:
    first: dict[str, str] = {}
    twins = ((task.task_id, first.setdefault(wording_key(task), task.task_id)) for task in tasks)
    return {key: f"same world, words and goal as {twin}" for key, twin in twins if twin != key}


def lineage_known(rows: Sequence[Record], context: GateContext) -> Finding:
    """An injected task names a cluster of this round, and a source trajectory that succeeded."""
    clusters = {getattr(row, "cluster_id", ""): row for row in context.read("failure_clusters", context.round)}
    sources = rows_of(context.read("source_trajectories", context.round), Trajectory)
    succeeded = {source.trajectory_id: source.succeeded for source in sources}
    bad: dict[str, str] = {}
    tasks = rows_of(rows, Task)
    for task in tasks:
        if task.cluster_id is not None and task.cluster_id not in clusters:
            bad[task.task_id] = f"cluster {task.cluster_id} is not one of this round"
        elif task.source_trajectory_id is None:
            bad[task.task_id] = "names no source trajectory"
        elif not succeeded.get(task.source_trajectory_id, False):
            bad[task.task_id] = f"source trajectory {task.source_trajectory_id} is unknown or failed"
    targeted = sum(task.cluster_id is not None for task in tasks)
    return Finding(bad, numbers={"targeted_share": targeted / max(1, len(tasks))})


@documented
def attempts_known(made: str, column: str) -> Check:
    """A gate on attempts: what came of one is a row of this round, if its reason is `ok`."""

    def check(rows: Sequence[Record], context: GateContext) -> Finding:
        known = {getattr(row, column) for row in context.read(made, context.round)}
        attempts, bad = rows_of(rows, Attempt), {}
        for row in attempts:
            became = getattr(row, column)
            if (row.reason == "ok") and became not in known:
                bad[row.attempt_id] = f"became {became}, which is not in {made}"
        kept = sum(row.reason == "ok" for row in attempts)
        return Finding(bad, numbers={"n_attempts": len(attempts), "kept_share": kept / max(1, len(attempts))})

    return check


def verdicts_consistent(rows: Sequence[Record], context: GateContext) -> Finding:
    """Every injected task of the round has one verdict on exactly that task, and only an executable one is `ok`."""
    injected = {task.task_id: task for task in rows_of(context.read("injected_tasks", context.round), Task)}
    verdicts = rows_of(rows, Verdict)
    bad = dict.fromkeys(injected.keys() - {v.task.task_id for v in verdicts}, "injected, but has no verdict")
    for verdict in verdicts:
        key = verdict.task.task_id
        if injected.get(key) != verdict.task:
            bad[key] = "differs from the injected task" if key in injected else "was not injected in this round"
        elif verdict.executable != (verdict.reason == "ok"):
            bad[key] = f"executable is {verdict.executable}, but the reason is {verdict.reason!r}"
    accepted = sum(verdict.executable for verdict in verdicts)
    rejected = 1 - accepted / len(verdicts) if verdicts else 0.0
    problem = ""
    if rejected > context.limits.max_rejected_share:
        problem = f"{rejected:.0%} of the tasks don't replay, at most {context.limits.max_rejected_share:.0%} may"
    return Finding(bad, problem, {"n_executable": accepted, "rejected_share": rejected})


def accepted_sound(rows: Sequence[Record], context: GateContext) -> Finding:
    """In no accepted task can a correct agent fail or an idle one pass, as far as the soundness checker finds."""
    problems = needed(context.problems, "problems")
    accepted = [verdict.task for verdict in rows_of(rows, Verdict) if verdict.executable]
    found = {task.task_id: list(problems(task)) for task in accepted}
    bad = {key: "; ".join(lines) for key, lines in found.items() if lines}
    return Finding(bad, numbers={"unsound_share": len(bad) / max(1, len(accepted))})


def pool_sound(rows: Sequence[Record], context: GateContext) -> Finding:
    """The pool is the deduplicated union of the accepted tasks of all rounds so far, in training databases only."""
    pool = rows_of(rows, PoolTask)
    rounds = context.rounds or (context.round,)
    accepted: dict[str, tuple[str, Task]] = {}
    for name in rounds:
        for verdict in rows_of(context.read("executable_tasks", name), Verdict):
            if verdict.executable:
                accepted.setdefault(verdict.task.task_id, (name, verdict.task))
    databases = stored_databases(context)
    bad = _twins(row.task for row in pool)
    for row in pool:
        fault = _pool_fault(row, accepted, databases)
        if fault:
            bad[row.task.task_id] = fault
    present = {wording_key(row.task) for row in pool} | {row.task.task_id for row in pool}
    dropped = [k for k, (_, task) in accepted.items() if k not in present and wording_key(task) not in present]
    share = len(dropped) / max(1, len(accepted))
    problem = ""
    if share > context.limits.max_dropped_share:
        problem = f"{len(dropped)} of {len(accepted)} accepted tasks are missing (first: {min(dropped)})"
    return Finding(bad, problem, {"n_accepted": len(accepted), "dropped_share": share})


def _pool_fault(row: PoolTask, accepted: dict[str, tuple[str, Task]], databases: dict[str, DatabaseRow]) -> str:
    database = databases.get(row.task.database_id)
    if row.task.task_id not in accepted:
        return "has no executable verdict in the rounds so far"
    origin, task = accepted[row.task.task_id]
    if task != row.task:
        return "differs from the task that was accepted"
    if row.added_in != origin:
        return f"was accepted in {origin}, not in {row.added_in}"
    if database is None or database.split != "train":
        return f"plays in {row.task.database_id}, which is not a training database"
    return ""
