"""submit watches the first pods where no image could be tried before, and ends a run that cannot start."""

from cluster_commands import cluster, doctor, doctor_of  # noqa: F401  (cluster is a fixture)

from pipelines.backend import follow


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


def test_the_first_pods_are_watched_where_no_right_allowed_to_try_one(cluster, capsys, monkeypatch):
    monkeypatch.setattr(follow, "EVERY", 0.02)
    running = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    cluster.run_pods = [[step_pod("unpromptable/cpu:0.1.0", **running)]]
    assert "waiting until the first pods run" not in doctor_of(cluster, capsys, "demo")[1]
    core = {"apiGroups": [""]}
    cluster.rules = [
        {**core, "resources": ["persistentvolumeclaims", "serviceaccounts"], "verbs": ["get"]},
        {**core, "resources": ["pods"], "verbs": ["list"]},
    ]
    code, text = doctor_of(cluster, capsys, "demo")
    assert code == 0 and "no pod is tried" in text and "waiting until the first pods run" in text
    assert "waiting until" not in doctor_of(cluster, capsys, "demo", "--no-wait")[1]


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
