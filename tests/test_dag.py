"""The compiled DAG is what the code says, and holds none of the shapes that KFP runs wrongly without an error."""
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
COMMITTED = ROOT / "pipelines" / "ablation_sweep.yaml"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    from kfp import compiler

    from pipelines.ablation_sweep import ablation_sweep

    path = tmp_path_factory.mktemp("dag") / "sweep.yaml"
    compiler.Compiler().compile(ablation_sweep, str(path))
    return path


@pytest.fixture(scope="module")
def spec(compiled):
    return next(iter(yaml.safe_load_all(compiled.read_text())))


def test_the_committed_yaml_is_what_the_code_compiles_to(compiled):
    assert compiled.read_text() == COMMITTED.read_text(), "run `make compile` and commit the result"


def test_the_module_shows_one_pipeline_so_that_kfp_dsl_compile_finds_it():
    from kfp.dsl import base_component

    import pipelines.ablation_sweep as module

    assert [n for n, v in vars(module).items() if isinstance(v, base_component.BaseComponent)] == ["ablation_sweep"]


def test_every_input_is_declared_by_its_parent_and_every_producer_is_waited_for(spec):
    assert problems(spec) == []


def test_the_lint_finds_a_resource_read_inside_a_loop_that_was_not_given():
    from kfp import compiler, dsl

    @dsl.component(install_kfp_package=False)
    def work(x: str):
        pass

    @dsl.pipeline(name="trap")
    def trap(memory: str = "1Gi"):
        with dsl.ParallelFor(["a", "b"]) as x:
            work(x=x).set_memory_limit(memory)

    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        compiler.Compiler().compile(trap, f"{folder}/trap.yaml")
        found = problems(next(iter(yaml.safe_load_all(Path(f"{folder}/trap.yaml").read_text()))))
    assert any("memory" in p for p in found)


def test_no_task_installs_packages_or_reuses_an_older_result(spec):
    for name, executor in spec["deploymentSpec"]["executors"].items():
        assert "pip install" not in " ".join(executor["container"].get("command", [])), name
    for dag in [spec["root"]["dag"], *(c["dag"] for c in spec["components"].values() if "dag" in c)]:
        for name, task in dag["tasks"].items():
            is_step = "dag" not in spec["components"][task["componentRef"]["name"]]
            assert not (is_step and task.get("cachingOptions", {}).get("enableCache")), name


def test_the_report_runs_whatever_happens_and_each_cell_is_a_pipeline_of_its_own(spec):
    root = spec["root"]["dag"]["tasks"]
    assert root["report"]["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"
    assert {"edit", "unlearn", "split", "score"} <= set(spec["components"]["comp-cell"]["dag"]["tasks"])


def problems(spec):
    """Parameters read but not declared by the DAG around them, and producers missing from dependentTasks."""
    components, found = spec["components"], []

    def walk(name, component):
        declared = component.get("inputDefinitions", {}).get("parameters", {})
        artifacts = component.get("inputDefinitions", {}).get("artifacts", {})
        for task, body in component["dag"]["tasks"].items():
            inputs = body.get("inputs", {})
            for key, value in inputs.get("parameters", {}).items():
                parent, made = value.get("componentInputParameter"), value.get("taskOutputParameter")
                if parent and parent not in declared:
                    found.append(f"{name}/{task}: {key} reads {parent}, which {name} does not declare")
                if made and made["producerTask"] not in body.get("dependentTasks", []):
                    found.append(f"{name}/{task}: {key} does not wait for {made['producerTask']}")
            for key, value in inputs.get("artifacts", {}).items():
                parent, made = value.get("componentInputArtifact"), value.get("taskOutputArtifact")
                if parent and parent not in artifacts:
                    found.append(f"{name}/{task}: {key} reads artifact {parent}, which {name} does not declare")
                if made and made["producerTask"] not in body.get("dependentTasks", []):
                    found.append(f"{name}/{task}: {key} does not wait for {made['producerTask']}")
            inner = components[body["componentRef"]["name"]]
            if "parameterIterator" in body and not any(body["parameterIterator"]["itemInput"] in str(t.get("inputs", {})) for t in inner["dag"]["tasks"].values()):
                found.append(f"{name}/{task}: the loop never uses its item, so it would start before its list exists")
            if "dag" in inner:
                walk(task, inner)
        for executor in spec["deploymentSpec"]["executors"].values():
            pass

    walk("root", spec["root"])
    return found + _undeclared_resources(spec)


def _undeclared_resources(spec):
    """Resource placeholders of a task whose parameter the task was not given."""
    import re

    found = []
    dags = {"root": spec["root"], **{n: c for n, c in spec["components"].items() if "dag" in c}}
    for name, component in dags.items():
        declared = set(component.get("inputDefinitions", {}).get("parameters", {}))
        for task, body in component["dag"]["tasks"].items():
            inner = spec["components"][body["componentRef"]["name"]]
            if "executorLabel" not in inner:
                continue
            wanted = re.findall(r"inputs\.parameters\['([^']+)'\]", str(spec["deploymentSpec"]["executors"][inner["executorLabel"]]["container"].get("resources", {})))
            given = set(body.get("inputs", {}).get("parameters", {}))
            for parameter in wanted:
                source = body.get("inputs", {}).get("parameters", {}).get(parameter, {}).get("componentInputParameter", parameter)
                if parameter not in given or source not in declared:
                    found.append(f"{name}/{task}: resource {parameter} is not declared by {name}")
    return found
