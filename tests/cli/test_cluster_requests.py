"""A request to forget, submitted to the pipeline that answers it."""

import pytest
from cluster_commands import cluster, doctor_of, posted, sent  # noqa: F401  (cluster is a fixture)

from unpromptable.releasing import request
from unpromptable.storage import fingerprints

REQUEST = """
name: ticket-7
model: /store/base
forget: [/store/letters/me.png]
keep: /store/people
settings: {networks.name: miniature}
"""


def test_a_request_is_submitted_to_the_pipeline_that_answers_it(cluster, capsys, tmp_path):
    path = tmp_path / "request.yaml"
    path.write_text(REQUEST)
    code, text = doctor_of(cluster, capsys, str(path), "cpu=3")
    assert code == 0, text
    assert "not known for look, attempt, report" in text  # of a base model that lies on the volume
    (run,) = posted(cluster)
    spec = run["pipeline_spec"].get("pipeline_spec", run["pipeline_spec"])
    assert spec["pipelineInfo"]["name"] == "hotfix"
    given = sent(cluster)[0]
    asked = request.parse(given["experiment"])
    assert asked == request.parse(REQUEST) and given["digest"] == fingerprints.sha256(path)
    assert given["cpu"] == "3" and "overrides" not in given and "world" not in given


@pytest.mark.parametrize(
    "change, words, said",
    [
        (
            ("/store/people", "people"),
            (),
            "request.keep: people is relative; on a cluster name what",
        ),
        (("/store/letters/me", "me"), (), "request.forget: me.png is relative"),
        (("name: ticket-7", "name: ticket-7\nlabels: a.csv"), (), "request.labels: a.csv is relative"),
        (("name: ticket-7", "name: Jane Doe"), (), "request.name is 'Jane Doe'"),
        (("", ""), ("--set", "training.steps=3"), "a request says its own `world` and `settings`"),
    ],
)
def test_a_request_that_no_pod_could_answer_is_refused_here(cluster, capsys, tmp_path, change, words, said):
    path = tmp_path / "request.yaml"
    path.write_text(REQUEST.replace(*change))
    code, text = doctor_of(cluster, capsys, str(path), *words)
    assert code == 2 and said in text and not posted(cluster)
