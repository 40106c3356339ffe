"""Sentiment in Gradio; the port is the argument, the model a file that MODEL names."""

import os
import sys

import gradio
import joblib

model = joblib.load(os.environ["MODEL"])


def predict(text: str) -> dict[str, float]:
    return dict(zip(model.classes_, model.predict_proba([text])[0], strict=True))


gradio.Interface(
    predict,
    gradio.Textbox(label="Text"),
    gradio.Label(),
    live=True,
    title="sentiment",
).launch(server_name="127.0.0.1", server_port=int(sys.argv[1]), quiet=True)
