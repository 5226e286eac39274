"""Who plays a role: the program, or a model at an endpoint when the profile names one."""

from collections.abc import Sequence
from contextlib import ExitStack

from tqdm import tqdm

from assets.profile import Profile
from env_sim import load_domain
from env_sim.chat.usage import Usage
from env_sim.task_kits import load_task_kit
from quality.cluster_map import FailureMap, map_2d
from quality.clusters import cluster_explanations
from quality.embedding import Embedder
from quality.judge import DiffJudge, Failure, Judge
from schemas import Explanation, FailureCluster

__all__ = ["clustered", "explained"]


def explained(profile: Profile, root: str, failures: Sequence[Failure]) -> tuple[list[Explanation], Usage]:
    """Explanations of failures by the profile's judge, and what they cost; replies are kept in the warehouse's cache.

    Raises:
        ChatError: When a judge at an endpoint gives no reply; a rerun goes on where it stopped.
    """
    usage = Usage()
    with ExitStack() as stack, tqdm(total=len(failures), desc="explanations", leave=False, delay=1) as bar:

        def told(n_done: int) -> None:
            bar.update(n_done - bar.n)
            if usage.n_calls:
                bar.set_postfix(calls=usage.n_calls, usd=f"{usage.cost_usd:.2f}")

        return _judge(profile, root, usage, stack).explain_all(failures, told), usage


def _judge(profile: Profile, root: str, usage: Usage, stack: ExitStack) -> Judge:
    role = profile.judge
    if role.endpoint is None:
        return DiffJudge()
    # The openai package takes half a second to load, and most runs need none of it.
    from quality.llm_judge import EndpointJudge
    from schemas.response_cache import LanceResponseCache

    cache = stack.enter_context(LanceResponseCache(root))
    patterns = [(each.name, each.description) for each in load_task_kit(profile.domain).patterns[1:]]
    rulebook = load_domain(profile.domain).rulebook()
    return EndpointJudge(role.endpoint, rulebook, patterns, role.asking, cache, usage.add)


def clustered(
    profile: Profile, root: str, explanations: Sequence[Explanation], previous: Sequence[FailureCluster]
) -> tuple[list[FailureCluster], FailureMap, Usage]:
    """Clusters of a round's explanations and their map, embedded and named by whom the profile says, and the cost.

    Raises:
        ChatError: When an endpoint gives no reply; a rerun goes on where it stopped.
        ConfigError: When the profile names a sentence-transformer and the package is missing.
    """
    usage, role = Usage(), profile.clusters
    with ExitStack() as stack:
        embed = _embedder(profile, root, usage, stack)
        rows = cluster_explanations(explanations, role, previous, embed)
        points = map_2d(explanations, rows, role, embed)
        if role.labels is not None and rows:
            from quality.llm_labels import EndpointLabeller
            from schemas.response_cache import LanceResponseCache

            cache = stack.enter_context(LanceResponseCache(root))
            rows = EndpointLabeller(role.labels, cache, usage.add)(rows)
    return rows, points, usage


def _embedder(profile: Profile, root: str, usage: Usage, stack: ExitStack) -> Embedder | None:
    role = profile.clusters
    if role.embedder is None and not role.sentence_transformer:
        return None
    from quality.llm_embedding import EndpointEmbedder, SentenceEmbedder
    from schemas.response_cache import LanceResponseCache

    if role.embedder is None:
        return SentenceEmbedder(role.sentence_transformer)
    return EndpointEmbedder(role.embedder, stack.enter_context(LanceResponseCache(root)), usage.add)
