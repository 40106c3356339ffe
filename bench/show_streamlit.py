"""Sentiment in Streamlit; the model is a file that MODEL names."""

import os

import joblib
import streamlit


@streamlit.cache_resource
def load():
    return joblib.load(os.environ["MODEL"])


streamlit.title("sentiment")
text = streamlit.text_area("Text")
if text:
    model = load()
    scores = dict(zip(model.classes_, model.predict_proba([text])[0], strict=True))
    streamlit.bar_chart(scores, horizontal=True)
