"""ONNX files of small networks whose values are known: means of the channels over parts of a picture."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def written(
    path: Path,
    size: int | None = 32,
    batch: int | None = None,
    parts: int = 4,
    last: bool = False,
    levels: bool = False,
    times: float = 1.0,
    scalar: bool = False,
    domain: str = "",
) -> Path:
    """A network of pictures (N, 3, size, size): the means of parts x parts fields, (N, 3 * parts^2).

    size, batch: None leaves it open. last: channels are the last axis. levels: it takes uint8. times: what
    each value is multiplied by. scalar: it gives one number. domain: of an operator that is none of ONNX.
    """
    node, nodes, now = helper.make_node, [], "pictures"

    def then(operator, *inputs, **attributes):
        nonlocal now
        nodes.append(node(operator, [now, *inputs], [f"x{len(nodes)}"], **attributes))
        now = f"x{len(nodes) - 1}"

    if levels:
        then("Cast", to=TensorProto.FLOAT)
    if last:
        then("Transpose", perm=[0, 3, 1, 2])
    then("AveragePool", kernel_shape=[(size or 32) // parts] * 2, strides=[(size or 32) // parts] * 2)
    then("Flatten", axis=1)
    then("Mul", "times")
    if scalar:
        then("ReduceMean", keepdims=0)
    if domain:
        then("Unknown", domain=domain)
    sides = [size, size]
    shape = [batch, *sides, 3] if last else [batch, 3, *sides]
    kind = TensorProto.UINT8 if levels else TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("pictures", kind, shape)],
        [helper.make_tensor_value_info(now, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array(times, np.float32), "times")],
    )
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    path.write_bytes(helper.make_model(graph, ir_version=9, opset_imports=opsets).SerializeToString())
    return path


def outside(path: Path, weights: Path) -> Path:
    """A network whose weights stand in another file."""
    model = onnx.load(written(path))
    onnx.external_data_helper.convert_model_to_external_data(
        model, location=weights.name, size_threshold=0, convert_attribute=False
    )
    for tensor in model.graph.initializer:  # one number is written inside by default
        tensor.data_location = TensorProto.EXTERNAL
    onnx.save(model, path)
    return path


@cache
def shared() -> Path:
    """One of them that every contract may read."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return written(folder / "small.onnx")
