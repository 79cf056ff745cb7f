"""Whether you may do what the checks do, and the pods' account what Argo's executor does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from unpromptable.execution.probe import Finding

from .api import call, get
from .request import Request

# what Argo's executor does as the service account
EXECUTOR = (
    ("", "pods", "get"),
    ("argoproj.io", "workflowtaskresults", "create"),
    ("argoproj.io", "workflowtaskresults", "patch"),
)
NAMED = (  # what you need to be allowed to, and what you may leave to others
    ("get", "persistentvolumeclaims", "volume", ""),
    ("get", "secrets", "tracking_secret", "their keys are not looked at"),
    ("create", "pods", "", "no pod is tried, so images, store and MLflow are seen in the run only"),
)
OPERATOR = "ask for the chart's role `unpromptable-operator` (kubectl create rolebinding ... --role)"
RUNNER = "install the chart, which binds the role that Argo's executor needs"


def account(api: Any, request: Request) -> Finding:
    """Whether the pods' service account is there."""
    name, space = request.service_account, request.namespace
    answer = get(api, "CoreV1Api", "read_namespaced_service_account", name, space)
    if answer == 404:
        remedy = "install the chart there with runner.create=true, or name another with --service-account"
        return Finding("service account", False, f"{name}: not in {space}", remedy)
    unread = " (cannot be read with these rights)" if isinstance(answer, int) else ""
    return Finding("service account", True, f"{name}{unread}")


def yours(api: Any, request: Request) -> Iterator[Finding]:
    """Whether you may look at what is checked here, and start pods; what can be done without is said."""
    for verb, resource, parameter, without in NAMED:
        # by name: a role may name the Secrets it covers
        allowed = may(api, request, verb, resource, getattr(request, parameter) if parameter else None)
        what, needed = f"you may {verb} {resource}", not without
        if allowed:
            yield Finding(what, True, "yes")
        elif needed:
            yield Finding(what, False, f"no, in {request.namespace}", OPERATOR)
        else:
            role = "the chart's role `unpromptable-doctor` (rights.doctor) allows it"
            yield Finding(what, True, f"no, in {request.namespace}: {without}; {role}")


def may(api: Any, request: Request, verb: str, resource: str, name: str | None = None) -> bool:
    """Whether you are allowed to, in the namespace of the pods."""
    from kubernetes import client

    ask = client.AuthorizationV1Api(api).create_self_subject_access_review
    attributes = client.V1ResourceAttributes(
        namespace=request.namespace, verb=verb, resource=resource, name=name
    )
    spec = client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
    return _allowed(call(ask, client.V1SelfSubjectAccessReview(spec=spec)))


def pods(api: Any, request: Request) -> Iterator[Finding]:
    """Whether the pods' account may do what Argo's executor does in them."""
    from kubernetes import client

    space, user = request.namespace, f"system:serviceaccount:{request.namespace}:{request.service_account}"
    ask = client.AuthorizationV1Api(api).create_namespaced_local_subject_access_review
    for group, resource, verb in EXECUTOR:
        attributes = client.V1ResourceAttributes(namespace=space, verb=verb, resource=resource, group=group)
        spec = client.V1SubjectAccessReviewSpec(user=user, resource_attributes=attributes)
        where = client.V1ObjectMeta(namespace=space)
        answer = call(ask, space, client.V1LocalSubjectAccessReview(metadata=where, spec=spec))
        if answer == 403:
            yield Finding(f"pods may {verb} {resource}", True, "cannot be told with these rights")
            continue
        allowed = _allowed(answer)
        text = "yes" if allowed else f"{request.service_account} may not, in {space}"
        yield Finding(f"pods may {verb} {resource}", allowed, text, "" if allowed else RUNNER)


def _allowed(answer: Any) -> bool:
    return not isinstance(answer, int) and answer.status.allowed
