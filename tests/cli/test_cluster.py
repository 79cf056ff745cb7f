"""submit against a server that speaks Kubernetes' and Kubeflow Pipelines' API."""

import json

import pytest
from cluster_commands import cluster, doctor, doctor_of, posted, sent  # noqa: F401  (cluster is a fixture)

from pipelines.__main__ import main
from pipelines.cli.options import COMPILED


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


def test_the_token_may_come_from_the_environment_and_is_shown_nowhere(cluster, capsys, monkeypatch):
    seen, respond = [], cluster.answer
    monkeypatch.setattr(
        cluster, "answer", lambda request, *a: [seen.append(request.headers), respond(request, *a)][1]
    )
    monkeypatch.setenv("KFP_TOKEN", "a-secret-word")
    code, text = doctor_of(cluster, capsys, "demo", "--no-wait")
    of_kubeflow = [h["Authorization"] for h in seen if h["Authorization"] != "Bearer t"]  # the kubeconfig's
    assert code == 0 and set(of_kubeflow) == {"Bearer a-secret-word"} and "a-secret-word" not in text
    with pytest.raises(SystemExit):
        main(["submit", "--help"])
    helped = capsys.readouterr().out
    assert "KFP_TOKEN" in helped and "a-secret-word" not in helped
    seen.clear()
    doctor_of(cluster, capsys, "demo", "--no-wait", "--token", "b")
    assert {h["Authorization"] for h in seen} == {"Bearer t", "Bearer b"}


@pytest.mark.parametrize(
    "words, told",
    [
        (("--endpoint", "https://me:pass-word@kubeflow.example.org"), "belongs in KFP_TOKEN"),
        (("--store", "s3://me:pass-word@bucket/{name}"), "belongs in the Secret that --store-secret names"),
    ],
)
def test_an_account_in_an_address_is_refused_and_not_shown(cluster, capsys, words, told):
    code = main(["submit", "demo", *words])
    out = capsys.readouterr()
    assert code == 2 and told in out.err and "pass-word" not in out.out + out.err and not cluster.requests


def test_one_users_kubeflow_refuses_another_namespace_even_without_the_doctor_and_several_users_do_not(
    cluster, capsys
):
    code, text = doctor_of(cluster, capsys, "demo", "--no-doctor", "--no-wait", "--namespace", "team")
    assert code == 2 and "the pods would run in kubeflow, not team" in text and not sent(cluster)
    cluster.objects["/apis/v2beta1/healthz"]["multi_user"] = True
    assert doctor_of(cluster, capsys, "demo", "--no-doctor", "--no-wait", "--namespace", "team")[
        0
    ] == 0 and sent(cluster)
