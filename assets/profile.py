"""A profile: every setting of a run in one frozen value, composed from the rooms' own configs.

Read from a YAML file (`jobs/presets/<name>.yaml` or any path); what the file leaves out has the default of its config
class. A warehouse is made under one profile and remembers it: rows of two profiles in one root can't be told apart.
"""

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assets.rounds import MAX_ROUNDS
from env_sim.chat.endpoint import Endpoint
from env_sim.pool import InjectionConfig, MixConfig, Targeting
from env_sim.reward import RewardConfig
from env_sim.task_kits import load_task_kit
from quality.clusters import ClusterConfig
from quality.gate import GateLimits
from quality.judge import LlmJudgeConfig
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


C = TypeVar("C", bound=BaseModel)


def _defaults(kind: type[C], **values: float) -> C:
    return kind.model_validate(values)


class Settings(BaseModel):
    """Base of a profile's own parts: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Databases(Settings):
    """Generated databases per split."""

    train: int = Field(default=24, ge=1, le=5000)
    """Databases; few get memorised, each costs 0.1 s and 8 MB to make again at 500 users."""
    validation: int = Field(default=2, ge=1, le=1000)
    """Databases of the tasks on which failures are found."""
    test: int = Field(default=4, ge=1, le=1000)
    """Databases of the tasks that are reported."""
    n_users: int = Field(default=500, ge=1, le=500)
    """Users per database; 500 as in tau2's own."""


class Tasks(Settings):
    """Tasks made before the loop."""

    sft: int = Field(default=12000, ge=1)
    """Demonstrated tasks; 700 training steps of 3600 tokens see each about once."""
    sft_plain_share: float = Field(default=0.8, ge=0, le=1)
    """Easy share of them: mostly easy paths, so that real failures remain to be found."""
    validation: int = Field(default=200, ge=1)
    """Tasks on which failures are found; 200 x trials give some hundred failures to cluster."""
    test: int = Field(default=200, ge=1)
    """Tasks behind the reported numbers; with fewer than 200 the interval of Pass^1 is wider than the lift."""
    eval_plain_share: float = Field(default=0.25, ge=0, le=1)
    """Easy share of validation and test tasks; the rest is even over the failure patterns."""


class Trials(Settings):
    """Episodes per task."""

    validation: int = Field(default=4, ge=1, le=64)
    """Of the policy under test in each round."""
    test: int = Field(default=4, ge=1, le=64)
    """Of each reported policy; Pass^k needs k of them."""


class JudgeRole(Settings):
    """Who explains failures."""

    endpoint: Endpoint | None = None
    """Where a model does it; none: the embedded judge, a program."""
    asking: LlmJudgeConfig = _defaults(LlmJudgeConfig)
    """How a model is asked."""


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
    """A round's policy is the mean of the weights of all rounds' runs so far, if they start from `sft`: the noise of a
    run is as large as what it learns, and the runs' noises cancel."""
    mix: MixConfig = _defaults(MixConfig)
    databases: Databases = _defaults(Databases)
    tasks: Tasks = _defaults(Tasks)
    trials: Trials = _defaults(Trials)
    injection: InjectionConfig = _defaults(InjectionConfig)
    policy: PolicyConfig
    warmup: WarmupConfig = _defaults(WarmupConfig)
    sft: SftConfig = _defaults(SftConfig)
    grpo: GrpoConfig = _defaults(GrpoConfig)
    sampling: SamplingConfig = _defaults(SamplingConfig, temperature=0.8)
    reward: RewardConfig = _defaults(RewardConfig)
    judge: JudgeRole = _defaults(JudgeRole)
    clusters: ClusterConfig = _defaults(ClusterConfig)
    duplicates: DuplicateConfig = _defaults(DuplicateConfig)
    limits: GateLimits = _defaults(GateLimits)
    n_processes: int = Field(default=2, ge=1, le=64)
    """Processes of rollouts and training, one thread each; as many as there are cores."""
    max_turns: int = Field(default=30, ge=2, le=500)
    """Assistant messages after which an episode is cut; the longest reference needs about 20."""

    @property
    def hard_patterns(self) -> tuple[str, ...]:
        """The patterns by name."""
        return self.patterns or tuple(load_task_kit(self.domain).pattern_names())

    @property
    def ks(self) -> tuple[int, ...]:
        """Values of k that the number of trials allows, at most 4."""
        return tuple(range(1, min(4, self.trials.test) + 1))


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


def _put(content: dict[str, Any], key: str, value: object, file: str) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        inner = content.setdefault(parent, {})
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
    return profile


def _check_patterns(profile: Profile, file: str) -> None:
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
        return validated_profile(json.loads(path.read_text(encoding="utf-8")), str(path))
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            f"profile[{path}]: expected JSON, got {error}; restore the file or take a new root"
        ) from error


def pin_profile(root: str | Path, profile: Profile) -> Profile:
    """Make a warehouse remember its profile; returns it.

    Raises:
        ConfigError: When the warehouse was made under other settings, naming each.
    """
    path, stored = folder_of(root) / STORED, stored_profile(root)
    if stored is not None:
        old, new = _flat(stored.model_dump(mode="json")), _flat(profile.model_dump(mode="json"))
        changed = [key for key in sorted(old | new) if key not in FREE_KEYS and old.get(key) != new.get(key)]
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


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
