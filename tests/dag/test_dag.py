"""The compiled DAG is what the code says, and holds none of the shapes that KFP runs wrongly without an
error.
"""

import importlib
import re
from pathlib import Path

import pytest
import yaml

from unpromptable.releasing.request import ATTEMPTS

ROOT = Path(__file__).parents[2]
PIPELINES = ("ablation_sweep", "hotfix")


@pytest.fixture(scope="module", params=PIPELINES)
def every(request, tmp_path_factory):
    """A pipeline's name, and what it compiles to."""
    return request.param, compile_(request.param, tmp_path_factory)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    return compile_("ablation_sweep", tmp_path_factory)


def compile_(name, tmp_path_factory):
    from kfp import compiler

    path = tmp_path_factory.mktemp("dag") / f"{name}.yaml"
    compiler.Compiler().compile(getattr(importlib.import_module(f"pipelines.{name}"), name), str(path))
    return path


@pytest.fixture(scope="module")
def spec(compiled):
    return next(iter(yaml.safe_load_all(compiled.read_text())))


@pytest.fixture(scope="module")
def platform(compiled):
    return list(yaml.safe_load_all(compiled.read_text()))[1]


def test_the_committed_yaml_is_what_the_code_compiles_to(every):
    name, path = every
    committed = ROOT / "pipelines" / f"{name}.yaml"
    assert path.read_text() == committed.read_text(), "run `make compile` and commit the result"


@pytest.mark.parametrize("name", PIPELINES)
def test_the_module_shows_one_pipeline_so_that_kfp_dsl_compile_finds_it(name):
    from kfp.dsl import base_component

    module = importlib.import_module(f"pipelines.{name}")
    assert [n for n, v in vars(module).items() if isinstance(v, base_component.BaseComponent)] == [name]


def test_every_input_is_declared_by_its_parent_and_every_producer_is_waited_for(every):
    assert problems(*parts(every)) == []


def parts(every):
    """The two parts of a compiled pipeline."""
    return list(yaml.safe_load_all(every[1].read_text()))


def trap(tmp_path, build):
    """What the lint says of a small pipeline."""
    from kfp import compiler, dsl

    @dsl.component(install_kfp_package=False)
    def make() -> list[str]:
        return ["a"]

    @dsl.component(install_kfp_package=False)
    def work(x: str):
        pass

    @dsl.pipeline(name="trap")
    def pipeline(memory: str = "1Gi", volume: str = "v"):
        build(make, work, memory, volume)

    compiler.Compiler().compile(pipeline, str(tmp_path / "trap.yaml"))
    return list(yaml.safe_load_all((tmp_path / "trap.yaml").read_text()))


def test_the_lint_finds_a_resource_read_inside_a_loop_that_was_not_given(tmp_path):
    from kfp import dsl

    def build(make, work, memory, volume):
        with dsl.ParallelFor(make().output) as x:
            work(x=x).set_memory_limit(memory)

    assert any("memory" in p for p in problems(*trap(tmp_path, build)))


def test_the_lint_finds_a_loop_that_never_uses_its_item_and_so_would_not_wait(tmp_path):
    from kfp import dsl

    def build(make, work, memory, volume):
        with dsl.ParallelFor(make().output):
            work(x="same")

    assert any("never uses its item" in p for p in problems(*trap(tmp_path, build)))


def test_the_lint_finds_what_only_an_edit_of_the_yaml_could_break(tmp_path):
    from kfp import dsl, kubernetes

    def build(make, work, memory, volume):
        first = make()
        with dsl.ParallelFor(first.output) as x:
            kubernetes.mount_pvc(work(x=x), pvc_name=volume, mount_path="/store")

    spec, platform = trap(tmp_path, build)
    assert problems(spec, platform) == []
    loop = spec["root"]["dag"]["tasks"]["for-loop-1"]
    loop["dependentTasks"].remove("make")
    assert any("does not wait for make" in p for p in problems(spec, platform))
    inner = spec["components"][loop["componentRef"]["name"]]
    del inner["inputDefinitions"]["parameters"]["pipelinechannel--volume"]
    assert any("exec-work takes pipelinechannel--volume" in p for p in problems(spec, platform))
    del inner["dag"]["tasks"]["work"]["inputs"]["parameters"]["x"]
    assert any("work: x is not given" in p for p in problems(spec, platform))


def test_no_variable_of_a_pod_is_one_that_kubeflows_mlflow_plugin_sets_as_well(every):
    for name, executor in parts(every)[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"].items():
        given = [
            pair["envVar"]
            for source in [*executor["configMapAsEnv"], *executor["secretAsEnv"]]
            for pair in source["keyToEnv"]
        ]
        assert len(given) == len(set(given)) >= 5 and not [v for v in given if v.startswith("MLFLOW_")], name


def test_a_step_writes_only_to_volumes(every):
    for name, executor in parts(every)[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"].items():
        assert {"/tmp", "/store"} <= {
            m["mountPath"] for m in [*executor["emptyDirMounts"], *executor["pvcMount"]]
        }, name


def test_no_task_installs_packages_or_reuses_an_older_result(every):
    spec = parts(every)[0]
    for name, executor in spec["deploymentSpec"]["executors"].items():
        assert "pip install" not in " ".join(executor["container"].get("command", [])), name
    for dag in [spec["root"]["dag"], *(c["dag"] for c in spec["components"].values() if "dag" in c)]:
        for name, task in dag["tasks"].items():
            is_step = "dag" not in spec["components"][task["componentRef"]["name"]]
            assert not (is_step and task.get("cachingOptions", {}).get("enableCache")), name


def test_the_report_runs_whatever_happens_and_a_cells_steps_stand_in_the_loop_itself(spec):
    root = spec["root"]["dag"]["tasks"]
    assert root["report"]["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"
    inside = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    [loop] = [t for t in inside.values() if "parameterIterator" in t]
    body = spec["components"][loop["componentRef"]["name"]]["dag"]["tasks"]
    assert {n: t.get("dependentTasks", []) for n, t in body.items()} == {
        "unlearn": [],
        "sample": ["unlearn"],
        "sample-2": ["unlearn"],
        "score": ["sample", "sample-2"],
    }
    assert set(loop["dependentTasks"]) == {"plan", "before"}


def test_attempts_follow_one_another_and_the_report_runs_whatever_happens(tmp_path_factory):
    spec = next(yaml.safe_load_all(compile_("hotfix", tmp_path_factory).read_text()))
    assert (
        spec["root"]["dag"]["tasks"]["report"]["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"
    )
    inside = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    chain = ["base", "attempt", *(f"attempt-{n}" for n in range(2, ATTEMPTS + 1)), "release"]
    assert {n: t.get("dependentTasks", []) for n, t in inside.items()} == {
        name: [before] if before else [] for before, name in zip(["", *chain], chain)
    }


def test_no_step_is_handed_what_all_cells_made(spec):
    for dag in [spec["root"]["dag"], *(c["dag"] for c in spec["components"].values() if "dag" in c)]:
        for name, task in dag["tasks"].items():
            made = [
                v["taskOutputParameter"]
                for v in task.get("inputs", {}).get("parameters", {}).values()
                if "taskOutputParameter" in v
            ]
            assert not task.get("inputs", {}).get("artifacts"), name
            assert all(m["producerTask"] in ("plan", "prepare") for m in made) and (
                "parameterIterator" in task or not [m for m in made if m["producerTask"] == "plan"]
            ), name


def problems(spec, platform=None):
    """What KFP would run wrongly: inputs that no one declares or gives, producers that are not waited for,
    unused loop items.
    """
    found = []
    for name, component in {
        "root": spec["root"],
        **{n: c for n, c in spec["components"].items() if "dag" in c},
    }.items():
        for task, body in component["dag"]["tasks"].items():
            found += [
                f"{name}/{task}: {text}"
                for text in (
                    *_inputs(component, body),
                    *_loop(spec, body),
                    *_missing(spec, body),
                    *_resources(spec, component, body),
                    *_mounts(spec, platform, component, body),
                )
            ]
    return found


def _inputs(component, body):
    for kind, parent_key, made_key in (
        ("parameters", "componentInputParameter", "taskOutputParameter"),
        ("artifacts", "componentInputArtifact", "taskOutputArtifact"),
    ):
        declared = component.get("inputDefinitions", {}).get(kind, {})
        for key, value in body.get("inputs", {}).get(kind, {}).items():
            parent, made = value.get(parent_key), value.get(made_key)
            if parent and parent not in declared:
                yield f"{key} reads {parent}, which the DAG around it does not declare"
            if made and made["producerTask"] not in component["dag"]["tasks"]:
                yield f"{key} reads {made['producerTask']}, which is in another DAG"
            if made and made["producerTask"] not in body.get("dependentTasks", []):
                yield f"{key} does not wait for {made['producerTask']}"


def _loop(spec, body):
    iterator = body.get("parameterIterator")
    if iterator:
        tasks = spec["components"][body["componentRef"]["name"]]["dag"]["tasks"].values()
        if not any(iterator["itemInput"] in str(t.get("inputs", {})) for t in tasks):
            yield "the loop never uses its item, so it would start before its list exists"
        source = iterator["items"].get("inputParameter")
        if source and source not in body.get("inputs", {}).get("parameters", {}):
            yield f"the loop goes over {source}, which it is not given"


def _missing(spec, body):
    """Inputs without a default that the task is not given."""
    definitions = spec["components"][body["componentRef"]["name"]].get("inputDefinitions", {})
    item = body.get("parameterIterator", {}).get("itemInput")
    for kind in ("parameters", "artifacts"):
        for name, value in definitions.get(kind, {}).items():
            given = name in body.get("inputs", {}).get(kind, {}) or name == item
            if not (
                given
                or value.get("isOptional")
                or "defaultValue" in value
                or value.get("parameterType") == "TASK_FINAL_STATUS"
            ):
                yield f"{name} is not given"


def _resources(spec, component, body):
    """Resource placeholders of a task whose parameter the task was not given."""
    inner = spec["components"][body["componentRef"]["name"]]
    container = spec["deploymentSpec"]["executors"].get(inner.get("executorLabel"), {}).get("container", {})
    given, declared = (
        body.get("inputs", {}).get("parameters", {}),
        component.get("inputDefinitions", {}).get("parameters", {}),
    )
    for parameter in re.findall(
        r"inputs\.parameters\['([^']+)'\]", str({k: container.get(k) for k in ("image", "resources")})
    ):
        if (
            parameter not in given
            or given[parameter].get("componentInputParameter", parameter) not in declared
        ):
            yield f"resource {parameter} is not declared"


def _mounts(spec, platform, component, body):
    """Volumes, Secrets, selectors: the driver looks their parameters up in the DAG around the task."""
    label = spec["components"][body["componentRef"]["name"]].get("executorLabel")
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"] if platform else {}
    for parameter in set(re.findall(r"'componentInputParameter': '([^']+)'", str(executors.get(label, {})))):
        if parameter not in component.get("inputDefinitions", {}).get("parameters", {}):
            yield f"{label} takes {parameter}, which the DAG around it does not declare"
