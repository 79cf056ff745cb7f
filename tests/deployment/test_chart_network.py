"""The chart's network rules: who may reach MLflow, and where the steps may connect to."""

import pytest
from helm_chart import API, CHART, HELM, NO_HELM, probe_pod, render

pytestmark = pytest.mark.skipif(HELM is None, reason=NO_HELM)


def egress(*words):
    """Policy -> its rules, of what the steps may connect to."""
    found = [o for o in render(*words) if o["kind"] == "NetworkPolicy"]
    return {o["metadata"]["name"].removeprefix("unpromptable-"): o["spec"] for o in found}


def test_the_network_rules_let_in_only_the_pipelines_pods_and_the_named_clients():
    policy = next(
        o
        for o in render(
            "--set-json", 'networkPolicy.clients=[{"namespaceSelector":{"matchLabels":{"name":"ingress"}}}]'
        )
        if o["kind"] == "NetworkPolicy"
    )
    sources = policy["spec"]["ingress"][0]["from"]
    assert (
        len(sources) == 3
        and all(s for s in sources)
        and policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    )
    assert {p["port"] for rule in policy["spec"]["egress"] for p in rule["ports"]} == {53}


def test_what_the_steps_may_connect_to_is_left_alone_unless_it_is_asked_for():
    assert set(egress()) == {"mlflow"}


def test_the_steps_may_connect_to_names_mlflow_kubeflow_and_what_is_named_and_nowhere_else():
    found = egress("--set", f"networkPolicy.steps.enabled=true,{API}")
    assert found["steps"]["podSelector"] == {
        "matchExpressions": [{"key": "pipeline/runid", "operator": "Exists"}]
    }
    assert found["steps"]["policyTypes"] == ["Egress"]
    assert found["steps"]["egress"] == found["trial"]["egress"]
    names, *rules = found["steps"]["egress"]
    assert {p["port"] for p in names["ports"]} == {53} and all(rule["to"] for rule in rules)
    blocks = [peer["ipBlock"] for rule in rules for peer in rule["to"] if "ipBlock" in peer]
    assert blocks == [{"cidr": "10.0.0.1/32"}], "no address but that of Kubernetes' API"
    ports = [{p["port"] for p in rule["ports"]} for rule in rules]
    assert ports == [{443, 6443}, {8887, 8888}, {8080}, {8333, 9000}, {5000}]
    kubeflow = {"matchLabels": {"kubernetes.io/metadata.name": "kubeflow"}}
    assert all(peer["namespaceSelector"] == kubeflow for rule in rules[1:4] for peer in rule["to"])


def test_the_internet_and_other_peers_are_opened_by_values_and_no_private_address_with_them():
    import ipaddress

    rules = egress("-f", str(CHART / "ci" / "locked-down.yaml"))["steps"]["egress"]
    assert rules[-2] == {"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}]}
    assert rules[-1]["ports"] == [{"port": 443}]
    four = rules[-1]["to"][0]["ipBlock"]
    closed = [ipaddress.ip_network(c) for c in four["except"]]
    for private in ("10.96.0.10", "172.20.1.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"):
        assert any(ipaddress.ip_address(private) in network for network in closed), private


def test_the_pods_on_trial_are_those_that_the_second_policy_chooses():
    from pipelines.backend import driver, trial_pod
    from pipelines.backend.request import Request

    chosen = egress("--set", f"networkPolicy.steps.enabled=true,{API}")["trial"]["podSelector"]["matchLabels"]
    step = driver.pods(CHART.parent.parent / "pipelines" / "ablation_sweep.yaml")["plan"]
    for labels in (
        probe_pod()["metadata"]["labels"],
        trial_pod.manifest(Request(pods={}), step)["metadata"]["labels"],
    ):
        assert chosen.items() <= labels.items()


DATABASE = "mlflow.database.external=true,mlflow.database.host=db,mlflow.database.existingSecret=x"
BUCKET = "mlflow.artifacts.s3=s3://models/mlflow"


@pytest.mark.parametrize(
    "words, ports",
    [
        (BUCKET, [443]),
        (f"{BUCKET},objectStore.endpoint=https://s3.internal", [443]),
        (f"{BUCKET},objectStore.endpoint=http://minio.minio:9000", [9000]),
        (f"{BUCKET},objectStore.endpoint=http://minio.minio", [80]),
        (f"{BUCKET},objectStore.endpoint=https://[fd00::7]:8443/path/", [8443]),
        (
            f"{BUCKET},objectStore.endpoint=http://s3.internal,networkPolicy.objectStorePorts={{9000,9001}}",
            [9000, 9001],
        ),
        (DATABASE, [5432]),
        (f"{DATABASE},mlflow.database.port=6432", [6432]),
        (f"{DATABASE},mlflow.database.port=80,networkPolicy.databasePort=5432", [5432]),
    ],
)
def test_the_server_may_reach_its_database_and_object_store_by_the_ports_that_the_chart_is_given(
    words, ports
):
    names, *rules = egress("--set", words)["mlflow"]["egress"]
    assert {p["port"] for p in names["ports"]} == {53}
    assert [p["port"] for rule in rules for p in rule["ports"]] == ports
