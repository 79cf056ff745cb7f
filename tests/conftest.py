"""A tiny DDPM of the real classes, tiny pictures, and a tiny batch: what every test builds on."""

from __future__ import annotations

import inspect
import re
import shutil
from functools import partial, wraps
from pathlib import Path

import numpy as np
import pytest
import sd3_small
import torch
from helm_chart import NO_HELM

from unpromptable.models.families.ddpm import Model
from unpromptable.planning.settings import Training
from unpromptable.pretraining.ddpm import Pretraining, build
from unpromptable.tracking import connection
from unpromptable.unlearning import training
from unpromptable.unlearning.batch import Batch


def pytest_terminal_summary(terminalreporter):
    """The last line says what was skipped for want of helm, and how to get it."""
    skipped = sum(NO_HELM in str(report.longrepr) for report in terminalreporter.stats.get("skipped", ()))
    if skipped:
        version = re.search(
            r"^HELM_VERSION=(\S+)$", (Path(__file__).parent.parent / ".ci" / "run").read_text(), re.M
        )[1]
        terminalreporter.write_line(
            f"{skipped} tests of the chart were skipped, since {NO_HELM}: go install"
            f" helm.sh/helm/v3/cmd/helm@{version} puts it into ~/go/bin, where make test finds it"
        )


@pytest.fixture(scope="session", autouse=True)
def stacks():
    """kfp asks at every setting of a task who called it, by a stack with its frames' lines of source: under
    pytest that made a pipeline of 4 seconds out of one of 0.2. It takes the name alone.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inspect, "stack", partial(inspect.stack, 0))
        yield


@pytest.fixture(scope="session", autouse=True)
def tables(tmp_path_factory):
    """MLflow takes seconds to make the tables of a run's database: of a process they are made once."""
    made, first = connection._make, tmp_path_factory.mktemp("tables") / connection.DATABASE

    @wraps(made)
    def copied(path):
        if not first.exists():
            made(first)
        if not (path.is_file() and path.stat().st_size):
            shutil.copyfile(first, path)

    connection._make = copied
    yield
    connection._make = made


@pytest.fixture(scope="session")
def tiny_parts():
    """UNet2DModel of 8 x 8 pictures and its scheduler, untrained, output layer not zero."""
    unet, scheduler = build(8, Pretraining(channels=(8, 8), seed=3))
    return unet, scheduler


@pytest.fixture
def tiny(tiny_parts):
    """A fresh copy of the tiny model for every test."""
    import copy

    return Model(copy.deepcopy(tiny_parts[0]), tiny_parts[1])


@pytest.fixture
def pictures():
    """20 pictures, uint8 (20, 8, 8, 3), all different."""
    return np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)


@pytest.fixture
def images(pictures):
    """The arrays a cell trains on, with two forget images."""
    return training.Images(pictures[4:], pictures[:2], pictures[2:4], ("a", "b"))


@pytest.fixture
def batch(tiny, images):
    """One update's batch of four, with the untouched model that some methods read."""
    import dataclasses

    return dataclasses.replace(
        training.draw_batch(tiny, Training(batch=4), images, 0, 0, False), reference=tiny.reference()
    )


@pytest.fixture(scope="session")
def flag_folder(tmp_path_factory):
    """An untrained Stable Diffusion 3 pipeline of the miniature's classes, saved as it is."""
    from unpromptable.pretraining import flags_pipeline

    out = tmp_path_factory.mktemp("sd3")
    pipe = flags_pipeline.build(out, 5)
    with torch.no_grad():
        # diffusers starts it at 0, and then no adapter would be seen
        pipe.transformer.proj_out.weight.normal_(0, 0.2)
    pipe.vae.register_to_config(shift_factor=0.1, scaling_factor=0.9)
    pipe.save_pretrained(out, safe_serialization=True)
    return out


@pytest.fixture
def flag_model(flag_folder):
    """That pipeline as the family sd3 loads it, under the prompt of `sd3_small`."""
    from unpromptable.models.families import sd3

    return sd3.Model.load(flag_folder, experiment=sd3_small.experiment())


@pytest.fixture
def s3(monkeypatch):
    """A real HTTP server that speaks S3, and its bucket's address."""
    import urllib.request

    import boto3
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    for key, value in (
        ("AWS_ENDPOINT_URL", address),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(key, value)
    s3fs.S3FileSystem.clear_instance_cache()
    # one memory for all servers of a process
    urllib.request.urlopen(urllib.request.Request(f"{address}/moto-api/reset", method="POST")).close()
    boto3.client("s3").create_bucket(Bucket="bucket")
    yield "s3://bucket/{name}"
    server.stop()


@pytest.fixture
def toy():
    """A family of one linear layer on flattened 2 x 2 pictures, small enough to do by hand in float64."""
    return Toy()


class Toy:
    """x_t = signal*x0 + noise*eps with four timesteps; the network is W x."""

    def __init__(self):
        g = torch.Generator().manual_seed(1)
        self.weight = torch.nn.Parameter(torch.randn((12, 12), generator=g, dtype=torch.float64) * 0.3)
        self.abar = torch.tensor([0.9, 0.6, 0.3, 0.1], dtype=torch.float64)

    def schedule(self, t):
        return self.abar[t].sqrt(), (1 - self.abar[t]).sqrt()

    def thousandths(self, t):
        return t

    def target(self, x0, eps, t):
        return eps

    def target_of(self, x_t, x0, t):
        from unpromptable import equations

        return equations.implied_noise(x_t, x0, *self.schedule(t))

    def predict(self, x_t, t):
        return (x_t.flatten(1) @ self.weight.T).view_as(x_t)

    def trained(self):
        return [self.weight]


@pytest.fixture
def toy_batch():
    """Three pairs for the toy family, float64."""
    g = torch.Generator().manual_seed(2)
    draw = lambda: torch.randn((3, 3, 2, 2), generator=g, dtype=torch.float64)
    return Batch(draw(), draw(), draw(), torch.tensor([0, 2, 3]), draw(), torch.Generator().manual_seed(5))
