"""A FastAPI and torch server as one writes it in twenty lines, to compare with. Called as: RUN PORT."""

import sys

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

import fittingroom as fr

artifact = fr.open_run(sys.argv[1]).artifact
network, norm = artifact.network(), artifact.normalization
app = FastAPI()


class Image(BaseModel):
    data: list[list[int]]


@app.post("/predict")
def predict(image: Image) -> dict[str, object]:
    x = torch.tensor(image.data).float().sub(norm.mean).div(norm.std)
    with torch.inference_mode():
        probabilities = network(x[None, None]).softmax(1)[0]
    return {"label": int(probabilities.argmax()), "probabilities": probabilities.tolist()}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[2]), log_level="warning")
