use serde_json::{Value, json};

use super::*;

/// Answers with what it was asked.
struct Echo;

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Asked {
    content: String,
    kind: Option<String>,
    mood: Option<Mood>,
    number: Option<f32>,
    any: Option<OneOrMany>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Mood {
    VeryGood,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
struct Nothing {}

impl Project for Echo {
    type Attributes = Asked;
    type Parameters = Nothing;
    type Prediction = Asked;

    fn load(_: &ModelFiles) -> Result<Self, LoadError> {
        Ok(Self)
    }

    fn sample() -> Asked {
        Asked { content: "a".into(), kind: None, mood: None, number: None, any: None }
    }

    fn check(&self, asked: &Asked) -> Vec<FieldError> {
        let wrong = asked.content == "wrong";
        wrong.then(|| FieldError::new(&["data"], "invalid", "wrong")).into_iter().collect()
    }

    fn predict(&self, batch: &[Example<Asked, Nothing>]) -> Vec<Result<Answer<Asked>, Refusal>> {
        batch.iter().map(|example| Ok(example.attributes.clone().into())).collect()
    }
}

#[test]
fn texts_are_parsed_as_their_json_is_or_not_at_all() {
    let told = |input: Input| -> Value {
        let answer = Loaded(Echo).predict(vec![input]).remove(0).unwrap();
        serde_json::from_str(&answer.prediction).unwrap()
    };
    let cases: [(&[(&str, &str)], bool); 11] = [
        (&[("content", "a \"b\" \\ \n\u{1} é \u{1f600}")], true),
        (&[("content", "")], true),
        (&[("content", "a"), ("any", "b")], false),
        (&[("content", "a"), ("kind", "b")], false),
        (&[("content", "a"), ("mood", "very-good")], false),
        (&[("content", "a"), ("mood", "sad")], false),
        (&[("content", "a"), ("number", "1")], false),
        (&[("content", "a"), ("other", "b")], false),
        (&[("kind", "b")], false),
        (&[("content", "wrong")], false),
        (&[], false),
    ];
    for (texts, parsed) in cases {
        let object: serde_json::Map<String, Value> =
            texts.iter().map(|(name, text)| ((*name).to_owned(), json!(text))).collect();
        let json = Loaded(Echo).parse(&Value::Object(object).to_string(), None);
        let found = Loaded(Echo).parse_texts(texts);
        assert!(found.is_some() || !parsed, "{texts:?}");
        if let Some(found) = found {
            assert_eq!(told(found), told(json.ok().unwrap()), "{texts:?}");
        }
    }
}
