"""Who plays a role: the program, or a model at an endpoint when the profile names one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from assets.model_calls import ModelCalls
from assets.profile import Profile
from env_sim import load_domain
from env_sim.task_kits import load_task_kit
from quality.cluster_map import FailureMap, map_2d
from quality.clusters import cluster_explanations
from quality.embedding import Embedder, FittedEmbedder, HashedEmbedder, StoredEmbedder
from quality.judge import DiffJudge, Failure, Judge
from schemas import ConfigError, Explanation, FailureCluster
from schemas.errors import ChatError

if TYPE_CHECKING:
    from env_sim.chat.user import EndpointUser

__all__ = ["clustered", "explained", "mapped", "require_endpoints", "stored_embedder", "user_of"]


def require_endpoints(profile: Profile) -> None:
    """Look whether every endpoint of the profile can be asked, before anything is spent.

    Raises:
        ConfigError: Naming each that can't: no key, nobody there, key refused.
    """
    if not (endpoints := profile.endpoints()):
        return
    from env_sim.chat.reach import require_reachable

    problems: list[str] = []
    for role, endpoint in endpoints.items():
        try:
            require_reachable(role, endpoint)
        except (ConfigError, ChatError) as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))


def explained(profile: Profile, failures: Sequence[Failure], calls: ModelCalls) -> list[Explanation]:
    """Explanations of failures by the profile's judge; replies are kept in the warehouse's cache.

    Raises:
        ChatError: When a judge at an endpoint gives no reply; a rerun goes on where it stopped.
    """
    return _judge(profile, calls).explain_all(failures, calls.told)


def _judge(profile: Profile, calls: ModelCalls) -> Judge:
    role = profile.judge
    if role.endpoint is None:
        return DiffJudge()
    # The openai package takes half a second to load, and most runs need none of it.
    from quality.llm_judge import EndpointJudge

    patterns = [(each.name, each.description) for each in load_task_kit(profile.domain).patterns[1:]]
    rulebook = load_domain(profile.domain).rulebook()
    return EndpointJudge(role.endpoint, rulebook, patterns, role.asking, calls.cache, calls.record)


def clustered(
    profile: Profile, explanations: Sequence[Explanation], previous: Sequence[FailureCluster], calls: ModelCalls
) -> tuple[list[FailureCluster], FailureMap]:
    """Clusters of a round's explanations and their map, embedded and named by whom the profile says.

    Raises:
        ChatError: When an endpoint gives no reply; a rerun goes on where it stopped.
        ConfigError: When the profile names a sentence-transformer and the package is missing.
    """
    role, embed = profile.clusters, _embedder(profile, calls)
    rows = cluster_explanations(explanations, role, previous, embed)
    points = map_2d(explanations, rows, role, embed)
    if role.labels is not None and rows:
        from quality.llm_labels import EndpointLabeller

        rows = EndpointLabeller(role.labels, calls.cache, calls.record)(rows)
    return rows, points


def mapped(
    profile: Profile, explanations: Sequence[Explanation], clusters: Sequence[FailureCluster], calls: ModelCalls
) -> FailureMap | None:
    """The map by the profile's embedder, which has embedded the same texts for the clusters; None where it names none.

    Raises:
        ChatError: As `clustered`.
    """
    embed = _embedder(profile, calls)
    return map_2d(explanations, clusters, profile.clusters, embed) if embed and clusters else None


def stored_embedder(profile: Profile, calls: ModelCalls) -> StoredEmbedder:
    """Whose vectors are stored and searched: the profile's embedder, or hashed words where it names none."""
    embed, role = _embedder(profile, calls), profile.clusters
    if embed is None:
        return HashedEmbedder()
    return FittedEmbedder(embed, role.embedder.model if role.embedder else role.sentence_transformer)


def _embedder(profile: Profile, calls: ModelCalls) -> Embedder | None:
    role = profile.clusters
    if role.embedder is None and not role.sentence_transformer:
        return None
    from quality.llm_embedding import EndpointEmbedder, SentenceEmbedder

    if role.embedder is None:
        return SentenceEmbedder(role.sentence_transformer)
    return EndpointEmbedder(role.embedder, calls.cache, calls.record)


def user_of(profile: Profile, calls: ModelCalls) -> "EndpointUser | None":
    """The profile's model of a user, None for the scripted one; replies are kept in the warehouse's cache."""
    role = profile.user
    if role.endpoint is None:
        return None
    from env_sim.chat.user import EndpointUser

    return EndpointUser(role.endpoint, role.asking, calls.cache, calls.record)
