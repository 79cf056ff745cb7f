"""doctor and submit against a server that speaks Kubernetes' and Kubeflow Pipelines' API; every way a cluster
is wrong.
"""

import json
import socket

import cluster_server
import pytest
from conftest import NO_HELM
from helm_chart import HELM, render

from pipelines.__main__ import main
from pipelines.backend import driver, follow
from pipelines.cli.options import COMPILED

NS = cluster_server.NS


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    server = cluster_server.Cluster()
    monkeypatch.setenv("KUBECONFIG", str(cluster_server.kubeconfig(tmp_path / "config", server.address)))
    yield server
    server.server.shutdown()


def doctor(cluster, capsys, *words, verb="doctor"):
    code = main([verb, "demo", "--endpoint", cluster.address, *words])
    out = capsys.readouterr()
    return code, out.out + out.err


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
QUOTA = (
    'pods "x" is forbidden: exceeded quota: unpromptable-gpus, requested: requests.nvidia.com/gpu=4, used:'
    " requests.nvidia.com/gpu=2, limited: requests.nvidia.com/gpu={}"
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
    "rights": (pod(denied={"secrets"}), (), "you may get secrets", "unpromptable-operator"),
    "executor": (pod(denied={"workflowtaskresults"}), (), "pipeline-runner may not", "binds the role"),
    "gpu": (pod(), ("--gpus", "1"), "default: 2 nodes, 0 nvidia.com/gpu", "scale up larger nodes"),
    "too many gpus": (
        pod(),
        ("--gpus", "8", "--toleration", "nvidia.com/gpu"),
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
        change(f"{NS}/secrets/unpromptable-object-store"),
        ("--store", "s3://b/{name}"),
        "secret unpromptable-object-store",
        "access-key",
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


@pytest.mark.skipif(HELM is None, reason=NO_HELM)
@pytest.mark.parametrize("words", [(), ("--set", "mlflow.auth.existingSecret=tracking")])
def test_the_charts_role_for_people_who_submit_is_enough_and_is_needed(cluster, capsys, words):
    roles = {o["metadata"]["name"]: o["rules"] for o in render(*words) if o["kind"] == "Role"}
    cluster.rules = roles["unpromptable-operator"]
    cluster.objects[f"{NS}/secrets/tracking"] = cluster.objects[f"{NS}/secrets/unpromptable-mlflow"]
    code, text = doctor(cluster, capsys, "--tracking-secret", "tracking" if words else "unpromptable-mlflow")
    assert code == 0, text
    seen = {
        (v, p)
        for v, p, _ in cluster.requests
        if "/pods" in p or "/secrets" in p or "/persistentvolumeclaims" in p
    }
    assert all(cluster.authorized(v, p) for v, p in seen), "the chart's role forbids what the doctor does"
    cluster.rules = []
    code, text = doctor(cluster, capsys)
    assert code == 1 and "ask for the chart's role `unpromptable-operator`" in text


def test_a_registry_goes_before_both_images(cluster, capsys):
    code, _ = doctor(
        cluster,
        capsys,
        "--registry",
        "images.example.org/team/",
        "--image",
        "unpromptable/gpu:0.1.0",
        verb="submit",
    )
    sent = next(b for v, p, b in cluster.requests if v == "POST" and p.endswith("/runs"))["runtime_config"][
        "parameters"
    ]
    tried = [
        b["spec"]["containers"][0]["image"]
        for v, p, b in cluster.requests
        if v == "POST" and p.endswith("/pods")
    ]
    assert code == 0 and (sent["image"], sent["light_image"]) == (
        "images.example.org/team/unpromptable/gpu:0.1.0",
        "images.example.org/team/unpromptable/cpu:0.1.0",
    )
    assert sorted(tried) == sorted([sent["image"], sent["light_image"]])


def test_gpus_behind_a_taint_count_only_when_it_is_tolerated(cluster, capsys):
    assert doctor(cluster, capsys, "--gpus", "4", "--toleration", "nvidia.com/gpu=present:NoSchedule")[0] == 0
    assert doctor(cluster, capsys, "--gpus", "4", "--toleration", "nvidia.com/gpu=absent:NoSchedule")[0] == 1


def test_no_cluster_at_all_is_said_at_once(tmp_path, monkeypatch, capsys):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("KUBECONFIG", str(cluster_server.kubeconfig(tmp_path / "config", address)))
    assert main(["doctor", "demo"]) == 1 and "does not answer" in capsys.readouterr().out
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert main(["doctor", "demo"]) == 2 and "error: no cluster: " in capsys.readouterr().err


def test_submit_sends_the_compiled_pipeline_with_its_arguments(cluster, capsys):
    code, text = doctor(
        cluster,
        capsys,
        "--gpus",
        "1",
        "--toleration",
        "nvidia.com/gpu",
        "--node-selector",
        "cloud.google.com/gke-nodepool=a100",
        "--set",
        "training.steps=10",
        "--name",
        "mine",
        verb="submit",
    )
    assert code == 0 and "run r-1" in text
    body = next(b for v, p, b in cluster.requests if v == "POST" and p.endswith("/runs"))
    sent = body["runtime_config"]["parameters"]
    assert (
        body["display_name"] == "mine"
        and body["experiment_id"] == "e-1"
        and body["service_account"] == "pipeline-runner"
    )
    assert (
        sent["gpus"] == "1"
        and sent["node_selector"] == {"cloud.google.com/gke-nodepool": "a100"}
        and json.loads(sent["overrides"]) == {"training.steps": 10}
        and "name: demo" in sent["experiment"]
    )
    root = body["pipeline_spec"].get("pipeline_spec", body["pipeline_spec"])["root"]["inputDefinitions"][
        "parameters"
    ]
    assert set(sent) <= set(root), (
        "an argument that the pipeline does not take would be refused only by the server"
    )


def posted(cluster):
    return [b for v, p, b in cluster.requests if v == "POST" and p.endswith("/runs")]


@pytest.mark.parametrize("cells, runs", [(30, 1), (42, 2), (100, 4)])
def test_a_sweep_of_any_number_of_cells_is_submitted_as_runs_that_the_engine_holds(
    cluster, capsys, tmp_path, cells, runs
):
    path = tmp_path / "many.yaml"
    path.write_text(
        "name: many\nforget: ['0012-3']\nbase: {editor: flip}\ncells:\n"
        + "".join(f"- {{name: C{i}, training: {{seed: {i}}}}}\n" for i in range(cells))
    )
    assert main(["submit", str(path), "--endpoint", cluster.address, "--no-doctor", "--no-wait"]) == 0
    text, sent = capsys.readouterr().out, [b["runtime_config"]["parameters"] for b in posted(cluster)]
    assert (
        len(sent) == runs
        and (f"{runs} runs of one sweep" in text) == (runs > 1)
        and text.count("run r-1\n") == runs
    )
    words = [s["part"].rpartition("/")[0] for s in sent]
    assert (
        words == ([""] if runs == 1 else [f"{i + 1}/{runs}" for i in range(runs)])
        and len({s["part"].rpartition("/")[2] for s in sent}) == 1
    )
    assert runs == 1 or [b["display_name"] for b in posted(cluster)] == [f"many {w}" for w in words]


def test_what_the_engine_cannot_hold_is_not_submitted(cluster, capsys, tmp_path):
    import random

    path = tmp_path / "long.yaml"
    words = random.Random(0)
    text = "\n".join(
        "".join(words.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=60)) for _ in range(1500)
    )
    path.write_text(
        json.dumps({"name": "long", "description": text, "forget": ["0012-3"], "cells": [{"editor": "flip"}]})
    )
    assert main(["submit", str(path), "--endpoint", cluster.address, "--no-doctor"]) == 2
    assert "699051 and 87381 are allowed" in capsys.readouterr().err and cluster.requests == []


def test_an_experiment_that_is_wrong_never_reaches_the_cluster(cluster, capsys):
    assert main(["submit", "demo", "--endpoint", cluster.address, "--set", "training.steps=0"]) == 2
    assert "training.steps is 0" in capsys.readouterr().err and cluster.requests == []


def test_a_refused_submission_is_told_in_the_servers_words(cluster, capsys):
    cluster.kfp_status = 403
    assert main(["submit", "demo", "--endpoint", cluster.address, "--no-doctor"]) == 2
    assert "nothing was submitted" in capsys.readouterr().err


def sent(cluster):
    return [
        b["runtime_config"]["parameters"]
        for v, p, b in cluster.requests
        if v == "POST" and p.endswith("/runs")
    ]


ARGUMENTS = (
    "gpus=4",
    "memory=16Gi",
    "tolerations=[{key: nvidia.com/gpu, operator: Exists}]",
    'node_selector={"cloud.google.com/gke-nodepool": "a100"}',
    'overrides={"training.steps": 10}',
)


@pytest.mark.parametrize("pipeline", ["ablation_sweep.py", "ablation_sweep.yaml"])
def test_a_pipeline_is_submitted_with_its_arguments_as_words_without_inner_quotes(cluster, capsys, pipeline):
    code, text = doctor_of(
        cluster,
        capsys,
        f"{COMPILED.parent}/{pipeline}",
        "experiment=demo",
        *ARGUMENTS,
        "--name",
        "mine",
        "cpu=3",
    )
    assert code == 0, text
    given = sent(cluster)[0]
    assert (given["gpus"], given["memory"], given["cpu"]) == ("4", "16Gi", "3") and json.loads(
        given["overrides"]
    ) == {"training.steps": 10}
    assert given["node_selector"] == {"cloud.google.com/gke-nodepool": "a100"} and given["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists"}
    ]


def doctor_of(cluster, capsys, *words):
    code = main(["submit", *words, "--endpoint", cluster.address])
    out = capsys.readouterr()
    return code, out.out + out.err


@pytest.mark.parametrize(
    "words, said",
    [
        (("demo", "gpu=1"), "gpu=1: the pipeline takes no gpu; choose from config, cpu"),
        (("demo", "table2"), "table2: expected key=value, after demo"),
        (("demo", "experiment=table2"), "demo is given already"),
        (("demo", "gpus=many"), "gpus=many: expected a whole number"),
        (("demo", "tolerations={}"), "expected a JSON list, found dict"),
        (("demo", "overrides=["), "not valid JSON"),
        (("demo", "memory=8"), "--memory 8: that is 8 bytes; add its unit, as 8Gi"),
        (("demo", "--memory", "8Gx"), "--memory 8Gx: not a quantity of Kubernetes, such as 8Gi"),
        (("demo", "--cpu", "0"), "--cpu 0: must be above 0"),
        (("demo", "--gpus", "-1"), "neither can be below 0"),
        (("nowhere.py",), "nowhere.py: no such file"),
        (("demo", "--package", "nowhere.yaml"), "nowhere.yaml: no such file"),
    ],
)
def test_a_word_that_is_wrong_is_named_before_the_cluster_is_asked(cluster, capsys, words, said):
    code, text = doctor_of(cluster, capsys, *words)
    assert code == 2 and said in text and len(text.strip().splitlines()) == 1 and cluster.requests == []


def test_a_python_file_that_is_no_pipeline_is_refused_in_one_line(cluster, capsys, tmp_path):
    for text, said in (
        ("import nothing_here", "No module named 'nothing_here'"),
        ("x = 1", "Expected one pipeline"),
        ("1 / 0", "division by zero"),
    ):
        (tmp_path / "mine.py").write_text(text)
        code, out = doctor_of(cluster, capsys, str(tmp_path / "mine.py"))
        assert code == 2 and said in out and len(out.strip().splitlines()) == 1


def test_a_submission_prints_one_link_and_no_warning(cluster, capsys, recwarn):
    code, text = doctor_of(cluster, capsys, "demo", "--no-doctor", "--no-wait")
    assert code == 0 and text.count("http") == 1 and "Run details" not in text and "Warning" not in text
    assert not [w for w in recwarn if issubclass(w.category, FutureWarning)]


def step_pod(image, **status):
    main_container = {"name": "main", "image": image}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "sweep-plan"},
        "spec": {"containers": [main_container]},
        "status": {
            "phase": "Pending",
            "containerStatuses": [
                {
                    "name": "main",
                    "image": image,
                    "imageID": "",
                    "ready": False,
                    "restartCount": 0,
                    "state": status,
                }
            ],
        },
    }


PULL = {"waiting": {"reason": "ErrImagePull", "message": "manifest unknown"}}


def test_a_wrong_image_without_the_doctor_ends_the_run_and_says_why(cluster, capsys, monkeypatch):
    monkeypatch.setattr(follow, "PATIENCE", 0.05), monkeypatch.setattr(follow, "EVERY", 0.02)
    cluster.run_pods = [[], [step_pod("typo", **PULL)]]
    code, text = doctor_of(cluster, capsys, "demo", "--no-doctor", "light_image=typo")
    assert (
        code == 1
        and "the run was ended: pod sweep-plan: ErrImagePull: manifest unknown; check its name and tag"
        in text
    )
    assert [p for v, p, _ in cluster.requests if v == "POST" and p.endswith("r-1:terminate")]


def test_a_pull_that_falters_once_does_not_end_the_run(cluster, capsys, monkeypatch):
    monkeypatch.setattr(follow, "EVERY", 0.02)
    cluster.run_pods = [
        [step_pod("unpromptable/cpu:0.1.0", **PULL)],
        [step_pod("unpromptable/cpu:0.1.0", running={"startedAt": "2026-01-01T00:00:00Z"})],
    ]
    code, text = doctor_of(cluster, capsys, "demo", "--no-doctor")
    assert (
        code == 0
        and "ended" not in text
        and not [p for v, p, _ in cluster.requests if p.endswith(":terminate")]
    )


def test_pods_that_may_not_be_listed_are_not_waited_for(cluster, capsys):
    cluster.rules = []
    code, text = doctor_of(cluster, capsys, "demo", "--no-doctor")
    assert code == 0 and "cannot be listed with these rights (403)" in text


def test_one_users_kubeflow_refuses_another_namespace_even_without_the_doctor_and_several_users_do_not(
    cluster, capsys
):
    code, text = doctor_of(cluster, capsys, "demo", "--no-doctor", "--no-wait", "--namespace", "team")
    assert code == 2 and "the pods would run in kubeflow, not team" in text and not sent(cluster)
    cluster.objects["/apis/v2beta1/healthz"]["multi_user"] = True
    assert doctor_of(cluster, capsys, "demo", "--no-doctor", "--no-wait", "--namespace", "team")[
        0
    ] == 0 and sent(cluster)


def test_a_quota_that_is_only_used_up_for_now_is_said_and_does_not_stand_in_the_way(cluster, capsys):
    cluster.refusal = QUOTA.format("4")
    code, text = doctor(cluster, capsys, "--gpus", "4", "--toleration", "nvidia.com/gpu", "--no-pod")
    assert code == 0 and "exceeded quota: unpromptable-gpus" in text
