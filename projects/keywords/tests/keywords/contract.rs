//! The schemas of requests and responses, which clients rely on.

use mesh_core::Registration;
use mesh_project_keywords::{Keywords, Parameters};
use serde_json::{Value, json};

use crate::support::ask;

#[test]
fn the_schema_tells_defaults_and_ranges() {
    let schema = Registration::of::<Keywords>("keywords").schema();
    let attributes = schema.attributes.to_value();
    assert_eq!(attributes["required"], json!(["content"]));
    assert_eq!(attributes["additionalProperties"], false);

    let parameters = schema.parameters.to_value();
    assert_eq!(parameters["additionalProperties"], false);
    assert_eq!(parameters.get("required"), None);
    let of = |name: &str, key: &str| parameters["properties"][name][key].clone();
    let defaults = [
        ("language", json!("en")),
        ("keyphrase_ngram_range", json!([1, 3])),
        ("top_n", json!(10)),
        ("diversity", json!(0.35)),
        ("use_mmr", json!(true)),
        ("use_maxsum", json!(false)),
        ("nr_candidates", json!(20)),
        ("seed_keywords", Value::Null),
        ("candidates", Value::Null),
    ];
    assert_eq!(parameters["properties"].as_object().unwrap().len(), defaults.len());
    for (name, default) in defaults {
        assert_eq!(of(name, "default"), default, "{name}");
    }
    assert_eq!((of("top_n", "minimum"), of("nr_candidates", "minimum")), (json!(1), json!(1)));
    let [least, most] = ["minimum", "maximum"].map(|key| of("diversity", key).as_f64());
    assert_eq!((least, most), (Some(0.0), Some(1.0)));
    let range = &parameters["properties"]["keyphrase_ngram_range"];
    assert_eq!((&range["minItems"], &range["maxItems"]), (&json!(2), &json!(2)));
    let words = &range["items"];
    assert_eq!((&words["minimum"], &words["maximum"]), (&json!(1), &json!(8)));
    assert_eq!(of("candidates", "maxItems"), 2_000);
    assert_eq!(of("seed_keywords", "maxItems"), 100);
}

#[test]
fn a_prediction_has_exactly_the_keys_of_its_schema() {
    let answer = ask("Interest rates", Parameters::default()).unwrap();
    let answer = serde_json::to_value(answer).unwrap();
    assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), ["keywords"]);
    for keyword in answer["keywords"].as_array().unwrap() {
        let keys: Vec<_> = keyword.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["keyword_score", "keyword_token"]);
    }
    let schema = Registration::of::<Keywords>("keywords").schema().prediction.to_value();
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["$defs"]["Keyword"]["additionalProperties"], false);
    assert_eq!(schema["$defs"]["Keyword"]["required"], json!(["keyword_token", "keyword_score"]));
}

#[test]
fn unknown_keys_and_wrong_types_are_no_parameters() {
    for wrong in [
        json!({"topn": 5}),
        json!({"top_n": -1}),
        json!({"top_n": 1.5}),
        json!({"keyphrase_ngram_range": [1]}),
        json!({"keyphrase_ngram_range": [1, 2, 3]}),
        json!({"keyphrase_ngram_range": [1, 300]}),
        json!({"diversity": null}),
        json!({"seed_keywords": "bank"}),
    ] {
        assert!(serde_json::from_value::<Parameters>(wrong.clone()).is_err(), "{wrong}");
    }
    let nothing = json!({"seed_keywords": null, "candidates": null});
    assert_eq!(serde_json::from_value::<Parameters>(nothing).unwrap(), Parameters::default());
}
