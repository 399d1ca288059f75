"""The Open Inference Protocol: Triton's own client works with the server, unchanged."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import tritonclient.http as triton  # type: ignore[import-untyped]

import fittingroom as fr
from fittingroom.serve.guard import Refused
from fittingroom.serve.open_inference import parse_request
from tests.serve.conftest import Running


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as opened:
        yield opened


@pytest.fixture
def http(server: Running) -> Iterator[httpx.Client]:
    with server.client() as opened:
        yield opened


def test_the_client_finds_the_server_and_both_models(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("first")
    assert client.is_model_ready("second", "1")
    assert not client.is_model_ready("third")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata("first")
    assert metadata["inputs"] == [{"name": "images", "datatype": "UINT8", "shape": [-1, 28, 28]}]
    assert [output["name"] for output in metadata["outputs"]] == ["probabilities", "label", "doubt", "typical"]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("count", [1, 7, 250])
def test_the_client_gets_what_the_model_says(
    client: triton.InferenceServerClient,
    two_runs: list[object],
    test_set: fr.Dataset,
    binary_in: bool,
    binary_out: bool,
    count: int,
) -> None:
    images = test_set.images[:count]
    tensor = triton.InferInput("images", list(images.shape), "UINT8")
    tensor.set_data_from_numpy(images, binary_data=binary_in)

    names = ("probabilities", "label", "doubt", "typical")
    outputs = [triton.InferRequestedOutput(name, binary_data=binary_out) for name in names]
    result = client.infer("second", [tensor], outputs=outputs, request_id="mine")

    expected = fr.load(str(two_runs[1])).classify(images)
    np.testing.assert_allclose(result.as_numpy("probabilities"), expected.probabilities, atol=1e-5)
    assert (result.as_numpy("label") == expected.labels).all()
    assert expected.doubt is not None
    np.testing.assert_allclose(result.as_numpy("doubt"), expected.doubt, atol=0.02)
    np.testing.assert_allclose(result.as_numpy("typical"), 1 - result.as_numpy("doubt"), atol=1e-12)
    assert result.get_response()["id"] == "mine"


def test_without_a_wish_every_output_comes(client: triton.InferenceServerClient, test_set: fr.Dataset) -> None:
    tensor = triton.InferInput("images", [2, 28, 28], "UINT8")
    tensor.set_data_from_numpy(test_set.images[:2])
    result = client.infer("first", [tensor], model_version="1")
    assert result.as_numpy("probabilities").shape == (2, 10)
    assert result.as_numpy("label").dtype == np.int64


def test_the_client_reads_why_it_was_refused(client: triton.InferenceServerClient) -> None:
    tensor = triton.InferInput("images", [1, 8, 8], "UINT8")
    tensor.set_data_from_numpy(np.zeros((1, 8, 8), np.uint8))
    with pytest.raises(triton.InferenceServerException, match=r"UINT8 of shape \[N, 28, 28\] expected"):
        client.infer("first", [tensor])


def test_many_clients_at_once_each_get_their_own_answer(
    server: Running, test_set: fr.Dataset, two_runs: list[object]
) -> None:
    expected = fr.load(str(two_runs[0])).predict(test_set.images[:300])
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}", concurrency=16) as client:
        waiting = []
        for image in test_set.images[:300]:
            tensor = triton.InferInput("images", [1, 28, 28], "UINT8")
            tensor.set_data_from_numpy(image[None])
            waiting.append(client.async_infer("first", [tensor]))
        labels = [answer.get_result().as_numpy("label")[0] for answer in waiting]
    assert labels == expected.tolist()


RIGHT = {"name": "images", "shape": [1, 28, 28], "datatype": "UINT8", "data": [0] * 784}


def test_data_takes_no_more_memory_than_its_text_whatever_it_is(two_runs: list[Path]) -> None:
    model = fr.load(two_runs[0])  # as one text made room for the longest in each of 784 places: 300 MB of 100 KB
    for data in (["a" * 100_000] + [""] * 783, ["a" * 100_000, *[0] * 783], [[["a" * 100_000]], *[[[0]]] * 783]):
        body = json.dumps({"inputs": [RIGHT | {"data": data}]}).encode()
        tracemalloc.start()
        with pytest.raises(Refused, match="784 whole numbers 0–255 as data expected"):
            parse_request(body, None, model)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3_000_000


@pytest.mark.parametrize("data", [[0] * 784, [[0] * 784], np.zeros((1, 28, 28), int).tolist()])
def test_json_data_may_be_flat_or_nested(http: httpx.Client, data: object) -> None:
    answer = http.post("/v2/models/first/infer", json={"inputs": [RIGHT | {"data": data}]})
    assert answer.status_code == 200
    assert sum(answer.json()["outputs"][0]["data"]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b"null",
        b'{"inputs": 7}',
        b'{"inputs": []}',
        b'{"inputs": [7]}',
        b'{"inputs": [' + b"[" * 5_000 + b"]" * 5_000 + b"]}",
        json.dumps({"inputs": [RIGHT, RIGHT]}).encode(),
        json.dumps({"inputs": [RIGHT | {"name": "image"}]}).encode(),
        json.dumps({"inputs": [RIGHT | {"shape": [1, 784]}]}).encode(),
        json.dumps({"inputs": [RIGHT | {"shape": [-1, 28, 28]}]}).encode(),
        json.dumps({"inputs": [RIGHT | {"shape": [True, 28, 28]}]}).encode(),
        json.dumps({"inputs": [RIGHT | {"shape": [10**9, 28, 28]}]}).encode(),
        json.dumps({"inputs": [RIGHT | {"shape": "1,28,28"}]}).encode(),
        json.dumps({"inputs": [RIGHT | {"datatype": "FP32"}]}).encode(),
        json.dumps({"inputs": [RIGHT | {"data": [0] * 783}]}).encode(),
        json.dumps({"inputs": [RIGHT | {"data": [256] * 784}]}).encode(),
        json.dumps({"inputs": [RIGHT | {"data": [-1] * 784}]}).encode(),
        json.dumps({"inputs": [RIGHT | {"data": [0.5] * 784}]}).encode(),
        json.dumps({"inputs": [RIGHT | {"data": [None] * 784}]}).encode(),
        json.dumps({"inputs": [RIGHT | {"data": ["0"] * 784}]}).encode(),
        json.dumps({"inputs": [RIGHT | {"data": [[0], [0, 0]]}]}).encode(),
        json.dumps({"inputs": [RIGHT | {"data": None}]}).encode(),
        json.dumps({"inputs": [RIGHT | {"parameters": {"binary_data_size": 784}}]}).encode(),
        json.dumps({"inputs": [RIGHT], "outputs": [{"name": "secrets"}]}).encode(),
        json.dumps({"inputs": [RIGHT], "outputs": 7}).encode(),
        json.dumps({"inputs": [RIGHT], "outputs": [{"name": ["label"]}]}).encode(),
        json.dumps({"inputs": [RIGHT], "parameters": 7}).encode(),
        json.dumps({"inputs": [RIGHT], "id": 7}).encode(),
        b'{"inputs": [{"name": "images", "shape": [1, 28, 28], "datatype": "UINT8", "data": [1e999]}]}',
    ],
)
def test_a_wrong_request_is_answered_as_the_clients_mistake(http: httpx.Client, body: bytes) -> None:
    answer = http.post("/v2/models/first/infer", content=body)
    assert answer.status_code == 400
    assert "expected" in answer.json()["error"]


@pytest.mark.parametrize("length", ["-1", "x", "99999999", "1" * 5_000, "٣"])
def test_a_wrong_length_of_the_json_is_refused(server: Running, length: str) -> None:
    head = json.dumps({"inputs": [RIGHT]}).encode()
    with server.client() as http:
        headers = {b"Inference-Header-Content-Length": length.encode()}
        assert http.post("/v2/models/first/infer", content=head, headers=headers).status_code == 400


@pytest.mark.parametrize(
    "path", ["/v2/models/third", "/v2/models/first/versions/2/ready", "/v2/models/%2e%2e/infer", "/v2/x"]
)
def test_what_is_not_there_is_a_json_404(http: httpx.Client, path: str) -> None:
    answer = http.get(path)
    assert answer.status_code in (404, 405)
    assert answer.json()["error"]
