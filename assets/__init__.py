"""Names, lineage and persistence: every stage of the loop as a Dagster asset.

An asset reads rows, calls one function of a lower room, writes rows and says what happened. Domain logic lives in
`env_sim`, judgement in `quality`, learning in `trainer`; when things run is decided in `jobs`.
"""
