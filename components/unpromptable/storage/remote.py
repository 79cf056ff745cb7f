"""The file system at a store's address: a fault of its network is an OSError, and no bucket is ever made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

BUCKETS = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss", "oci"}  # protocols that have no folders
# of the libraries below s3fs: what they raise where a request got no answer; most are no OSErrors
FAULTS = {
    "botocore.exceptions.BotoCoreError",
    "botocore.parsers.ResponseParserError",
    "aiohttp.client_exceptions.ClientError",
    "urllib3.exceptions.HTTPError",
    "fsspec.exceptions.FSTimeoutError",
}


class Remote:
    """A file system of fsspec, whose methods raise what `plainly` makes of their errors."""

    def __init__(self, system: Any, address: str):
        self.system, self.address = system, address

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.system, name)
        if not callable(found):
            return found

        def call(*given: Any, **more: Any) -> Any:
            with plainly(self.address):
                return found(*given, **more)

        return call

    def makedirs(self, folder: str) -> None:
        """Make a folder. An object store needs none, and would make the bucket that an address mistypes."""
        if self.address.partition("://")[0].rpartition("::")[2] not in BUCKETS:
            self.system.makedirs(folder, exist_ok=True)


def reach(address: str) -> tuple[Remote, str]:
    """The file system at an address, and the path in it."""
    import fsspec

    system, root = fsspec.url_to_fs(address)
    system.invalidate_cache()  # other pods write there too
    return Remote(system, address), root


@contextmanager
def plainly(address: str) -> Iterator[None]:
    """Around what reads or writes a store. Raises ConnectionError where the network fails, FileNotFoundError
    where the bucket is missing, each in one line with the address.
    """
    try:
        yield
    except FileNotFoundError as error:
        told = answered(error).get("Error", {})
        if told.get("Code") != "NoSuchBucket":
            raise
        name = told.get("BucketName") or address.partition("://")[2].partition("/")[0]
        remedy = f"make it first, or correct the store's address {address}"
        raise FileNotFoundError(f"there is no bucket {name}; {remedy}") from error.__cause__
    except Exception as error:
        if not FAULTS & {f"{kind.__module__}.{kind.__name__}" for kind in type(error).__mro__}:
            raise
        why = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
        remedy = "check the address and its keys, and that the store runs and can be reached from here"
        raise ConnectionError(f"{address}: a request to this store failed ({why}); {remedy}") from error


def answered(error: BaseException) -> dict[str, Any]:
    """What a store answered to the request that failed so; nothing where it is not known."""
    return getattr(error.__cause__, "response", None) or {}
