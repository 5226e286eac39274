"""The sensor that opens round r+1 when round r's checkpoint is ready. Stopped by default: people start it in the UI."""

import dagster as dg

from assets.resources import ProfileResource, WarehouseResource
from assets.rounds import next_round
from jobs.loop import one_round
from schemas.ids import round_number


@dg.asset_sensor(asset_key=dg.AssetKey("rl_checkpoint"), job=one_round, default_status=dg.DefaultSensorStatus.STOPPED)
def advance_round(
    context: dg.SensorEvaluationContext,
    asset_event: dg.EventLogEntry,
    warehouse: WarehouseResource,
    profile: ProfileResource,
) -> dg.RunRequest | dg.SkipReason:
    """Ask for the next round, unless the profile's number of rounds is reached."""
    event = asset_event.dagster_event
    done = event.partition if event is not None else None
    following = next_round(done) if done else None
    if done is None or following is None:
        return dg.SkipReason(f"{done or 'a checkpoint without a round'} has no round after it")
    limit = profile.load(warehouse.open().root).rounds
    if round_number(following) > limit:
        return dg.SkipReason(f"{done} was the last of {limit} rounds (profile key `rounds`)")
    return dg.RunRequest(run_key=following, partition_key=following)
