"""Simulated tool worlds: domains, their databases and the episodes played in them.

Knows no trainer, no store and no Dagster. Importing it loads no domain: `load_domain` imports one on demand.
"""

from env_sim.domains import load_domain

__all__ = ["load_domain"]
