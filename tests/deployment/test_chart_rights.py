"""What the chart's roles allow, which pod gets which Secret, and the server's certificate."""

import json
import re
import shlex

import pytest
from helm_chart import CHART, HELM, NO_HELM, helm, notes, objects, pods, render  # noqa: F401  (fixtures

pytestmark = pytest.mark.skipif(HELM is None, reason=NO_HELM)
STEPS_SECRETS = {"unpromptable-mlflow", "unpromptable-object-store", "unpromptable-hub"}
PRIVATE = ("-f", str(CHART / "ci" / "air-gapped.yaml"))
TLS = ("--set", "mlflow.tls.enabled=true,mlflow.tls.existingSecret=certificate")


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


@pytest.mark.parametrize("words", [(), PRIVATE, (*PRIVATE, "--set", "runner.create=true,runner.name=mine")])
def test_the_pods_of_helm_test_pull_as_the_steps_do_with_the_runners_secrets_and_none_of_their_own(words):
    objects = render(*words)
    account = "mine" if "runner.create=true" in str(words) else "pipeline-runner"
    tests = [o["spec"] for o in objects if o["kind"] == "Pod"]
    assert len(tests) == 2 and {pod["serviceAccountName"] for pod in tests} == {account}
    assert not any("imagePullSecrets" in pod for pod in tests)
    made = {o["metadata"]["name"]: o for o in objects if o["kind"] == "ServiceAccount"}
    assert account == "pipeline-runner" or made[account]["imagePullSecrets"] == [{"name": "registry-login"}]


def test_the_notes_have_the_line_that_lets_an_account_of_others_pull(notes):
    assert "patch serviceaccount" not in notes("unpromptable")
    assert "patch serviceaccount" not in notes("unpromptable", *PRIVATE, "--set", "runner.create=true")
    shown = notes("unpromptable", *PRIVATE, "--set", "images.pullSecrets={a,b}")
    (line,) = [one for one in shown.splitlines() if "patch serviceaccount" in one]
    *words, patch = shlex.split(line)
    assert words == "kubectl patch serviceaccount pipeline-runner -n kubeflow -p".split()
    assert json.loads(patch) == {"imagePullSecrets": [{"name": "a"}, {"name": "b"}]}
    page = (CHART / "README.md").read_text("utf-8")
    assert line.strip().partition(" -p")[0] in page
