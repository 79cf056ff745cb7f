"""What the chart is told of the object store reaches the clients that the pods have."""

import os

import pytest
from helm_chart import CHART, HELM, NO_HELM, probe_pod, render

pytestmark = pytest.mark.skipif(HELM is None, reason=NO_HELM)
WORDS = ("--set", "objectStore.region=eu-7,objectStore.endpoint=https://s3.internal")
PIPELINES = ("ablation_sweep", "hotfix")


def of_a_step(pipeline):
    from pipelines.backend import driver

    return driver.pods(CHART.parents[1] / "pipelines" / f"{pipeline}.yaml").values()


PODS = {
    **{name: lambda name=name: of_a_step(name) for name in PIPELINES},
    "probe": lambda: [probe_pod(*WORDS)["spec"]],
    "mlflow": lambda: [o["spec"]["template"]["spec"] for o in render(*WORDS) if o["kind"] == "Deployment"],
}


def told():
    """The ConfigMap that the steps read."""
    maps = [o for o in render(*WORDS) if o["kind"] == "ConfigMap"]
    return next(o for o in maps if o["metadata"]["name"] == "unpromptable")


def environment(pod):
    """Its variables, with those of the ConfigMap filled in and those of Secrets left out."""
    found, config = {}, told()
    for one in pod["containers"][0]["env"]:
        reference = one.get("valueFrom", {}).get("configMapKeyRef", {})
        value = config["data"].get(reference["key"]) if reference else one.get("value")
        assert not reference or reference["name"] == config["metadata"]["name"]
        found |= {} if value is None else {one["name"]: value}
    return found


@pytest.mark.parametrize("which", PODS)
def test_the_client_of_every_pod_takes_region_and_endpoint_from_the_charts_values(which, monkeypatch):
    import botocore.session

    for pod in PODS[which]():
        for name in [n for n in os.environ if n.startswith("AWS_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
        for name, value in environment(pod).items():
            monkeypatch.setenv(name, value)
        session = botocore.session.get_session()
        assert session.get_config_variable("region") == "eu-7"
        session.set_credentials("a", "b")
        assert session.create_client("s3").meta.endpoint_url == "https://s3.internal"


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_kubeflows_launcher_beside_a_step_is_told_the_region_too(pipeline):
    """Its client, of Go, reads another variable than that of Python."""
    assert told()["data"]["AWS_REGION"] == "eu-7"
    for pod in of_a_step(pipeline):
        assert "AWS_REGION" in {one["name"] for one in pod["containers"][0]["env"]}
