"""The commands for a cluster, run against a server that speaks Kubernetes' and Kubeflow Pipelines' API."""

import cluster_server
import pytest

from pipelines.__main__ import main

NS = cluster_server.NS


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    server = cluster_server.Cluster()
    monkeypatch.setenv("KUBECONFIG", str(cluster_server.kubeconfig(tmp_path / "config", server.address)))
    yield server
    server.server.shutdown()


def doctor(cluster, capsys, *words, verb="doctor"):
    code = main([verb, "demo", "--endpoint", cluster.address, *words])
    out = capsys.readouterr()
    return code, out.out + out.err


QUOTA = (
    'pods "x" is forbidden: exceeded quota: unpromptable-gpus, requested: requests.nvidia.com/gpu=4, used:'
    " requests.nvidia.com/gpu=2, limited: requests.nvidia.com/gpu={}"
)


def posted(cluster):
    return [b for v, p, b in cluster.requests if v == "POST" and p.endswith("/runs")]


def sent(cluster):
    return [
        b["runtime_config"]["parameters"]
        for v, p, b in cluster.requests
        if v == "POST" and p.endswith("/runs")
    ]


def doctor_of(cluster, capsys, *words):
    code = main(["submit", *words, "--endpoint", cluster.address])
    out = capsys.readouterr()
    return code, out.out + out.err
