"""The cluster's API: a client of it, and its answers, refusals included."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any


def client_of(context: str) -> Any:
    """The client of a kubeconfig's context. Raises OSError where there is none."""
    from kubernetes import client, config

    try:
        if context == "in-cluster":
            config.load_incluster_config()
        else:
            # the library reads KUBECONFIG only once
            config.load_kube_config(config_file=os.environ.get("KUBECONFIG"), context=context or None)
    except config.ConfigException as error:
        raise OSError(
            f"no cluster: {error}; set KUBECONFIG or pass --context (in-cluster inside a pod)"
        ) from error
    settings = client.Configuration.get_default_copy()
    settings.retries = 0  # a cluster that is away is a finding, not a wait
    return client.ApiClient(settings)


def call(function: Callable, *args: Any) -> Any:
    """The answer, or the HTTP status of a refusal."""
    from kubernetes.client import ApiException

    try:
        return function(*args, _request_timeout=20)
    except ApiException as error:
        return int(error.status or 0)


def get(api: Any, group: str, method: str, *args: Any) -> Any:
    """The answer of a method of one of the client's API groups, or the HTTP status of a refusal."""
    from kubernetes import client

    return call(getattr(getattr(client, group)(api), method), *args)
