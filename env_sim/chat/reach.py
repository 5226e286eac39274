"""Whether an endpoint can be asked at all, found out before anything is spent: only its list of models is read."""

import openai

from env_sim.chat.endpoint import Endpoint
from schemas.errors import EndpointRefusedError, EndpointUnavailableError

__all__ = ["require_reachable"]


def require_reachable(role: str, endpoint: Endpoint) -> None:
    """Look whether somebody answers at an endpoint and takes the key; servers without a list of models pass.

    Raises:
        ConfigError: When the key's variable isn't set.
        EndpointUnavailableError: When nobody answers.
        EndpointRefusedError: When the key is refused.
    """
    where = f"endpoint[{role}: {endpoint.model} at {endpoint.base_url}]"
    http = openai.DefaultHttpxClient(trust_env=False, timeout=endpoint.connect_timeout_s)
    with openai.OpenAI(base_url=endpoint.base_url, api_key=endpoint.key(), max_retries=0, http_client=http) as client:
        try:
            client.get("/models", cast_to=object)
        except openai.APIConnectionError as error:
            raise EndpointUnavailableError(
                f"{where}: expected an answer, got {error.__cause__ or error}; start the server, or correct base_url"
            ) from None
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            remedy = f"correct {endpoint.key_env}" if endpoint.key_env else "name the key's variable in key_env"
            raise EndpointRefusedError(
                f"{where}: expected a key that is taken, got {error.status_code}; {remedy}"
            ) from None
        except openai.OpenAIError:
            # Whoever answers with anything else is there; the first call tells more.
            return
