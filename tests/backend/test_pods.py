"""Every step's pod, as compiled: admitted by `restricted`, of the volume's user and group, with deadlines
that end.
"""

import re
from pathlib import Path

import pytest

from pipelines.backend import driver
from pipelines.pods import USER

PACKAGE = Path(__file__).parents[2] / "pipelines" / "ablation_sweep.yaml"
STEPS = driver.pods(PACKAGE)
WHOLE = {name: driver.beside(pod) for name, pod in STEPS.items()}
ALLOWED_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}
VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def containers(pod):
    return [*pod.get("initContainers", []), *pod["containers"], *pod.get("ephemeralContainers", [])]


def contexts(pod):
    """The pod's own security context and each container's."""
    return [pod.get("securityContext", {}), *(c.get("securityContext", {}) for c in containers(pod))]


def each(pod, field):
    """A field as each container has it: its own, else the pod's."""
    return [
        c.get("securityContext", {}).get(field, pod.get("securityContext", {}).get(field))
        for c in containers(pod)
    ]


def probes(pod):
    return [
        c[p] for c in containers(pod) for p in ("livenessProbe", "readinessProbe", "startupProbe") if p in c
    ] + [h for c in containers(pod) for h in c.get("lifecycle", {}).values()]


# the controls of Kubernetes' page "Pod Security Standards", baseline and restricted: whether a pod keeps one
RESTRICTED = {
    "HostProcess": lambda pod: not any(c.get("windowsOptions", {}).get("hostProcess") for c in contexts(pod)),
    "Host Namespaces": lambda pod: not any(pod.get(k) for k in ("hostNetwork", "hostPID", "hostIPC")),
    "Privileged Containers": lambda pod: not any(each(pod, "privileged")),
    "Capabilities": lambda pod: all(
        c and c.get("drop") == ["ALL"] and set(c.get("add", [])) <= {"NET_BIND_SERVICE"}
        for c in each(pod, "capabilities")
    ),
    "HostPath Volumes": lambda pod: not any("hostPath" in v for v in pod["volumes"]),
    "Host Ports": lambda pod: not any(p.get("hostPort") for c in containers(pod) for p in c.get("ports", [])),
    "Host Probes / Lifecycle Hooks": lambda pod: (
        not any(p.get(kind, {}).get("host") for p in probes(pod) for kind in ("httpGet", "tcpSocket"))
    ),
    "AppArmor": lambda pod: all(
        c.get("appArmorProfile", {}).get("type", "RuntimeDefault") in ("RuntimeDefault", "Localhost")
        for c in contexts(pod)
    ),
    "SELinux": lambda pod: all(
        o.get("type", "") in ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
        and not o.get("user")
        and not o.get("role")
        for c in contexts(pod)
        for o in [c.get("seLinuxOptions", {})]
    ),
    "/proc Mount Type": lambda pod: all(p in (None, "Default") for p in each(pod, "procMount")),
    "Sysctls": lambda pod: (
        {s["name"] for s in pod.get("securityContext", {}).get("sysctls", [])} <= ALLOWED_SYSCTLS
    ),
    "Volume Types": lambda pod: all(len(set(v) & VOLUMES) == 1 for v in pod["volumes"]),
    "Privilege Escalation": lambda pod: all(e is False for e in each(pod, "allowPrivilegeEscalation")),
    "Running as Non-root": lambda pod: all(n is True for n in each(pod, "runAsNonRoot")),
    "Running as Non-root user": lambda pod: all(c.get("runAsUser") != 0 for c in contexts(pod)),
    "Seccomp": lambda pod: all(
        s and s.get("type") in ("RuntimeDefault", "Localhost") for s in each(pod, "seccompProfile")
    ),
}

BROKEN = {  # the same names -> what breaks the rule in an otherwise admitted pod: (where, field, value)
    "HostProcess": ("container", "windowsOptions", {"hostProcess": True}),
    "Host Namespaces": ("spec", "hostPID", True),
    "Privileged Containers": ("container", "privileged", True),
    "Capabilities": ("container", "capabilities", {"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
    "HostPath Volumes": ("spec", "volumes", [{"name": "x", "hostPath": {"path": "/"}}]),
    "Host Ports": ("main", "ports", [{"hostPort": 80}]),
    "Host Probes / Lifecycle Hooks": ("main", "livenessProbe", {"httpGet": {"host": "10.0.0.1"}}),
    "AppArmor": ("pod", "appArmorProfile", {"type": "Unconfined"}),
    "SELinux": ("container", "seLinuxOptions", {"role": "sysadm_r"}),
    "/proc Mount Type": ("container", "procMount", "Unmasked"),
    "Sysctls": ("pod", "sysctls", [{"name": "kernel.msgmax", "value": "1"}]),
    "Volume Types": ("spec", "volumes", [{"name": "x", "nfs": {"server": "s", "path": "/"}}]),
    "Privilege Escalation": ("container", "allowPrivilegeEscalation", None),
    "Running as Non-root": ("container", "runAsNonRoot", None),
    "Running as Non-root user": ("container", "runAsUser", 0),
    "Seccomp": ("container", "seccompProfile", {"type": "Unconfined"}),
}


@pytest.mark.parametrize("rule", RESTRICTED)
@pytest.mark.parametrize("step", WHOLE)
def test_the_restricted_standard_admits_every_step(step, rule):
    assert RESTRICTED[rule](WHOLE[step])


@pytest.mark.parametrize("rule", RESTRICTED)
def test_each_rule_of_the_standard_refuses_a_pod_that_breaks_it(rule):
    where, field, value = BROKEN[rule]
    pod = {
        **WHOLE["plan"],
        "containers": [
            {**c, "securityContext": dict(c["securityContext"])} for c in WHOLE["plan"]["containers"]
        ],
        "securityContext": dict(WHOLE["plan"]["securityContext"]),
    }
    assert RESTRICTED[rule](pod)
    target = {
        "spec": pod,
        "pod": pod["securityContext"],
        "main": pod["containers"][-1],
        "container": pod["containers"][-1]["securityContext"],
    }[where]
    target[field] = value
    assert not RESTRICTED[rule](pod)


@pytest.mark.parametrize("step", STEPS)
def test_every_step_runs_as_the_user_and_the_group_that_own_the_volume(step):
    main = STEPS[step]["containers"][0]
    assert {k: main["securityContext"][k] for k in ("runAsUser", "runAsGroup", "runAsNonRoot")} == {
        "runAsUser": USER,
        "runAsGroup": USER,
        "runAsNonRoot": True,
    }


STORE = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
TRACKING = {"UNPROMPTABLE_TRACKING_USERNAME", "UNPROMPTABLE_TRACKING_PASSWORD"}
READS = {  # step -> what of the Secrets stands in its environment
    "plan": STORE | TRACKING,
    "prepare": STORE | {"HF_TOKEN"},
    "unlearn": STORE | TRACKING,
    "sample": STORE,
    "score": STORE,
    "report": STORE | TRACKING,
}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_reads_the_secrets_that_its_work_needs_and_no_other(step):
    found = {e["name"] for e in STEPS[step]["containers"][0]["env"] if "secretKeyRef" in e["valueFrom"]}
    assert found == READS[step.rstrip("-0123456789")]


def importers(*modules):
    """The rooms and files of the package whose code imports one of the modules."""
    root = PACKAGE.parent.parent / "components" / "unpromptable"
    words = re.compile(rf"^ *(?:from|import) .*\b(?:{'|'.join(modules)})\b", re.M)
    return {str(p.relative_to(root)) for p in root.rglob("*.py") if words.search(p.read_text("utf-8"))}


def test_only_the_steps_that_are_given_an_account_of_the_tracking_server_use_one():
    steps = {f"execution/{name}_step.py" for name, reads in READS.items() if reads >= TRACKING}
    no_steps = {"execution/probe.py", "execution/purging/purge.py"}  # the doctor's probe; a command
    used = {path for path in importers("tracking") if path.startswith("execution/")}
    assert used - no_steps == steps


def test_a_model_that_may_need_a_token_is_fetched_by_prepare_alone():
    """What other steps fetch is published for all: CLIP of a fixed commit, the files of `published`."""
    root = PACKAGE.parent.parent / "components" / "unpromptable"
    callers = {p.stem for p in (root / "execution").glob("*.py") if "family.fetch(" in p.read_text("utf-8")}
    assert callers == {"prepare_step"}
    assert {p for p in importers("hub") if not p.startswith("models/")} == {"editing/tedigan/clip.py"}


@pytest.mark.parametrize("step", STEPS)
def test_every_steps_pod_is_valid_by_kubernetes_own_schema(step):
    import kubernetes_validate

    kubernetes_validate.validate(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": WHOLE[step]},
        "1.34",
        strict=True,
    )


@pytest.mark.parametrize("file", ["cpu", "gpu"])
def test_the_images_have_a_passwd_entry_so_that_the_group_is_right_without_a_security_context(file):
    text = (PACKAGE.parent.parent / "images" / file / "Dockerfile").read_text()
    final = [stage for stage in text.split("\nFROM ") if f"USER {USER}:{USER}" in stage]
    assert len(final) == (2 if file == "cpu" else 1)
    for stage in final:
        entry = stage.index(f"steps:x:{USER}:{USER}::/tmp:")
        assert entry < stage.index(f"USER {USER}:{USER}"), "the entry is written as root, before USER"
