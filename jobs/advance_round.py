"""The sensor that opens round r+1 when round r's checkpoint is ready. Stopped by default: people start it in the UI.

Ready is decided by the rows and verdicts in the warehouse, not by Dagster's memory of an event: a checkpoint that its
gates refused opens nothing, one that is still being checked opens the next round at a later tick. A round is asked for
once (its key is the run key): when its run failed, a person looks before it is started again.
"""

import dagster as dg

from assets.resources import ProfileResource, WarehouseResource
from assets.rounds import next_round
from jobs.loop import one_round
from schemas.ids import round_number

CHECKPOINTS = "rl_checkpoint"


@dg.sensor(job=one_round, default_status=dg.DefaultSensorStatus.STOPPED, minimum_interval_seconds=30)
def advance_round(
    context: dg.SensorEvaluationContext, warehouse: WarehouseResource, profile: ProfileResource
) -> dg.RunRequest | dg.SkipReason:
    """Ask for the round after the newest checkpoint, unless the profile's number of rounds is reached."""
    from jobs.progress import is_passed

    store = warehouse.open()
    rounds = store.rounds(CHECKPOINTS)
    if not rounds:
        return dg.SkipReason("no round has a checkpoint yet")
    done, limit = rounds[-1], profile.load(store.root).rounds
    following = next_round(done)
    if following is None or round_number(following) > limit:
        return dg.SkipReason(f"{done} was the last of {limit} rounds (profile key `rounds`)")
    if not is_passed(store, CHECKPOINTS, done):
        return dg.SkipReason(f"{done} has a checkpoint that has not passed its gates, {following} stays closed")
    if following not in store.rounds("round_policy"):
        return dg.SkipReason(f"{done} has a checkpoint that is not yet put up for test in {following}")
    return dg.RunRequest(run_key=following, partition_key=following)
