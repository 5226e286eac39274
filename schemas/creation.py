"""Make a Lance dataset once, whoever else makes it at the same moment. Used by `lance_table` and `response_cache`."""

import lance
import pyarrow as pa

from schemas.faults import no_panic

__all__ = ["created"]


def created(uri: str, schema: pa.Schema) -> lance.LanceDataset:
    """The dataset at a URI, made without rows unless another writer made it first.

    `lance.write_dataset(mode="create")` looks, then writes over what has come since it looked: of four writers that
    begin together one in ten loses the rows it has committed (https://github.com/lance-format/lance/issues/4451). A
    commit without retries is version 1 or fails.

    Raises:
        OSError, ValueError: When there is none and none can be made.
    """
    try:
        with no_panic():
            return lance.LanceDataset.commit(uri, lance.LanceOperation.Overwrite(schema, []), max_retries=0)
    except OSError as refused:
        try:
            return lance.dataset(uri)
        except (OSError, ValueError):
            raise refused from None
