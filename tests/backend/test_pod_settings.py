"""What compile and submit say reaches every step's pod, and what is none is refused."""

import pytest
from test_pods import PACKAGE, STEPS

from pipelines.backend import driver
from pipelines.backend.nodes import amount
from pipelines.pods import STARTING, Fixed
from unpromptable.storage import attempts


def test_what_cannot_start_ends_within_minutes_and_the_report_within_hours():
    fixed = Fixed()
    assert all(STEPS[s]["activeDeadlineSeconds"] == 30 * 60 for s in STEPS if s in STARTING)
    assert (
        STEPS["report"]["activeDeadlineSeconds"] == 2 * 3600
        and STEPS["unlearn"]["activeDeadlineSeconds"] == 24 * 3600
    )
    assert (
        fixed.seconds("plan") == 1800
        and Fixed(timeout_hours=0.1).seconds("plan") == Fixed(timeout_hours=0.1).seconds("report") == 360
    )
    with pytest.raises(ValueError, match="start_minutes 0"):
        Fixed(start_minutes=0)


@pytest.mark.parametrize("text", ["0.5Gi", "512Mi", "1", "100k", "2G", "1.25Ti"])
def test_shared_memory_is_any_amount_of_bytes_that_kubernetes_knows(text):
    assert amount(text) > 0 and Fixed(shared_memory=text).shared_memory == text


@pytest.mark.parametrize("text", ["lots", "0", "0Gi", "0.0", "-1Gi", "1K", "500m", "1 Gi", ""])
def test_shared_memory_that_is_no_amount_of_bytes_is_refused(text):
    with pytest.raises(
        ValueError, match=f"--shared-memory {text}: give bytes as Kubernetes does, such as 1Gi"
    ):
        Fixed(shared_memory=text)


def test_a_pod_takes_what_the_submission_gives_and_the_rest_from_the_pipelines_defaults():
    given = {
        "image": "a/gpu:1",
        "memory": "48Gi",
        "gpus": "2",
        "node_selector": {"pool": "a100"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "volume": "mine",
    }
    pods = driver.pods(PACKAGE, given, "runner")
    heavy, light = pods["unlearn"], pods["plan"]
    assert (
        heavy["containers"][0]["image"] == "a/gpu:1"
        and light["containers"][0]["image"] == "unpromptable/cpu:0.1.0"
    )
    assert heavy["containers"][0]["resources"] == {
        "requests": {"cpu": "2", "memory": "48Gi"},
        "limits": {"memory": "48Gi", "nvidia.com/gpu": "2"},
    }
    assert (
        heavy["nodeSelector"] == {"pool": "a100"}
        and heavy["tolerations"] == given["tolerations"]
        and "nodeSelector" not in light
    )
    assert all(
        {"name": "mine", "persistentVolumeClaim": {"claimName": "mine"}} in pod["volumes"]
        and pod["serviceAccountName"] == "runner"
        for pod in pods.values()
    )


@pytest.mark.parametrize(
    "text, said",
    [
        ("a: [", "not valid YAML"),
        ("name: demo\n", "not a pipeline compiled here"),
        ("- a\n---\n- b\n", "not a pipeline compiled here"),
        (None, "no such file"),
    ],
)
def test_a_file_that_is_no_compiled_pipeline_is_refused_in_one_line(tmp_path, text, said):
    path = tmp_path / "package.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=said) as error:
        driver.read(path)
    assert (
        "\n" not in str(error.value)
        and "python -m pipelines compile" in str(error.value)
        or said == "not valid YAML"
    )


def test_how_often_a_step_runs_again_within_its_pod_is_told_to_every_step_where_it_is_not_the_default(
    tmp_path,
):
    from kfp import compiler

    from pipelines import ablation_sweep

    def told(fixed):
        compiler.Compiler().compile(ablation_sweep.build(fixed), str(tmp_path / "x.yaml"))
        return (tmp_path / "x.yaml").read_text().count(f"name: {attempts.VARIABLE}\n")

    assert told(Fixed()) == 0 and told(Fixed(within=4)) == told(Fixed(within=0)) >= len(STEPS) - 1


def test_steps_that_run_on_one_gpu_reserve_one_however_many_the_others_share():
    pods = driver.pods(PACKAGE, {"gpus": "4", "single_gpu": "1"})
    asked = {
        step.rstrip("-0123456789"): pod["containers"][0]["resources"]["limits"].get("nvidia.com/gpu")
        for step, pod in pods.items()
    }
    assert asked == {
        "unlearn": "4",
        "sample": "4",
        "prepare": "1",
        "score": "1",
        "plan": None,
        "report": None,
    }


def test_no_pod_is_in_a_queue_unless_one_is_named():
    executors = driver.read(PACKAGE)[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert not any("podMetadata" in one for one in executors.values())
