"""Every way a cluster is wrong is named with its remedy, and nothing is submitted."""

import json

import cluster_server
import pytest
from cluster_commands import NS, QUOTA, cluster, doctor  # noqa: F401  (cluster is a fixture)


def change(path, value=None):
    def apply(cluster):
        if value is None:
            del cluster.objects[path]
        else:
            cluster.objects[path] = value

    return apply


def pod(**parts):
    return lambda cluster: [setattr(cluster, k, v) for k, v in parts.items()]


WAITING = {
    "phase": "Pending",
    "containerStatuses": [
        {
            "name": "probe",
            "image": "x",
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": {"waiting": {"reason": "ErrImagePull", "message": "manifest unknown"}},
        }
    ],
}

REFUSED = {
    "check": "MLflow",
    "ok": False,
    "text": "answers 403: Invalid Host header",
    "remedy": "add the Service's name to its --allowed-hosts",
}

SILENT = {
    "check": "MLflow",
    "ok": False,
    "text": "http://mlflow:5000 does not answer: timed out",
    "remedy": "check that the server runs",
}

OLD = cluster_server.healthy()["/apis/apps/v1/namespaces/kubeflow/deployments/ml-pipeline"]

OLD["spec"]["template"]["spec"]["containers"][0]["image"] = "kfp-api-server:2.3.0"

CLAIM = f"{NS}/persistentvolumeclaims/unpromptable-store"

LOST = {**cluster_server.healthy()[CLAIM], "status": {"phase": "Lost"}}


def waiting(cluster):
    cluster.objects[CLAIM]["status"]["phase"] = "Pending"
    cluster.pod_status = {
        "phase": "Pending",
        "conditions": [
            {
                "type": "PodScheduled",
                "status": "False",
                "message": "pod has unbound immediate PersistentVolumeClaims",
            }
        ],
    }


UNSAFE = (
    'pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true (pod or container'
    ' "main" must set securityContext.runAsNonRoot=true)'
)


def together(cluster):
    big, small = cluster.objects["/api/v1/nodes"]["items"][:2]
    big["status"]["allocatable"], small["status"]["allocatable"] = (
        {"cpu": "32", "memory": "16Gi"},
        {
            "cpu": "4",
            "memory": "64Gi",
        },
    )


def unready(cluster):
    for node in cluster.objects["/api/v1/nodes"]["items"]:
        node["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]


def refused(cluster):
    """No Secret of the store, and pods without rights of their own."""
    del cluster.objects[f"{NS}/secrets/unpromptable-object-store"]
    said = {"check": "store", "ok": False, "text": "s3://b/demo: NoCredentialsError: x", "remedy": "keys"}
    cluster.log = json.dumps(said) + "\n"


def one_user(cluster):
    """A namespace with all that a run needs, in which the pods will not be."""
    for path, one in list(cluster.objects.items()):
        if path.startswith(NS):
            cluster.objects[path.replace(NS, "/api/v1/namespaces/team")] = one


WRONG = {
    "namespace": (change(NS), (), "no such namespace", "--namespace"),
    "login": (change("/version/", 401), (), "answers 401", "log in again"),
    "version": (
        change("/apis/apps/v1/namespaces/kubeflow/deployments/ml-pipeline", OLD),
        (),
        "version 2.3.0",
        "compiled for 2.17",
    ),
    "kubeflow": (pod(kfp_status=403), (), "answers 403", "--token"),
    "account": (
        change(f"{NS}/serviceaccounts/pipeline-runner"),
        (),
        "pipeline-runner: not in kubeflow",
        "install the chart",
    ),
    "rights": (
        pod(denied={"persistentvolumeclaims"}),
        (),
        "you may get persistentvolumeclaims",
        "unpromptable-operator",
    ),
    "executor": (pod(denied={"workflowtaskresults"}), (), "pipeline-runner may not", "binds the role"),
    "gpu": (pod(), ("--gpus", "1"), "default: 2 nodes, 0 nvidia.com/gpu", "scale up larger nodes"),
    "too many gpus": (
        pod(),
        ("--gpus", "8", "--toleration", "nvidia.com/gpu", "--set", "sampling.shards=1"),
        "no node here has 8 nvidia.com/gpu, where the largest node has 4 nvidia.com/gpu (a100: 1 nodes, 4",
        "--gpus",
    ),
    "cpu": (
        pod(),
        ("--cpu", "64"),
        "no node here has 64 CPUs, where the largest node has 8 CPUs",
        "ask for less: --cpu, --memory",
    ),
    "memory": (
        pod(),
        ("--memory", "48Gi"),
        "no node here has 48Gi memory, where the largest node has 32Gi memory",
        "--memory",
    ),
    "not together": (
        together,
        ("--cpu", "16", "--memory", "24Gi"),
        "no node here has all of 16 CPUs, 24Gi memory together",
        "larger nodes",
    ),
    "selector": (
        pod(),
        ("--node-selector", "cloud.google.com/gke-nodepool=h100"),
        (
            "no node has cloud.google.com/gke-nodepool=h100; there are cloud.google.com/gke-nodepool=a100,"
            " cloud.google.com/gke-nodepool=default"
        ),
        "change --node-selector",
    ),
    "unknown label": (
        pod(),
        ("--node-selector", "pool=x"),
        "no node has pool=x; there are 3 nodes without that label",
        "change --node-selector",
    ),
    "taint": (
        pod(),
        ("--node-selector", "cloud.google.com/gke-nodepool=a100"),
        "all 1 nodes that they may use are tainted (nvidia.com/gpu=present:NoSchedule)",
        "pass --toleration nvidia.com/gpu",
    ),
    "not ready": (unready, (), "no node is ready", "scale that pool up"),
    "pod security": (pod(refusal=UNSAFE), (), 'violates PodSecurity "restricted:latest"', "compile again"),
    "quota too small": (
        pod(refusal=QUOTA.format("2")),
        ("--gpus", "4", "--toleration", "nvidia.com/gpu"),
        "exceeded quota: unpromptable-gpus",
        "a larger quota",
    ),
    "policy": (
        pod(refusal="admission webhook denied the request: image registry is not allowed"),
        (),
        "image registry is not allowed",
        "a policy of the cluster",
    ),
    "one user": (
        one_user,
        ("--namespace", "team"),
        "kubeflow, not team: this Kubeflow Pipelines has one user",
        "leave --namespace at kubeflow",
    ),
    "volume": (change(f"{NS}/persistentvolumeclaims/unpromptable-store"), (), "no such claim", "--no-volume"),
    "secret": (
        change(f"{NS}/secrets/unpromptable-mlflow"),
        (),
        "secret unpromptable-mlflow",
        "kubectl create secret generic unpromptable-mlflow",
    ),
    "key": (
        change(f"{NS}/secrets/unpromptable-mlflow", cluster_server.secret("unpromptable-mlflow", "username")),
        (),
        "lacks password",
        "its keys are",
    ),
    "object store": (
        refused,
        ("--store", "s3://b/{name}"),
        "s3://b/demo: NoCredentialsError",
        "create secret generic unpromptable-object-store -n kubeflow --from-literal=access-key",
    ),
    "image": (pod(pod_status=WAITING), (), "ErrImagePull: manifest unknown", "imagePullSecret"),
    "mlflow": (pod(log=json.dumps(REFUSED) + "\n"), (), "Invalid Host header", "--allowed-hosts"),
    "mlflow silent": (
        pod(log=json.dumps(SILENT) + "\n"),
        (),
        "does not answer: timed out",
        "check that the server runs",
    ),
    "hub": (
        change(f"{NS}/secrets/unpromptable-hub"),
        ("--set", "model.source=stabilityai/x"),
        "secret unpromptable-hub",
        "--from-literal=token",
    ),
    "lost volume": (
        change(f"{NS}/persistentvolumeclaims/unpromptable-store", LOST),
        (),
        "unpromptable-store is Lost",
        "make the claim anew",
    ),
    "waiting volume": (
        waiting,
        ("--pod-minutes", "0.02"),
        "unpromptable-store is Pending; the cluster may have no disks of that kind",
        "kubectl describe pod",
    ),
    "other image": (
        pod(log="Traceback: No module named unpromptable", pod_status={"phase": "Failed"}),
        (),
        "No module named unpromptable",
        "built from images/",
    ),
    "slow image": (
        pod(
            pod_status={
                "phase": "Pending",
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
                ],
            }
        ),
        ("--pod-minutes", "0.02"),
        "0/3 nodes are available",
        "kubectl describe pod",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named_with_its_remedy_and_nothing_is_submitted(cluster, capsys, name):
    break_it, words, found, remedy = WRONG[name]
    break_it(cluster)
    code, text = doctor(cluster, capsys, *words, verb="submit")
    flat = " ".join(text.split())
    assert code == 1 and found in flat and remedy in flat and "nothing was submitted" in flat
    assert not [p for v, p, _ in cluster.requests if v == "POST" and p.endswith("/runs")]
