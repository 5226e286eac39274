"""Where domains are found: one folder is one domain, and adding the folder is all that it takes.

A folder beside this file with a `domain.py` is a domain of that name, and its package must define `DOMAIN`. A `kit.py`
in it makes tasks (see `env_sim.task_kits`). A name from a config is only ever compared with these names, never
turned into a path. A domain's package is imported when it is first asked for, so `import env_sim` stays cheap.
"""

from functools import cache
from importlib import import_module
from importlib.resources import files

from env_sim.world import Domain
from schemas.errors import UnknownDomainError

__all__ = ["domain_names", "folders_with", "load_domain"]


@cache
def folders_with(file_name: str) -> tuple[str, ...]:
    """Names of the domains' folders that hold this file, sorted."""
    found = (each.name for each in files(__name__).iterdir() if each.joinpath(file_name).is_file())
    return tuple(sorted(name for name in found if name.isidentifier()))


def domain_names() -> tuple[str, ...]:
    """Names that `load_domain` accepts, sorted."""
    return folders_with("domain.py")


def load_domain(name: str) -> Domain:
    """The domain of this name.

    Raises:
        UnknownDomainError: When no domain has this name.
    """
    if name not in domain_names():
        raise UnknownDomainError(
            f"domain[{name}]: expected one of {', '.join(domain_names())}, got {name!r}; "
            "correct the config or add the folder env_sim/domains/<name> with a domain.py"
        )
    return import_module(f"{__name__}.{name}").DOMAIN
