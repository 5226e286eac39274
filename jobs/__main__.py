"""The command line: `python -m jobs demo | control | round | again | ablation | waive | report | table | search | ui`.

An error of ours is one clear line and exit code 2; what is not ours keeps its traceback.
"""

import argparse
import getpass
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from assets.profile import Profile, changed_profile, load_profile, pin_profile, stored_profile
from assets.resources import DEFAULT_PROFILE, DEFAULT_ROOT
from assets.rounds import ROUND_KEYS, known_round
from jobs.stopping import STOPPED
from schemas import BOOTSTRAP, ConfigError, FaultlineError, GateWaiver
from schemas.ids import round_key, round_number
from schemas.search import MODES, SEARCHED
from schemas.store import Warehouse
from schemas.terminal import existing_warehouse, put_file

DRY_RUN = "only print what models would be asked, and what it would cost"

REPOSITORY = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except FaultlineError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(STOPPED)
        return 130
    return 0


def demo(options: argparse.Namespace) -> None:
    """Bootstrap and all rounds, then the table."""
    if options.dry_run:
        _dry_run(_asked(options), None)
        return
    profile = _profile(options)
    _run_rounds(options.warehouse, profile, ROUND_KEYS[: profile.rounds])
    _say(results_of(options.warehouse))


def control(options: argparse.Namespace) -> None:
    """The same rounds on tasks that failures did not choose, beside the warehouse, then both tables."""
    from jobs.control import control_profile, control_root, copy_bootstrap
    from jobs.tables import arms_text

    profile = control_profile(options.warehouse, options.targeting)
    asked = {"seed": options.seed, "profile": options.profile}
    stored = {"seed": profile.seed, "profile": profile.name}
    if wrong := [key for key, value in asked.items() if value is not None and value != stored[key]]:
        raise ConfigError(
            f"control[{options.warehouse}]: expected the settings of this warehouse ({stored}), got another "
            f"{' and '.join(wrong)}; leave it out or name the other warehouse"
        )
    root = control_root(options.warehouse, options.targeting)
    profile = pin_profile(root, profile.model_copy(update={"rounds": options.rounds or profile.rounds}))
    copy_bootstrap(Warehouse.open(options.warehouse), Warehouse.open(root))
    _run_rounds(root, profile, ROUND_KEYS[: profile.rounds])
    _say(results_of(options.warehouse), "", results_of(root), "", arms_text(options.warehouse, root))


def one_round(options: argparse.Namespace) -> None:
    """Backfill one round."""
    key = _round(options.number)
    if options.dry_run:
        _dry_run(_asked(options), key)
        return
    profile = _profile(options)
    if round_number(key) > profile.rounds:
        profile = pin_profile(options.warehouse, profile.model_copy(update={"rounds": round_number(key)}))
    _run_rounds(options.warehouse, profile, [key])
    _say(results_of(options.warehouse))


def again(options: argparse.Namespace) -> None:
    """Tables made again, such as rollouts by a checkpoint that an endpoint serves now."""
    from jobs.runner import open_runner

    key = BOOTSTRAP if options.round == BOOTSTRAP else _round(options.round)
    with open_runner(options.warehouse, _profile(options)) as runner:
        runner.run_again(options.tables, key)


def ablation(options: argparse.Namespace) -> None:
    """Three rewards on the pool of one round."""
    from jobs.runner import open_runner
    from quality.pass_hat_k import table_text
    from schemas import PassHatK

    key = _round(options.number)
    with open_runner(options.warehouse, _profile(options)) as runner:
        runner.run_ablation(key)
        rows = runner.warehouse.read("reward_ablation_report", key)
    _say(table_text([row for row in rows if isinstance(row, PassHatK)]))


def waive(options: argparse.Namespace) -> None:
    """A person's decision to read a round although its gates object; the next run goes on behind it."""
    waiver = GateWaiver(table=options.table, round=options.round, reason=options.reason, by=options.by)
    existing_warehouse(options.warehouse).waive(waiver)
    _say(f"{waiver.table}[{waiver.round}]: may be read as it is, says {waiver.by}: {waiver.reason}")


def report(options: argparse.Namespace) -> None:
    """The page of a round, made again from the versions that a tag names."""
    from assets.reading import Reading
    from assets.reports import report_page

    warehouse, key = existing_warehouse(options.warehouse), _round(options.number)
    tag, known = options.as_of or f"report-{key}", warehouse.tags()
    if tag not in known or (profile := stored_profile(warehouse.root)) is None:
        raise ConfigError(
            f"report[{key}]: expected a tag ({', '.join(known) or 'there is none'}), got {tag}; run the round first"
        )
    put_file(Path(options.out), report_page(Reading(warehouse, profile, key, known[tag])).encode())
    _say(options.out)


def table(options: argparse.Namespace) -> None:
    """Stored tables again."""
    _say("\n\n".join(results_of(root) for root in options.warehouse))


def search(options: argparse.Namespace) -> None:
    """Rows like some words, or like a stored row."""
    from jobs.likeness import found_text

    key = _round(options.round) if options.round else None
    wanted = (options.words, options.like, options.mode, key, options.limit)
    _say(found_text(options.warehouse, options.table, *wanted))


def ui(options: argparse.Namespace) -> None:
    """Dagster's UI on loopback, over the warehouse and its history."""
    from jobs.home import prepare_home

    root = Warehouse.open(options.warehouse).root
    environment = {**os.environ, "DAGSTER_HOME": str(prepare_home(root)), "FAULTLINE_WAREHOUSE": root}
    workspace = str(REPOSITORY / "workspace.yaml")
    command = ["-W", "ignore", "-m", "dagster", "dev", "-w", workspace, "-h", "127.0.0.1", "-p", str(options.port)]
    _say(f"http://127.0.0.1:{options.port}  (warehouse {root}; Ctrl-C ends it)")
    os.execve(sys.executable, [sys.executable, *command], environment)


def results_of(root: str | Path) -> str:
    """Table, differences and places of one warehouse."""
    from jobs.tables import results_text

    return results_text(root)


def _round(text: str) -> str:
    return known_round(round_key(int(text)) if text.isdigit() else text)


def _words(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("expected words, got none")
    return text.strip()


def _run_rounds(root: str | Path, profile: Profile, rounds: Sequence[str]) -> None:
    from jobs.runner import open_runner

    with open_runner(root, profile) as runner:
        runner.run_bootstrap()
        for key in rounds:
            runner.run_round(key)


def _dry_run(profile: Profile, round: str | None) -> None:
    """Print what a run would ask of models, then whether they can be asked; exit code 2 when one can't."""
    from assets.roles import require_endpoints
    from jobs.dry_run import Scope, dry_run_text

    n_rounds = profile.rounds if round is None else 1
    _say(dry_run_text(Scope(profile, n_rounds, with_bootstrap=round is None)))
    require_endpoints(profile)


def _profile(options: argparse.Namespace) -> Profile:
    """The profile asked for, else the warehouse's own; the warehouse remembers it."""
    return pin_profile(Warehouse.open(options.warehouse).root, _asked(options))


def _asked(options: argparse.Namespace) -> Profile:
    """The profile asked for, else the warehouse's own; nothing is written."""
    given = {key: getattr(options, key, None) for key in ("seed", "rounds", "targeting")}
    overrides: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    for setting in options.set:
        key, separator, value = setting.partition("=")
        if not separator:
            raise ConfigError(f"--set[{setting}]: expected key=value, got no '='; write --set grpo.n_steps=5")
        overrides[key] = yaml.safe_load(value)
    root = options.warehouse if "://" in options.warehouse else Path(options.warehouse).expanduser()
    stored = stored_profile(root)
    if stored is None:
        return load_profile(options.profile or DEFAULT_PROFILE, overrides)
    if options.profile is None:
        return changed_profile(stored, overrides, str(root))
    overrides.setdefault("rounds", stored.rounds)
    return load_profile(options.profile, overrides)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m jobs", description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(required=True, metavar="command")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--warehouse", default=os.environ.get("FAULTLINE_WAREHOUSE", DEFAULT_ROOT), help="folder")
    settings = argparse.ArgumentParser(add_help=False)
    settings.add_argument("--profile", help="preset name or path of a YAML file (default: the warehouse's, embedded)")
    settings.add_argument("--seed", type=int, help="of every random choice")
    settings.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. grpo.n_steps=5")
    demo_command = commands.add_parser("demo", parents=[common, settings], help="all rounds, then the Pass^k table")
    demo_command.add_argument("--targeting", choices=("clusters", "uniform", "none"))
    demo_command.add_argument("--rounds", type=int)
    demo_command.add_argument("--dry-run", action="store_true", help=DRY_RUN)
    demo_command.set_defaults(run=demo)
    control_command = commands.add_parser("control", parents=[common, settings], help="the same on untargeted tasks")
    control_command.add_argument(
        "--targeting", choices=("none", "uniform"), default="none", help="plain tasks, or all patterns alike"
    )
    control_command.add_argument("--rounds", type=int)
    control_command.set_defaults(run=control)
    for name, run, text in (("round", one_round, "backfill one round"), ("ablation", ablation, "compare rewards")):
        command = commands.add_parser(name, parents=[common, settings], help=text)
        command.add_argument("number", help="round, as 3 or round-003")
        command.set_defaults(run=run)
        if run is one_round:
            command.add_argument("--dry-run", action="store_true", help=DRY_RUN)
    again_command = commands.add_parser("again", parents=[common, settings], help="make tables of a round again")
    again_command.add_argument("tables", nargs="+", help="their names; what is made together is made together")
    again_command.add_argument("--round", default=BOOTSTRAP, help="bootstrap (default), or as 3 or round-003")
    again_command.set_defaults(run=again)
    waive_command = commands.add_parser("waive", parents=[common], help="let a round be read although a gate objects")
    waive_command.add_argument("table", help="the refused table")
    waive_command.add_argument("round", help="bootstrap, or as round-003")
    waive_command.add_argument("--reason", required=True, type=_words, help="why it may be read; stored and logged")
    waive_command.add_argument("--by", default=getpass.getuser(), type=_words, help="who decides (default: you)")
    waive_command.set_defaults(run=waive)
    report_command = commands.add_parser("report", parents=[common], help="a round's page again, as it was")
    report_command.add_argument("number", help="round, as 3 or round-003")
    report_command.add_argument("--as-of", metavar="TAG", help="tag of the versions to read (default: report-ROUND)")
    report_command.add_argument("--out", metavar="FILE", required=True, help="where the page goes")
    report_command.set_defaults(run=report)
    table_command = commands.add_parser("table", help="print stored tables again")
    table_command.add_argument("--warehouse", nargs="+", default=[DEFAULT_ROOT], help="folders")
    table_command.set_defaults(run=table)
    search_command = commands.add_parser("search", parents=[common], help="rows like these words, or like a row")
    search_command.add_argument("words", nargs="?", help="what to look for")
    search_command.add_argument("--table", choices=SEARCHED, default=SEARCHED[0], help="default: %(default)s")
    search_command.add_argument("--like", metavar="ID", help="a row of the table instead of words")
    search_command.add_argument("--mode", choices=MODES, default="hybrid", help="default: %(default)s")
    search_command.add_argument("--round", help="only rows of this round, as 3 or round-003")
    search_command.add_argument("--limit", type=int, default=10)
    search_command.set_defaults(run=search)
    ui_command = commands.add_parser("ui", parents=[common], help="Dagster's UI on loopback")
    ui_command.add_argument("--port", type=int, default=3000)
    ui_command.set_defaults(run=ui)
    return parser


def _log_to_stdout() -> None:
    """One line per finished asset; other loggers speak on warning."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    for name in ("assets", "jobs"):
        log = logging.getLogger(name)
        log.handlers[:] = [handler]
        log.setLevel(logging.INFO)
        log.propagate = False
    # A check reads rows before any verdict on them exists; that is its purpose, not news.
    logging.getLogger("schemas.guard").setLevel(logging.ERROR)


def _say(*parts: str) -> None:
    sys.stdout.write("\n".join(parts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _log_to_stdout()
    sys.exit(main())
