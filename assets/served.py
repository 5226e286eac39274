"""A model at an endpoint in the place of a trained policy: its row, and its place in the loop."""

from collections.abc import Iterator

import dagster as dg

from assets.resources import ProfileResource, WarehouseResource
from assets.retries import retried
from assets.rounds import ROUND_KEYS
from assets.sft import announce
from assets.stage import Stage
from schemas import ConfigError

GROUP = "serving"


@dg.asset(group_name=GROUP, kinds={"lance"})
@retried
def served_checkpoint(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, profile: ProfileResource
) -> Iterator[dg.MaterializeResult]:
    """The chat model that is played instead of a trained policy; round 1 tests it."""
    # The openai package takes half a second to load, and the code location shall load without it.
    from trainer.served import served_checkpoint as row_of

    stage = Stage(context, warehouse, profile)
    role = stage.profile.served_policy
    endpoint = role.endpoint
    if endpoint is None or stage.profile.trains:
        raise ConfigError(
            f"served_checkpoint[{stage.profile.name}]: expected a chat model as served_policy, got a profile whose "
            "policy is trained here; materialize sft_checkpoint instead"
        )
    row = row_of(endpoint, stage.profile.seed, returns_thoughts=role.returns_thoughts)
    yield stage.write("served_checkpoint", [row], {"endpoint": row.path}, policy_version=row.checkpoint_id)
    announce(stage, ROUND_KEYS[0], row)
