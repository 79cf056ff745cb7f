"""The chart, rendered by the real helm: valid objects, the restricted standard, notes, refused mistakes."""

import pytest
import yaml
from helm_chart import API, CASES, CHART, HELM, NO_HELM, helm, notes, objects, pods, probe_pod, render  # noqa: F401

pytestmark = pytest.mark.skipif(HELM is None, reason=NO_HELM)


@pytest.mark.parametrize("case", CASES)
def test_helm_lint_passes(case):
    assert (
        "0 chart(s) failed"
        in helm("lint", "--strict", str(CHART), "-f", str(CHART / "ci" / f"{case}.yaml")).stdout
    )


def test_every_object_is_valid_by_kubernetes_own_schemas(objects):
    import kubernetes_validate

    for one in objects:
        if not one["apiVersion"].startswith("cert-manager.io/"):  # no kind of Kubernetes' own
            kubernetes_validate.validate(one, "1.34", strict=True)


def test_pods_meet_the_restricted_standard(objects):
    found = list(pods(objects))
    assert found
    for spec in found:
        assert all(
            {**spec["securityContext"], **c["securityContext"]}["runAsNonRoot"] is True
            for c in spec["containers"]
        )
        assert spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
        assert (
            spec["automountServiceAccountToken"] is False
            and not spec.get("hostNetwork")
            and not spec.get("hostPID")
        )
        assert all("hostPath" not in v for v in spec["volumes"])
        for container in spec["containers"]:
            secure = container["securityContext"]
            a_step = container["name"] == "main"  # whose root file system Kubeflow Pipelines leaves writable
            assert secure["allowPrivilegeEscalation"] is False and secure["capabilities"] == {"drop": ["ALL"]}
            assert secure.get("readOnlyRootFilesystem", a_step) is True
            assert "limits" in container["resources"] and any(
                m["mountPath"] == "/tmp" for m in container["volumeMounts"]
            )


def container(*words):
    return next(pods(render(*words)))["containers"][0]


def test_the_server_is_reached_by_every_name_of_its_service():
    hosts = (
        next(a for a in container()["args"] if a.startswith("--allowed-hosts=")).partition("=")[2].split(",")
    )
    assert {
        "unpromptable-mlflow",
        "unpromptable-mlflow:5000",
        "unpromptable-mlflow.kubeflow.svc:5000",
        "unpromptable-mlflow.kubeflow.svc.cluster.local",
        "localhost:5000",
    } <= set(hosts)
    config = next(o for o in render() if o["kind"] == "ConfigMap" and o["metadata"]["name"] == "unpromptable")
    assert config["data"]["MLFLOW_TRACKING_URI"] == "http://unpromptable-mlflow.kubeflow.svc:5000"


def test_the_defaults_of_chart_and_pipeline_name_the_same_things():
    pipeline = next(
        iter(yaml.safe_load_all((CHART.parent.parent / "pipelines" / "ablation_sweep.yaml").read_text()))
    )
    default = {
        k: v.get("defaultValue") for k, v in pipeline["root"]["inputDefinitions"]["parameters"].items()
    }
    made = {(o["kind"], o["metadata"]["name"]) for o in render()}
    assert ("PersistentVolumeClaim", default["volume"]) in made and ("ConfigMap", default["config"]) in made
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert (
        values["mlflow"]["auth"]["stepsSecret"] == default["tracking_secret"]
        and values["images"]["cpu"] == default["image"] == default["light_image"]
    )


def test_the_notes_name_what_differs_from_the_pipelines_defaults(notes):
    plain = notes("unpromptable")
    assert (
        "submit demo\n" in plain
        and "run create -e demo -f pipelines/ablation_sweep.yaml\n" in plain
        and "Secret unpromptable-mlflow" in plain
    )
    other = notes("mine", "--set", "images.registry=images.example.org/team,mlflow.auth.stepsSecret=tracking")
    assert (
        "submit demo --registry images.example.org/team --config mine --tracking-secret tracking --volume"
        " mine-store\n" in other
    )
    assert (
        "image=images.example.org/team/unpromptable/cpu:0.1.0"
        " light_image=images.example.org/team/unpromptable/cpu:0.1.0 config=mine tracking_secret=tracking"
        " volume=mine-store\n" in other
    )


def test_the_notes_say_where_the_pods_run_when_the_chart_is_elsewhere(notes):
    assert "--namespace" not in notes("unpromptable") and "A Kubeflow Pipelines with one user" not in notes(
        "unpromptable"
    )
    elsewhere = notes("unpromptable", "-n", "team")
    assert "submit demo --namespace team" in elsewhere and "A Kubeflow Pipelines with one user" in elsewhere


@pytest.mark.parametrize(
    "words", [(), ("--set", "mlflow.auth.stepsSecret=tracking,images.registry=images.example.org/team")]
)
def test_the_pod_of_helm_test_is_a_steps_own_but_for_its_work(words):
    from pipelines.backend import driver

    given = (
        {"tracking_secret": "tracking", "light_image": "images.example.org/team/unpromptable/cpu:0.1.0"}
        if words
        else {}
    )
    step = driver.pods(CHART.parent.parent / "pipelines" / "ablation_sweep.yaml", given)["plan"]
    pod = probe_pod(*words)["spec"]
    by_name = lambda many: sorted(many, key=lambda one: one["name"])
    for one in (step, pod):
        main = one["containers"][0]
        main["volumeMounts"], main["env"], one["volumes"] = (
            by_name(main["volumeMounts"]),
            by_name(main["env"]),
            by_name(one["volumes"]),
        )
        main.pop("command")
    assert pod.pop("automountServiceAccountToken") is False, (
        "the step's own code calls no API; Argo's, beside it, does"
    )
    assert pod["containers"][0].pop("imagePullPolicy") and step.pop("activeDeadlineSeconds")
    assert pod == step


def test_the_volume_is_given_to_the_group_before_the_step_is_tried_and_both_logs_stay_for_helm():
    tests = [o for o in render() if o["metadata"].get("annotations", {}).get("helm.sh/hook") == "test"]
    first, second = sorted(
        tests, key=lambda o: int(o["metadata"]["annotations"].get("helm.sh/hook-weight", 0))
    )
    assert (
        first["spec"]["securityContext"]["fsGroup"] == 65532
        and "fsGroup" not in second["spec"]["securityContext"]
    )
    assert {o["metadata"]["annotations"]["helm.sh/hook-delete-policy"] for o in tests} == {
        "before-hook-creation"
    }


def test_the_notes_commands_are_ones_that_the_command_line_knows(notes):
    from pipelines.__main__ import _parser

    for line in notes("mine", "--set", "images.registry=images.example.org/team").splitlines():
        if "python -m pipelines" in line:
            assert (
                _parser().parse_args(line.split("python -m pipelines")[1].split()).registry
                == "images.example.org/team"
            )


def test_the_steps_are_told_the_server_whether_or_not_the_plugin_injects_it():
    for words in ((), ("--set", "kfpPlugin.enabled=true,kfpPlugin.injectUserEnvVars=true")):
        config = next(
            o for o in render(*words) if o["kind"] == "ConfigMap" and o["metadata"]["name"] == "unpromptable"
        )
        assert config["data"]["MLFLOW_TRACKING_URI"]


@pytest.mark.parametrize(
    "words, said",
    [
        (("--set", "mlflow.replica=2"), "replica"),
        (("--set", "mlflow.workers=two"), "workers"),
        (("--set", "store.size=100GB"), "size"),
        (("--set", "mlflow.replicas=2"), "mlflow.replicas: more than one needs mlflow.database.external"),
        (
            ("--set", "mlflow.auth.existingSecret="),
            "name a Secret with the keys username, password and session-key",
        ),
        (("--set", "mlflow.database.external=true"), "host"),
        (("--set", "mlflow.enabled=false"), "mlflow.externalUri: give the address"),
        (("--set", "mlflow.externalUri=https://x.org"), "mlflow.externalUri: names a server that is there"),
        (("--set", "runner.create=true,runner.name=Bad_Name"), "/runner/name"),
        (("--set", "networkPolicy.steps.apiServer={10.0.0.999/99}"), "/networkPolicy/steps/apiServer/0"),
        (("--set", "mlflow.auth.stepsSecret="), "mlflow.auth.stepsSecret: name a Secret of its own"),
        (
            ("--set", "mlflow.auth.stepsSecret=unpromptable-mlflow-admin"),
            "mlflow.auth.stepsSecret: name a Secret of its own",
        ),
        (("--set", "mlflow.tls.enabled=true"), "mlflow.tls: name either existingSecret"),
        (
            ("--set", "mlflow.tls.enabled=true,mlflow.tls.existingSecret=a,mlflow.tls.issuer.name=b"),
            "mlflow.tls: name either existingSecret",
        ),
        (("--set", "mlflow.tls.ca=-----BEGIN CERTIFICATE-----\nPRIVATE KEY"), "/mlflow/tls/ca"),
        (("--set", "mlflow.tls.ca=ca.crt"), "/mlflow/tls/ca"),
        (("--set", "mlflow.enabled=false,mlflow.externalUri=ftp://x"), "/mlflow/externalUri"),
        (("--set", "objectStore.endpoint=minio.minio:9000"), "/objectStore/endpoint"),
        (("--set", "networkPolicy.steps.enabled=true"), "networkPolicy.steps.apiServer: name the addresses"),
        (
            ("--set", f"networkPolicy.steps.enabled=true,{API},objectStore.endpoint=https://s3.internal"),
            "networkPolicy.steps.peers: name where",
        ),
        (("--set", "networkPolicy.steps.apiServer={10.0.0.1}"), "/networkPolicy/steps/apiServer/0"),
        (("--set", "rights.doctor.subjects[0].kind=Robot"), "/rights/doctor/subjects/0"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name(words, said):
    done = helm("template", "unpromptable", str(CHART), "--kube-version", "1.34.0", *words, check=False)
    assert done.returncode != 0 and said in done.stderr
