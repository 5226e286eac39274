"""The registry of domains: a name in a config file becomes an object here, and nowhere else.

One folder is one domain. A domain's module is imported when it is first asked for, so that `import env_sim` stays
cheap. Add a domain by adding its line to `_MODULES`; its module must define `DOMAIN`.
"""

from importlib import import_module

from env_sim.world import Domain
from schemas.errors import UnknownDomainError

__all__ = ["domain_names", "load_domain"]

_MODULES = {
    "airline": "env_sim.domains.airline",
    "retail": "env_sim.domains.retail",
}


def domain_names() -> tuple[str, ...]:
    """Names that `load_domain` accepts, sorted."""
    return tuple(sorted(_MODULES))


def load_domain(name: str) -> Domain:
    """The domain of this name.

    Raises:
        UnknownDomainError: When no domain has this name.
    """
    module = _MODULES.get(name)
    if module is None:
        raise UnknownDomainError(
            f"domain[{name}]: expected one of {', '.join(domain_names())}, got {name!r}; "
            "correct the config or add the domain to env_sim/domains/__init__.py"
        )
    return import_module(module).DOMAIN
