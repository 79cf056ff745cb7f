"""The chart, rendered by the real helm: valid objects, the restricted pod standard, least rights, refused
mistakes.
"""

import json
import re
import shutil

import pytest
import yaml
from conftest import NO_HELM
from helm_chart import CHART, HELM, helm, render

CASES = sorted(p.stem for p in (CHART / "ci").glob("*.yaml"))
pytestmark = pytest.mark.skipif(HELM is None, reason=NO_HELM)


@pytest.fixture(scope="module", params=CASES)
def objects(request):
    return render("-f", str(CHART / "ci" / f"{request.param}.yaml"))


def pods(objects):
    for one in objects:
        if one["kind"] == "Pod":
            yield one["spec"]
        elif "template" in one.get("spec", {}):
            yield one["spec"]["template"]["spec"]


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


STEPS_SECRETS = {"unpromptable-mlflow", "unpromptable-object-store", "unpromptable-hub"}


def roles(objects):
    return {o["metadata"]["name"].removeprefix("unpromptable-"): o for o in objects if o["kind"] == "Role"}


def test_no_role_has_a_wildcard_lists_secrets_or_starts_a_pod_unless_it_is_asked_for(objects, request):
    found = roles(objects)
    assert not [o for o in objects if o["kind"].startswith("ClusterRole")]
    asked = request.node.callspec.params["objects"] == "locked-down"
    assert set(found) == {"runner", "operator"} | ({"doctor"} if asked else set())
    for name, rule in ((name, rule) for name, role in found.items() for rule in role["rules"]):
        assert "*" not in json.dumps(rule)
        if "secrets" in rule["resources"]:
            assert rule["verbs"] == ["get"] and rule["resourceNames"]
            names = {"runner": {"mlpipeline-minio-artifact"}, "doctor": STEPS_SECRETS}[name]
            assert set(rule["resourceNames"]) == names, "never the administrator's"
        if rule["resources"] == ["pods"] and name != "doctor":
            assert set(rule["verbs"]) <= {"get", "list"}


def test_a_role_is_bound_to_whom_it_is_for():
    objects = render("-f", str(CHART / "ci" / "locked-down.yaml"))
    bound = {o["roleRef"]["name"]: o["subjects"] for o in objects if o["kind"] == "RoleBinding"}
    person = lambda kind, name: [{"kind": kind, "name": name, "apiGroup": "rbac.authorization.k8s.io"}]
    assert bound["unpromptable-operator"] == person("Group", "research")
    assert bound["unpromptable-doctor"] == person("User", "administrator")


def readers(objects, secret):
    """The pods that get a key of a Secret."""
    kinds = ("Pod", "Deployment", "Job")
    named = ((o["metadata"]["name"], json.dumps(o["spec"])) for o in objects if o["kind"] in kinds)
    said = re.compile(f'"(name|secretName)": "{secret}"')
    return {name.removeprefix("unpromptable-") for name, text in named if said.search(text)}


def test_the_administrators_account_is_for_the_server_and_the_job_that_makes_the_steps_own():
    objects = render()
    assert readers(objects, "unpromptable-mlflow-admin") == {"mlflow", "account"}
    assert readers(objects, "unpromptable-mlflow") == {"account", "probe"}
    assert readers(objects, "unpromptable-hub") == set(), "of the pods that are the chart's"
    job = next(o for o in objects if o["kind"] == "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "post-install,post-upgrade"
    without = render("--set", "mlflow.auth.enabled=false")
    assert "Job" not in {o["kind"] for o in without} and not readers(without, "unpromptable-mlflow-admin")


def test_no_secret_stands_in_plain_values(objects):
    assert not [o for o in objects if o["kind"] == "Secret"]
    words = ("PASSWORD", "SECRET", "USERNAME", "PGUSER", "ACCESS_KEY", "TOKEN")
    for entry in (e for spec in pods(objects) for c in spec["containers"] for e in c.get("env", [])):
        if any(w in entry["name"] for w in words):
            assert "secretKeyRef" in entry["valueFrom"], entry["name"]
    for one in objects:
        assert "password" not in json.dumps(one.get("data", {})).lower().replace("passwordkey", "").replace(
            '\\"password\\"', ""
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


@pytest.fixture
def notes(tmp_path):
    """What is printed after an installation of `release`: `helm template` renders no notes, so they become an
    object of a copy of the chart.
    """
    copy = shutil.copytree(CHART, tmp_path / "chart")
    text = (copy / "templates" / "NOTES.txt").read_text()
    (copy / "templates" / "shown.yaml").write_text(
        f'{{{{ define "shown" }}}}{text}{{{{ end }}}}\nkind: Shown\ntext: {{{{ include "shown" . | quote'
        " }}\n"
    )

    def show(release, *words):
        out = helm(
            "template", release, str(copy), "-n", "kubeflow", "--kube-version", "1.34.0", *words
        ).stdout
        return next(o["text"] for o in yaml.safe_load_all(out) if o and o["kind"] == "Shown")

    return show


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


def probe_pod(*words):
    return next(o for o in render(*words) if o["metadata"]["name"].endswith("-probe"))


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
    assert (
        pod["containers"][0].pop("imagePullPolicy")
        and step.pop("serviceAccountName")
        and step.pop("activeDeadlineSeconds")
    )
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


API = "networkPolicy.steps.apiServer={10.0.0.1/32}"


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize(
    "name, words",
    [
        ("mlflow.externalUri", "mlflow.enabled=false,mlflow.externalUri=https://{}@mlflow.internal"),
        ("objectStore.endpoint", "objectStore.endpoint=https://{}@s3.internal"),
        ("mlflow.artifacts.s3", "mlflow.artifacts.s3=s3://{}@models"),
        (
            "mlflow.database.host",
            "mlflow.database.external=true,mlflow.database.existingSecret=x,mlflow.database.host={}@db",
        ),
    ],
)
def test_an_account_in_an_address_is_refused_without_being_shown(name, words, checked):
    given = ["template", "unpromptable", str(CHART), "--kube-version", "1.34.0"]
    given += ["--set", words.format("me:pass-word"), *([] if checked else ["--skip-schema-validation"])]
    done = helm(*given, check=False)
    assert done.returncode != 0 and "without user:password@" in done.stderr
    assert (f"/{name.replace('.', '/')}" if checked else f"{name}: ") in done.stderr
    assert "pass-word" not in done.stdout + done.stderr


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


def egress(*words):
    """Policy -> its rules, of what the steps may connect to."""
    found = [o for o in render(*words) if o["kind"] == "NetworkPolicy"]
    return {o["metadata"]["name"].removeprefix("unpromptable-"): o["spec"] for o in found}


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


TLS = ("--set", "mlflow.tls.enabled=true,mlflow.tls.existingSecret=certificate")


def test_with_a_certificate_the_server_speaks_https_and_everyone_is_told_so(tmp_path):
    (tmp_path / "ca.crt").write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    objects = render(*TLS, "--set-file", f"mlflow.tls.ca={tmp_path / 'ca.crt'}")
    server = next(o for o in objects if o["kind"] == "Deployment")["spec"]["template"]["spec"]
    main = server["containers"][0]
    assert any(a.startswith("--uvicorn-opts=--ssl-certfile /etc/mlflow-tls/tls.crt") for a in main["args"])
    probes = [main[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
    assert all(probe["scheme"] == "HTTPS" for probe in probes)
    volume = next(v["secret"] for v in server["volumes"] if v["name"] == "tls")
    assert volume["secretName"] == "certificate" and volume["defaultMode"] == 0o440
    told = next(o for o in objects if o["kind"] == "ConfigMap" and o["metadata"]["name"] == "unpromptable")
    assert told["data"]["MLFLOW_TRACKING_URI"].startswith("https://unpromptable-mlflow.")
    assert told["data"]["MLFLOW_TRACKING_CA"] == (tmp_path / "ca.crt").read_text()
    assert readers(objects, "certificate") == {"mlflow"}


def test_cert_managers_certificate_is_of_every_name_of_the_service_and_goes_to_the_server():
    objects = render("-f", str(CHART / "ci" / "locked-down.yaml"))
    made = next(o for o in objects if o["kind"] == "Certificate")["spec"]
    assert made["issuerRef"] == {"name": "internal", "kind": "ClusterIssuer", "group": "cert-manager.io"}
    assert {"unpromptable-mlflow", "unpromptable-mlflow.kubeflow.svc", "mlflow.internal"} <= set(
        made["dnsNames"]
    )
    server = next(o for o in objects if o["kind"] == "Deployment")["spec"]["template"]["spec"]
    assert (
        next(v for v in server["volumes"] if v["name"] == "tls")["secret"]["secretName"]
        == (made["secretName"])
    )
