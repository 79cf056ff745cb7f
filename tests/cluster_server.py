"""An HTTP server that answers as Kubernetes 1.3x and Kubeflow Pipelines 2.17 do, in their OpenAPI
definitions' shapes.

What it holds is a mapping of path to object; a test takes parts away to make a cluster that is wrong in one
way.
"""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NS = "/api/v1/namespaces/kubeflow"


def node(name, pool, gpus=0, taints=()):
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"cloud.google.com/gke-nodepool": pool}},
        "spec": {"taints": list(taints)},
        "status": {
            "allocatable": {"cpu": "8", "memory": "32Gi", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
        },
    }


def secret(name, *keys):
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "kubeflow"},
        "type": "Opaque",
        "data": dict.fromkeys(keys, "eA=="),
    }


def healthy():
    """Every object of a cluster on which everything is right."""
    gpu_taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    image = {"name": "ml-pipeline-api-server", "image": "kfp-api-server:2.17.0"}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "ml-pipeline", "namespace": "kubeflow"},
        "spec": {
            "selector": {"matchLabels": {"app": "ml-pipeline"}},
            "template": {"metadata": {"labels": {"app": "ml-pipeline"}}, "spec": {"containers": [image]}},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "unpromptable-store", "namespace": "kubeflow"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "50Gi"}}},
        "status": {"phase": "Bound"},
    }
    return {
        "/version/": {
            "major": "1",
            "minor": "34",
            "gitVersion": "v1.34.1",
            "gitCommit": "c",
            "gitTreeState": "clean",
            "buildDate": "2026-01-01T00:00:00Z",
            "goVersion": "go1.24",
            "compiler": "gc",
            "platform": "linux/amd64",
        },
        NS: {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": "kubeflow", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        },
        "/apis/apps/v1/namespaces/kubeflow/deployments/ml-pipeline": deployment,
        f"{NS}/serviceaccounts/pipeline-runner": {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "pipeline-runner", "namespace": "kubeflow"},
        },
        "/api/v1/nodes": {
            "apiVersion": "v1",
            "kind": "NodeList",
            "metadata": {},
            "items": [node("a", "default"), node("b", "default"), node("c", "a100", 4, [gpu_taint])],
        },
        f"{NS}/persistentvolumeclaims/unpromptable-store": claim,
        f"{NS}/secrets/unpromptable-mlflow": secret("unpromptable-mlflow", "username", "password"),
        f"{NS}/secrets/unpromptable-object-store": secret(
            "unpromptable-object-store", "access-key", "secret-key"
        ),
        f"{NS}/secrets/unpromptable-hub": secret("unpromptable-hub", "token"),
        "/apis/v2beta1/healthz": {"multi_user": False, "pipeline_store": "database"},
    }


class Cluster:
    """The server; `objects` may be changed while it runs, `requests` lists what came in."""

    def __init__(self):
        self.objects, self.requests, self.denied = healthy(), [], set()
        # of the role that the caller has in the namespace; None allows everything but `denied`
        self.rules = None
        self.pod_status = {"phase": "Succeeded", "containerStatuses": []}
        self.log = '{"check": "store", "ok": true, "text": "can be written", "remedy": ""}\n'
        self.kfp_status = 200
        self.dry, self.refusal = [], ""  # pods that were only tried, and what is said of them
        self.run_pods = []  # of the run that is submitted, one answer after another; the last one stays
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *words):
                pass

            def do_GET(self):
                cluster.answer(self, "GET", None)

            def do_DELETE(self):
                cluster.answer(self, "DELETE", self.body())

            def do_POST(self):
                cluster.answer(self, "POST", self.body())

            def body(self):
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                return json.loads(raw) if raw else None

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request, verb, body):
        path, _, query = request.path.partition("?")
        if "dryRun=All" not in query:
            self.requests.append((verb, path, body))
        code, value = self.respond(verb, path, query, body)
        raw = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        request.send_response(code)
        request.send_header("Content-Type", "text/plain" if isinstance(value, str) else "application/json")
        request.send_header("Content-Length", str(len(raw)))
        request.end_headers()
        request.wfile.write(raw)

    def respond(self, verb, path, query, body):
        if path.startswith("/apis/v2beta1/"):
            return self.kubeflow(verb, path, body)
        if verb == "POST" and path.endswith("selfsubjectaccessreviews"):
            asked = body["spec"]["resourceAttributes"]
            return 201, {
                **body,
                "status": {
                    "allowed": self.allows(
                        asked.get("group", ""), asked["resource"], asked["verb"], asked.get("name")
                    )
                },
            }
        if not self.authorized(verb, path):
            return 403, status(403, "Forbidden", f"{path} is forbidden")
        if verb == "POST" and path.endswith("localsubjectaccessreviews"):
            return 201, {
                **body,
                "status": {"allowed": body["spec"]["resourceAttributes"]["resource"] not in self.denied},
            }
        if verb == "POST" and path == f"{NS}/pods" and "dryRun=All" in query:
            self.dry.append(body)
            return (403, status(403, "Forbidden", self.refusal)) if self.refusal else (201, body)
        if verb == "GET" and path == f"{NS}/pods":
            found = self.run_pods.pop(0) if len(self.run_pods) > 1 else (self.run_pods or [[]])[0]
            return 200, {
                "apiVersion": "v1",
                "kind": "PodList",
                "metadata": {},
                "items": found if "pipeline%2Frunid%3Dr-1" in query else [],
            }
        if verb == "POST" and path == f"{NS}/pods":
            self.objects[f"{NS}/pods/{body['metadata']['name']}"] = body
            return 201, body
        if path.endswith("/log"):
            return 200, self.log
        if path not in self.objects:
            return 404, status(404, "NotFound", f"{path} not found")
        value = self.objects[path]
        if isinstance(value, int):
            return value, status(value, "Forbidden", "forbidden")
        if verb == "DELETE":
            del self.objects[path]
        return 200, {**value, "status": self.pod_status} if "/pods/" in path else value

    def authorized(self, verb, path):
        """Whether the caller's rules allow a request, as RBAC decides it."""
        found = re.fullmatch(
            r"/(?:api|apis/([^/]+))/v1(?:/namespaces/[^/]+)?/([^/]+)(?:/([^/]+)(/[^/]+)?)?", path
        )
        if self.rules is None or not found:
            return True
        group, resource, name, inner = (part or "" for part in found.groups())
        return self.allows(
            group,
            resource + inner,
            {"GET": "get" if name else "list", "POST": "create", "DELETE": "delete"}[verb],
            name,
        )

    def allows(self, group, resource, verb, name):
        if self.rules is None:
            return resource not in self.denied
        return any(
            group in r["apiGroups"]
            and resource in r["resources"]
            and verb in r["verbs"]
            and name in r.get("resourceNames", [name])
            for r in self.rules
        )

    def kubeflow(self, verb, path, body):
        if self.kfp_status != 200:
            return self.kfp_status, {"code": 7, "message": "permission denied", "details": []}
        if path == "/apis/v2beta1/experiments" and verb == "GET":
            return 200, {"experiments": [], "total_size": 0}
        if path == "/apis/v2beta1/experiments":
            return 200, {
                "experiment_id": "e-1",
                "display_name": body["display_name"],
                "created_at": "2026-01-01T00:00:00Z",
                "storage_state": "AVAILABLE",
            }
        if path.startswith("/apis/v2beta1/experiments/"):
            return 200, {
                "experiment_id": "e-1",
                "display_name": "unpromptable",
                "created_at": "2026-01-01T00:00:00Z",
            }
        if path == "/apis/v2beta1/runs/r-1:terminate":
            return 200, {}
        if path == "/apis/v2beta1/runs":
            return 200, {
                "run_id": "r-1",
                "experiment_id": "e-1",
                "display_name": body["display_name"],
                "state": "PENDING",
                "runtime_config": body["runtime_config"],
                "created_at": "2026-01-01T00:00:00Z",
            }
        return (
            (200, self.objects[path])
            if path in self.objects
            else (404, {"code": 5, "message": "not found", "details": []})
        )


def status(code, reason, message):
    return {
        "apiVersion": "v1",
        "kind": "Status",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }


def kubeconfig(path, address):
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": address}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    return path
