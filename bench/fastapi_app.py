"""What a team would write today: the same route and envelope in FastAPI, with scikit-learn."""

import os

import joblib
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict

model = joblib.load(os.environ["MODEL"])
labels = list(model.classes_)
app = FastAPI()


class Attributes(BaseModel):
    model_config = ConfigDict(extra="forbid")
    content: str


class Data(BaseModel):
    model_config = ConfigDict(extra="forbid")
    identifier: str | None = None
    namespace: str
    attributes: Attributes


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid")
    data: Data


class Label(BaseModel):
    label: str
    score: float


class Prediction(BaseModel):
    labels: list[Label]


class ResponseData(BaseModel):
    identifier: str | None
    namespace: str
    attributes: Prediction


class Response(BaseModel):
    version: int
    data: ResponseData


@app.get("/news-topic/v1/ready")
async def ready() -> dict[str, bool]:
    return {"ready": True}


@app.post("/news-topic/v1/predict")
async def predict(request: Request) -> Response:
    # Not in a thread: with one worker on one core that is faster for work of this size.
    scores = model.predict_proba([request.data.attributes.content])[0]
    ranked = sorted(zip(labels, scores), key=lambda pair: -pair[1])
    prediction = Prediction(labels=[Label(label=l, score=s) for l, s in ranked])
    data = ResponseData(
        identifier=request.data.identifier,
        namespace=request.data.namespace,
        attributes=prediction,
    )
    return Response(version=1, data=data)
