"""The doctor on a cluster that is well: what it looks at, starts, and is allowed."""

import socket

import cluster_server
import pytest
from cluster_commands import NS, QUOTA, cluster, doctor  # noqa: F401  (cluster is a fixture)
from helm_chart import HELM, NO_HELM, render

from pipelines.__main__ import main
from pipelines.backend import driver
from pipelines.cli.options import COMPILED


def test_the_servers_objects_have_kubernetes_own_shapes():
    import kubernetes_validate

    for value in cluster_server.healthy().values():
        for one in value.get("items", [value]) if "kind" in value else []:
            kubernetes_validate.validate(one, "1.34", strict=False)


def test_a_healthy_cluster_passes_and_the_trial_pod_is_removed(cluster, capsys):
    code, text = doctor(cluster, capsys)
    assert code == 0 and "✗" not in text and "version 2.17.0" in text and "can be written" in text
    made = [p for v, p, _ in cluster.requests if v == "POST" and p.endswith("/pods")]
    gone = [p for v, p, _ in cluster.requests if v == "DELETE"]
    assert len(made) == len(gone) == 1 and not [p for p in cluster.objects if "/pods/" in p]


def test_the_trial_pod_is_the_steps_own_but_for_its_command_and_its_deadline(cluster, capsys):
    import kubernetes_validate

    doctor(cluster, capsys, "--memory", "12Gi", "--volume", "unpromptable-store")
    made = next(b for v, p, b in cluster.requests if v == "POST" and p.endswith("/pods"))
    kubernetes_validate.validate(made, "1.34", strict=True)
    step = driver.pods(COMPILED, {"memory": "12Gi"})["unlearn"]
    command, seconds = made["spec"]["containers"][0].pop("command"), made["spec"].pop("activeDeadlineSeconds")
    assert (
        step["containers"][0].pop("command")
        != command
        == ["python", "-m", "unpromptable.execution.probe", "--gpus", "0", "/store/demo"]
        and seconds == 600
    )
    assert step.pop("activeDeadlineSeconds") and made["spec"] == step


def test_every_kind_of_pod_is_tried_by_the_api_server_without_being_made(cluster, capsys):
    code, text = doctor(cluster, capsys, "--no-pod")
    asked = sorted(p["spec"]["containers"][0]["resources"]["requests"]["memory"] for p in cluster.dry)
    assert (
        code == 0
        and asked == ["4Gi", "8Gi"]
        and text.count("admitted; the namespace enforces restricted") == 2
    )
    assert not [p for v, p, _ in cluster.requests if v == "POST" and p.endswith("/pods")]


def roles(*words):
    return {
        o["metadata"]["name"].removeprefix("unpromptable-"): o["rules"]
        for o in render(*words)
        if o["kind"] == "Role"
    }


@pytest.mark.skipif(HELM is None, reason=NO_HELM)
def test_the_charts_role_for_people_who_submit_is_enough_without_a_pod_or_a_secret(cluster, capsys):
    cluster.rules = roles()["operator"]
    code, text = doctor(cluster, capsys)
    assert code == 0 and "✗" not in text, text
    assert "you may create pods" in text and "no pod is tried, so images, store and MLflow" in text
    for name in ("mlflow", "object-store", "hub"):
        found = next(line for line in text.splitlines() if f"secret unpromptable-{name}" in line)
        assert "cannot be read with these rights" in found
    assert not cluster.dry and not [p for v, p, _ in cluster.requests if v == "POST" and p.endswith("/pods")]
    cluster.rules = []
    code, text = doctor(cluster, capsys)
    assert code == 1 and "ask for the chart's role `unpromptable-operator`" in text


@pytest.mark.skipif(HELM is None, reason=NO_HELM)
@pytest.mark.parametrize("words", [(), ("--set", "mlflow.auth.stepsSecret=tracking")])
def test_with_the_charts_role_for_the_doctor_a_pod_is_tried_and_the_secrets_are_looked_at(
    cluster, capsys, words
):
    given = roles("--set", "rights.doctor.trialPod=true", *words)
    cluster.rules = given["operator"] + given["doctor"]
    cluster.objects[f"{NS}/secrets/tracking"] = cluster.objects[f"{NS}/secrets/unpromptable-mlflow"]
    code, text = doctor(cluster, capsys, "--tracking-secret", "tracking" if words else "unpromptable-mlflow")
    assert code == 0 and "can be written" in text and text.count("has its keys") == 3, text
    seen = {
        (v, p)
        for v, p, _ in cluster.requests
        if "/pods" in p or "/secrets" in p or "/persistentvolumeclaims" in p
    }
    assert all(cluster.authorized(v, p) for v, p in seen), "the chart's roles forbid what the doctor does"


def test_gpus_behind_a_taint_count_only_when_it_is_tolerated(cluster, capsys):
    asked = ("--gpus", "4", "--memory", "16Gi", "--toleration")  # a process of some 2Gi for each
    assert doctor(cluster, capsys, *asked, "nvidia.com/gpu=present:NoSchedule")[0] == 0
    assert doctor(cluster, capsys, *asked, "nvidia.com/gpu=absent:NoSchedule")[0] == 1


def test_no_cluster_at_all_is_said_at_once(tmp_path, monkeypatch, capsys):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("KUBECONFIG", str(cluster_server.kubeconfig(tmp_path / "config", address)))
    assert main(["doctor", "demo"]) == 1 and "does not answer" in capsys.readouterr().out
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert main(["doctor", "demo"]) == 2 and "error: no cluster: " in capsys.readouterr().err


def test_a_quota_that_is_only_used_up_for_now_is_said_and_does_not_stand_in_the_way(cluster, capsys):
    cluster.refusal = QUOTA.format("4")
    asked = ("--gpus", "4", "--memory", "16Gi", "--toleration", "nvidia.com/gpu", "--no-pod")
    code, text = doctor(cluster, capsys, *asked)
    assert code == 0 and "exceeded quota: unpromptable-gpus" in text


LOOKS = [  # rights of someone who may look at all and start no pod
    {
        "apiGroups": ["", "apps"],
        "resources": ["persistentvolumeclaims", "serviceaccounts", "secrets", "namespaces", "nodes"],
        "verbs": ["get", "list"],
    },
    {"apiGroups": ["authorization.k8s.io"], "resources": ["localsubjectaccessreviews"], "verbs": ["create"]},
]


@pytest.mark.parametrize(
    "words, rules, told",
    [
        ((), None, "the pod that is tried next tells"),
        (("--no-pod",), None, "no pod is tried, so the run is the first to tell"),
        ((), LOOKS, "no pod is tried, so the run is the first to tell"),
    ],
)
def test_pods_may_open_an_object_store_by_rights_of_their_own_without_a_secret(
    cluster, capsys, words, rules, told
):
    del cluster.objects[f"{NS}/secrets/unpromptable-object-store"]
    cluster.rules = rules
    code, text = doctor(cluster, capsys, "--store", "s3://b/{name}", *words)
    line = next(one for one in text.splitlines() if "secret unpromptable-object-store" in one)
    assert code == 0 and "✗" not in text and told in line, text
    assert "pipeline-runner needs rights of its own" in line and "--from-literal=access-key" in line
