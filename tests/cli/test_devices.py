"""What several GPUs of a pod do, and what could not use them, in one line before anything is submitted."""

import pytest
from cluster_commands import cluster, doctor_of, sent  # noqa: F401  (cluster is a fixture)

from pipelines import pods
from pipelines.cli import devices
from unpromptable.planning import plan


def asked(gpus, images_per_shard=0, **sets):
    sets = {key.replace("__", "."): value for key, value in sets.items()}
    return devices.use(gpus, plan.resolve("demo", "", sets, inputs=False), images_per_shard)


def test_what_each_step_does_with_several_gpus_is_said():
    said = asked(4)
    assert said.startswith("4 GPUs per pod: unlearn shares each batch (8 images or more)")
    assert "sample the 4 calls of a shard" in said and "prepare and score ask for one" in said
    assert asked(0) == asked(1) == ""


@pytest.mark.parametrize(
    "gpus, images, sets, words",
    [
        (
            4,
            0,
            {"training__batch": 2},
            "has 2 images, which at most 2 GPUs share; lower it, or raise training",
        ),
        (
            8,
            0,
            {},
            "a shard of 128 images is 4 calls of the network, which at most 4 GPUs share; lower it or",
        ),
        (4, 32, {}, "a shard of 32 images is 1 calls"),
        (16, 256, {"sampling__batch": 16}, "a batch of NegGrad has 8 images"),
    ],
)
def test_gpus_that_would_idle_are_refused_with_what_to_change(gpus, images, sets, words):
    with pytest.raises(ValueError, match=words):
        asked(gpus, images, **sets)
    assert asked(2 if "training__batch" in sets else 1, images, **sets) is not None


def test_a_submission_asks_for_several_gpus_only_where_they_are_shared(cluster, capsys):
    code, text = doctor_of(cluster, capsys, "demo", "--no-doctor", "--no-wait", "gpus=4")
    assert code == 0 and "4 GPUs per pod: unlearn shares each batch" in text
    code, text = doctor_of(cluster, capsys, "demo", "--no-doctor", "--no-wait", "gpus=0", "single_gpu=1")
    assert code == 0 and "GPUs per pod" not in text
    assert [(one["gpus"], one["single_gpu"]) for one in sent(cluster)] == [("4", "1"), ("0", "1")]


def test_idle_gpus_are_not_submitted(cluster, capsys):
    code, text = doctor_of(cluster, capsys, "demo", "--no-doctor", "gpus=4", "--set", "training.batch=3")
    assert code == 2 and "--gpus 4: a batch of" in text and cluster.requests == []


def labels(executors):
    return {k: one.get("podMetadata", {}).get("labels") for k, one in executors.items()}


def test_a_submission_puts_every_steps_pod_into_the_queue_of_kueue_as_compile_does(cluster, capsys, tmp_path):
    import yaml

    from pipelines.__main__ import main

    code, _ = doctor_of(cluster, capsys, "demo", "--no-doctor", "--no-wait", "--queue", "team-a")
    body = next(b for v, p, b in cluster.requests if v == "POST" and p.endswith("/runs"))["pipeline_spec"]
    compiled = str(tmp_path / "queued.yaml")
    assert code == 0 and main(["compile", "--queue", "team-a", "--out", compiled]) == 0
    spec, platform = yaml.safe_load_all(open(compiled))
    executors = lambda of: of["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    found = labels(executors(body["platform_spec"]))
    assert found == labels(executors(platform)) and found.keys() == spec["deploymentSpec"]["executors"].keys()
    assert all(one == {"kueue.x-k8s.io/queue-name": "team-a"} for one in found.values())


@pytest.mark.parametrize("name", ["Team", "a b", "-a", "a" * 64])
def test_a_queue_that_kubernetes_could_not_have_is_refused(cluster, capsys, name):
    with pytest.raises(ValueError, match="give a LocalQueue's name"):
        pods.Fixed(queue=name)
    code, text = doctor_of(cluster, capsys, "demo", "--no-doctor", f"--queue={name}")
    assert code == 2 and "give a LocalQueue's name" in text and cluster.requests == []
