"""A profile: every setting of a run in one frozen value, composed from the rooms' own configs.

Read from a YAML file (`jobs/presets/<name>.yaml` or any path); what the file leaves out has the default of its config
class. A warehouse is made under one profile and remembers it: rows of two profiles in one root can't be told apart.
"""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError

from assets.rounds import MAX_ROUNDS
from assets.settings import (
    ClusterRole,
    Databases,
    ExplorerRole,
    JudgeRole,
    ReaderRole,
    ServedPolicyRole,
    Settings,
    Tasks,
    Trials,
    UserRole,
    WriterRole,
    defaults,
)
from env_sim.chat.endpoint import OPERATIONAL, Endpoint
from env_sim.pool import InjectionConfig, MixConfig, Targeting
from env_sim.reward import RewardConfig
from env_sim.task_kits import load_task_kit
from quality.gate import GateLimits
from quality.task_words import DuplicateConfig
from schemas import ConfigError
from schemas.folders import folder_of
from trainer.config import GrpoConfig, PolicyConfig, SamplingConfig, SftConfig, WarmupConfig

PRESETS = Path(__file__).resolve().parent.parent / "jobs" / "presets"
"""Where a profile's name is looked up."""

STORED = "profile.json"
"""The profile of a warehouse, in its root."""

FREE_KEYS = frozenset({"rounds"})
"""May differ from the stored profile: they change how far a run goes, no row of it."""


class Profile(Settings):
    """All settings of a run."""

    name: str = Field(min_length=1, max_length=60, pattern=r"^[a-z0-9][a-z0-9._-]*$")
    """Name of the preset that it came from."""
    domain: str = Field(default="retail", min_length=1)
    """Tool world."""
    seed: int = Field(default=0, ge=0)
    """Every random choice derives from it, the asset's name and the round."""
    rounds: int = Field(default=2, ge=1, le=MAX_ROUNDS)
    """Where the sensor and the demo stop."""
    patterns: tuple[str, ...] = ()
    """Failure patterns that tasks are written with, `a+b` for two in one task; empty: all of the domain's table. Their
    set is part of every draw, so a profile whose rows are to stay names them."""
    targeting: Targeting = "clusters"
    """How injected patterns are chosen; `none` is the control arm: the same budget on plain tasks."""
    start_from: Literal["sft", "previous_rl"] = "sft"
    """Checkpoint that each round's RL starts from; `sft` keeps rounds comparable on one budget."""
    average_rounds: bool = True
    """A round's policy is the mean of the weights of all rounds' runs so far, if they start from `sft`, each weighing
    as many steps as it took: the noise of a run is as large as what it learns, and the runs' noises cancel."""
    mix: MixConfig = defaults(MixConfig)
    databases: Databases = defaults(Databases)
    tasks: Tasks = defaults(Tasks)
    trials: Trials = defaults(Trials)
    injection: InjectionConfig = defaults(InjectionConfig)
    policy: PolicyConfig = defaults(PolicyConfig, vocab_size=2048)
    served_policy: ServedPolicyRole = defaults(ServedPolicyRole)
    warmup: WarmupConfig = defaults(WarmupConfig)
    sft: SftConfig = defaults(SftConfig)
    grpo: GrpoConfig = defaults(GrpoConfig)
    sampling: SamplingConfig = defaults(SamplingConfig, temperature=0.8)
    reward: RewardConfig = defaults(RewardConfig)
    judge: JudgeRole = defaults(JudgeRole)
    user: UserRole = defaults(UserRole)
    explorer: ExplorerRole = defaults(ExplorerRole)
    writer: WriterRole = defaults(WriterRole)
    reader: ReaderRole = defaults(ReaderRole)
    clusters: ClusterRole = defaults(ClusterRole)
    duplicates: DuplicateConfig = defaults(DuplicateConfig)
    limits: GateLimits = defaults(GateLimits)
    n_processes: int = Field(default=2, ge=1, le=64)
    """Processes of rollouts and training, one thread each; as many as there are cores."""
    max_turns: int = Field(default=30, ge=2, le=500)
    """Assistant messages after which an episode is cut; the longest reference needs about 20."""

    @property
    def hard_patterns(self) -> tuple[str, ...]:
        """The patterns by name."""
        return self.patterns or tuple(load_task_kit(self.domain).pattern_names())

    @property
    def trains(self) -> bool:
        """Whether the policy is trained here; a served chat model is only played."""
        return self.served_policy.endpoint is None or self.served_policy.speaks == "tokens"

    def roles(self) -> dict[str, Endpoint | None]:
        """Every role that a model may play, by its key such as `judge`: where one does, None where a program does."""
        return dict(_roles(self))

    def endpoints(self) -> dict[str, Endpoint]:
        """The roles that models play."""
        return {role: endpoint for role, endpoint in self.roles().items() if endpoint is not None}

    @property
    def ks(self) -> tuple[int, ...]:
        """Values of k that the number of trials allows, at most 4."""
        return tuple(range(1, min(4, self.trials.test) + 1))


def _roles(part: BaseModel, place: str = "") -> Iterator[tuple[str, Endpoint | None]]:
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if field.annotation in (Endpoint, Endpoint | None):
            yield (place if name == "endpoint" else f"{place}.{name}".lstrip(".")), value
        elif isinstance(value, BaseModel):
            yield from _roles(value, f"{place}.{name}".lstrip("."))


def profile_names() -> tuple[str, ...]:
    """Names that `load_profile` knows, sorted."""
    return tuple(sorted(path.stem for path in PRESETS.glob("*.yaml")))


def load_profile(name_or_path: str, overrides: Mapping[str, Any] | None = None) -> Profile:
    """Read a profile by preset name or path and put overrides over it.

    Args:
        name_or_path: `embedded`, or the path of a YAML file.
        overrides: Dotted key -> value, as `{"grpo.n_steps": 5}`.

    Raises:
        ConfigError: On an unknown profile, a file that is no YAML mapping, an unknown key or a value out of bounds.
    """
    named = PRESETS / f"{name_or_path}.yaml"
    path = named if name_or_path in profile_names() else Path(name_or_path)
    if path is not named and (path.suffix not in (".yaml", ".yml") or not path.is_file()):
        raise ConfigError(
            f"profile[{name_or_path}]: expected one of {', '.join(profile_names())} or the path of a YAML file, got "
            "neither; correct the name"
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"profile[{path.name}]: expected a YAML file, got {error}; repair it") from error
    if not isinstance(content, dict):
        raise ConfigError(f"profile[{path.name}]: expected keys and values, got {type(content).__name__}; repair it")
    content = {"name": path.stem, **content}
    for key, value in (overrides or {}).items():
        _put(content, key, value, path.name)
    return validated_profile(content, path.name)


def changed_profile(stored: Profile, overrides: Mapping[str, Any], file: str) -> Profile:
    """A warehouse's profile with overrides put over it; raises as `load_profile`."""
    content = stored.model_dump(mode="json")
    for key, value in overrides.items():
        _put(content, key, value, file)
    return validated_profile(content, file)


def _put(content: dict[str, Any], key: str, value: object, file: str) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        # An endpoint that is not there yet is stored as null.
        inner = content.get(parent)
        inner = {} if inner is None else inner
        if not isinstance(inner, dict):
            raise ConfigError(f"profile[{file}: {key}]: expected {parent} to hold keys, got {inner!r}; correct the key")
        content[parent] = content = dict(inner)
    content[last] = value


def validated_profile(content: Mapping[str, Any], file: str) -> Profile:
    """The profile of these values; `file` is where they come from, for the message.

    Raises:
        ConfigError: Naming every key that is unknown or out of bounds, or the first pattern that can't be written.
    """
    try:
        profile = Profile.model_validate(content)
    except ValidationError as error:
        raise ConfigError("\n".join(_in_words(line, file) for line in error.errors())) from error
    _check_patterns(profile, file)
    _check_rounds(profile, file)
    _check_roles(profile, file)
    return profile


def _check_rounds(profile: Profile, file: str) -> None:
    if not profile.trains and profile.rounds > 1:
        raise ConfigError(
            f"profile[{file}: rounds]: expected 1, because nothing is trained between rounds when served_policy is a "
            f"chat model, got {profile.rounds}; set rounds: 1, or leave served_policy out"
        )


def _check_roles(profile: Profile, file: str) -> None:
    """What a model may make must pass the gates, or its work is paid for and refused."""
    bounds = {
        "explorer.asking.max_calls": (profile.explorer.asking.max_calls, profile.limits.max_actions),
        "writer.asking.max_words": (profile.writer.asking.max_words, profile.limits.max_words),
    }
    for key, (asked, allowed) in bounds.items():
        if asked > allowed:
            raise ConfigError(
                f"profile[{file}: {key}]: expected at most {allowed}, as the gates allow, got {asked}; "
                "lower it or raise the limit"
            )


def _check_patterns(profile: Profile, file: str) -> None:
    asked, known = profile.tasks.eval_patterns, profile.hard_patterns
    if not set(asked) <= set(known) or len(set(asked)) < len(asked):
        raise ConfigError(
            f"profile[{file}: tasks.eval_patterns]: expected some of {', '.join(known)}, each once, got "
            f"{', '.join(asked)}; correct the list, or name them in patterns too"
        )
    for place, name in enumerate(profile.patterns):
        kit = load_task_kit(profile.domain)
        try:
            problem = kit.why_not(name)
        except ConfigError as error:
            problem = str(error)
        if name == kit.patterns[0].name:
            problem = "plain tasks have shares of their own (tasks.*_plain_share, injection.plain_share)"
        if name in profile.patterns[:place]:
            problem = "it stands there twice"
        if problem:
            raise ConfigError(
                f"profile[{file}: patterns]: expected failure patterns of {profile.domain} that can be written, "
                f"got {name!r}: {problem}; correct the name or remove it"
            )


def _in_words(line: Any, file: str) -> str:
    key = ".".join(map(str, line["loc"]))
    if line["type"] != "extra_forbidden":
        got = "nothing" if line["type"] == "missing" else repr(line["input"])[:80]
        return f"profile[{file}: {key}]: expected {line['msg'].removeprefix('Input should be ')}, got {got}; correct it"
    names = _names_beside(line["loc"])
    near = difflib.get_close_matches(str(line["loc"][-1]), names, 1)
    hint = f"did you mean {near[0]}?" if near else "remove it"
    return f"profile[{file}: {key}]: expected one of {', '.join(names)}, got an unknown key; {hint}"


def _names_beside(place: tuple[Any, ...]) -> list[str]:
    model: type[BaseModel] = Profile
    for part in place[:-1]:
        inner = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        model = inner
    return sorted(model.model_fields)


def stored_profile(root: str | Path) -> Profile | None:
    """The profile that a warehouse was made under, None for a new one.

    Raises:
        ConfigError: When the stored file is damaged.
    """
    path = folder_of(root) / STORED
    if not path.exists():
        return None
    try:
        return validated_profile(_as_it_was(json.loads(path.read_text(encoding="utf-8"))), str(path))
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            f"profile[{path}]: expected JSON, got {error}; restore the file or take a new root"
        ) from error


def _as_it_was(content: dict[str, Any]) -> dict[str, Any]:
    """A warehouse from before clusters had a method was made by the tree."""
    return {**content, "clusters": {"method": "tree", **content.get("clusters", {})}}


def pin_profile(root: str | Path, profile: Profile) -> Profile:
    """Make a warehouse remember its profile; returns it.

    Raises:
        ConfigError: When the warehouse was made under other settings, naming each.
    """
    path, stored = folder_of(root) / STORED, stored_profile(root)
    if stored is not None:
        old, new = _flat(stored.model_dump(mode="json")), _flat(profile.model_dump(mode="json"))
        free = _free_keys(old | new, profile.roles(), stored.trains and profile.trains)
        changed = [key for key in sorted(old | new) if key not in free and old.get(key) != new.get(key)]
        if changed:
            said = "; ".join(f"{key}: {old.get(key)} there, {new.get(key)} asked" for key in changed)
            raise ConfigError(
                f"profile[{path}]: expected the settings of this warehouse, got others ({said}); "
                "take another --warehouse, or the same settings"
            )
    if stored != profile:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".part")
        draft.write_text(profile.model_dump_json(indent=1) + "\n", encoding="utf-8")
        draft.replace(path)
    return profile


def _free_keys(keys: Iterable[str], roles: Iterable[str], trains: bool) -> set[str]:
    """Keys that may differ: how far a run goes, how an endpoint is reached, where a checkpoint of ours is played."""
    reached = {f"{place}.{key}" for role in roles for place in (role, f"{role}.endpoint") for key in OPERATIONAL}
    return {key for key in keys if key in FREE_KEYS or key in reached or (trains and key.startswith("served_policy."))}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
