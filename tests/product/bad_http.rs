//! Requests that cannot be answered, and clients that misbehave.

use std::io::{Read, Write};

use serde_json::Value;

use crate::support::{Answer, Workspace, predict_body, signal, until, wait};

fn served() -> (Workspace, crate::support::Serving) {
    let workspace = Workspace::with_reviews(150);
    workspace.mesh(["run", "reviews"]).ok();
    // Slow clients are given up soon.
    workspace.edit("projects/reviews/project.toml", "[serve]", "[serve]\ntimeout_ms = 1000");
    let serving = workspace.serve();
    (workspace, serving)
}

#[test]
fn every_bad_request_gets_a_reason_and_the_service_stays_up() {
    let (_workspace, serving) = served();
    let good = predict_body("reviews", "a perfect delight");
    let route = "/reviews/v1/predict";
    let post = |body: &str| serving.post(route, body);
    let data = |inner: &str| format!(r#"{{"data":{{"namespace":"reviews",{inner}}}}}"#);
    let content = |value: &str| data(&format!(r#""attributes":{{"content":{value}}}"#));
    let first = |problem: Value| {
        let error = problem["errors"][0].clone();
        let loc: Vec<_> = error["loc"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p.as_str().unwrap().to_owned())
            .collect();
        (loc.join("."), error["type"].as_str().unwrap().to_owned())
    };

    for body in ["", "not json", "{\"data\":", "[1,2", &format!("{good} trailing"), "\u{0}"] {
        post(body).is_problem(400, "not-json");
    }
    serving.post(route, b"{\"data\":\"\xff\"}").is_problem(400, "not-json");
    let schema: [(&str, &str, &str); 12] = [
        ("{}", "data", "missing"),
        ("[{\"namespace\":\"reviews\"}]", "", "invalid"),
        ("{\"data\":{}}", "data.namespace", "missing"),
        (&data("\"attributes\":{}"), "data.attributes.content", "missing"),
        (&content("3"), "data.attributes.content", "invalid"),
        (&content("null"), "data.attributes.content", "invalid"),
        (&data("\"attributes\":[\"a\"]"), "data.attributes", "invalid"),
        (&data("\"attributes\":{\"content\":\"a\",\"x\":1}"), "data.attributes.x", "unknown"),
        (
            &data("\"attributes\":{\"content\":\"a\"},\"parameters\":{\"y\":1}"),
            "data.parameters.y",
            "unknown",
        ),
        (&data("\"attributes\":{\"content\":\"a\"},\"z\":1"), "data.z", "unknown"),
        (&good.replace("\"reviews\"", "\"other\""), "data.namespace", "invalid"),
        (
            &data("\"attributes\":{\"content\":\"a\"},\"identifier\":5"),
            "data.identifier",
            "invalid",
        ),
    ];
    for (body, loc, kind) in schema {
        let told = first(post(body).is_problem(422, "schema"));
        assert_eq!(told, (loc.to_owned(), kind.to_owned()), "{body}");
    }
    for empty in ["\"\"", "\" \\n\\t \""] {
        post(&content(empty)).is_problem(422, "empty-text");
    }
    let deep = format!("{}1{}", "[".repeat(2000), "]".repeat(2000));
    post(&content(&deep)).is_problem(422, "schema");
    assert_eq!(post(&deep).status / 100, 4);
    let huge = content(&format!("\"{}\"", "word ".repeat(2_000_000)));
    post(&huge).is_problem(413, "too-large");
    let plain = format!(
        "POST {route} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: text/plain\r\n\
         content-length: {}\r\n\r\n{good}",
        good.len()
    );
    serving.raw(plain.as_bytes()).is_problem(415, "media-type");
    serving.get(route).is_problem(405, "method-not-allowed");
    for path in [
        "/nothing/v1/predict",
        "/reviews/v2/predict",
        "/reviews/one/predict",
        "/reviews/v01/predict",
        "/%ff/v1/predict",
        "/reviews",
        "/../etc/passwd",
    ] {
        assert_eq!(serving.post(path, &good).status, 404, "{path}");
    }
    // Whatever the text is, there is an answer.
    for text in ["\\ud83d\\ude00", "العربية", "a\\u0301", "\\u202e"] {
        assert_eq!(post(&content(&format!("\"{text}\""))).status, 200, "{text}");
    }
    post(&content("\"\\u0000\\u0001\"")).is_problem(422, "empty-text");
    assert_eq!(serving.raw(b"\x16\x03\x01 no http\r\n\r\n").status / 100, 4);

    let answer = post(&good);
    assert_eq!(answer.status, 200);
    let answer = answer.json();
    assert_eq!(answer["version"], 1);
    assert_eq!(answer["data"]["identifier"], "doc-1");
    assert_eq!(answer["data"]["namespace"], "reviews");
    let keys: Vec<_> = answer["data"]["attributes"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["labels"]);
    assert!(post(&data("\"attributes\":{\"content\":\"a\"},\"parameters\":null")).status == 200);

    let metrics = serving.get("/metrics");
    assert!(metrics.head.contains("application/openmetrics-text"), "{metrics:?}");
    for line in [
        "type=\"empty-text\"} 3",
        "mesh_errors_total{project=\"reviews\",api_version=\"1\",type=\"schema\"}",
        "mesh_queue_seconds_bucket",
        "mesh_batch_size_count",
        "mesh_requests_in_progress{project=\"reviews\",api_version=\"1\"} 0",
    ] {
        assert!(metrics.body.contains(line), "{line}\n{}", metrics.body);
    }
    assert!(metrics.body.ends_with("# EOF\n"));
}

#[test]
fn slow_and_half_closed_clients_do_no_harm() {
    let (_workspace, serving) = served();
    let good = predict_body("reviews", "a perfect delight");
    let head = format!(
        "POST /reviews/v1/predict HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        good.len()
    );
    // Fifty clients that send half and wait, and fifty that say nothing at all.
    let mut slow: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = serving.connect();
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&good.as_bytes()[..10]).unwrap();
            stream
        })
        .collect();
    let mut silent: Vec<_> = (0..50).map(|_| serving.connect()).collect();
    // One of them seems to begin to speak HTTP/2.
    silent[0].write_all(b"PRI * HT").unwrap();
    assert_eq!(serving.post("/reviews/v1/predict", &good).status, 200);
    for stream in &mut slow {
        Answer::read(stream).is_problem(408, "request-timeout");
    }
    // A client that has sent all and closed its side still gets its answer.
    let mut stream = serving.connect();
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(good.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(Answer::read(&mut stream).status, 200);
    // One that closes in the middle of its body harms nobody.
    let mut stream = serving.connect();
    stream.write_all(head.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(serving.post("/reviews/v1/predict", &good).status, 200);
    // Who says nothing does not hold a connection for ever.
    for stream in &mut silent {
        stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
        match stream.read(&mut [0]) {
            Ok(read) => assert_eq!(read, 0),
            // What it had said was not read.
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
}

#[test]
fn a_full_queue_says_when_to_come_back() {
    let (workspace, serving) = served();
    drop(serving);
    let narrow = "max_queue = 1\nmax_batch = 1\nworkers = 1\ntimeout_ms = 60000";
    workspace.edit("projects/reviews/project.toml", "timeout_ms = 1000", narrow);
    let serving = workspace.serve();
    // Long texts keep the only worker busy.
    let body = predict_body("reviews", &"a perfect delight ".repeat(50_000));
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let ask = || serving.post("/reviews/v1/predict", &body);
        let asked: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    let (full, answered): (Vec<_>, Vec<_>) = answers.iter().partition(|a| a.status == 429);
    assert!(!full.is_empty() && answered.iter().all(|answer| answer.status == 200));
    for answer in full {
        answer.is_problem(429, "queue-full");
        assert!(answer.head.contains("retry-after: 1"), "{answer:?}");
    }
}

#[test]
fn a_client_that_sends_all_before_it_reads_is_told_that_it_is_too_much() {
    let (_workspace, serving) = served();
    let length = 20 << 20;
    let head = |length: &str| {
        format!(
            "POST /reviews/v1/predict HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
             content-type: application/json\r\n{length}\r\n\r\n"
        )
    };
    let mut announced = serving.connect();
    announced.write_all(head(&format!("content-length: {length}")).as_bytes()).unwrap();
    announced.write_all(&vec![b' '; length]).unwrap();
    Answer::read(&mut announced).is_problem(413, "too-large");
    let mut chunked = serving.connect();
    chunked.write_all(head("transfer-encoding: chunked").as_bytes()).unwrap();
    chunked.write_all(format!("{length:x}\r\n").as_bytes()).unwrap();
    chunked.write_all(&vec![b' '; length]).unwrap();
    chunked.write_all(b"\r\n0\r\n\r\n").unwrap();
    Answer::read(&mut chunked).is_problem(413, "too-large");
}

#[test]
fn what_a_service_tells_of_itself() {
    let (_workspace, serving) = served();
    assert_eq!(serving.get("/reviews/v1/live").json(), serde_json::json!({ "live": true }));
    assert_eq!(serving.get("/reviews/v1/ready").json(), serde_json::json!({ "ready": true }));
    let bio = serving.get("/reviews/v1/bio").json();
    assert_eq!(bio["data"]["attributes"]["model_name"], "reviews");
    let card = &bio["data"]["attributes"]["model_card"];
    assert_eq!(card["version"], 1);
    assert!(card["card"]["metrics"]["accuracy"]["low"].is_number(), "{card}");
    assert_eq!(card["targets"][0]["target"], "portable-f16");
    assert!(!bio.to_string().contains("/tmp/"), "a path is told: {bio}");

    let openapi = serving.get("/reviews/v1/openapi.json").json();
    assert_eq!(openapi["openapi"], "3.1.0");
    assert!(openapi["paths"]["/reviews/v1/predict"]["post"].is_object());
    let text = openapi.to_string();
    // Every reference leads somewhere.
    for part in text.split("\"$ref\":\"#").skip(1) {
        let pointer = part.split('"').next().unwrap();
        assert!(openapi.pointer(pointer).is_some(), "{pointer}");
    }
    // The example of the document is answered.
    let example = openapi["components"]["schemas"]["PredictRequest"]["examples"][0].to_string();
    assert_eq!(serving.post("/reviews/v1/predict", example).status, 200);

    let docs = serving.get("/reviews/v1/docs");
    assert!(docs.head.contains("content-security-policy: default-src 'none'"), "{docs:?}");
    for outside in ["http://", "https://", "//cdn"] {
        let body = docs.body.replace("http://localhost:8080", "");
        assert!(!body.contains(outside), "{outside}");
    }
    assert_eq!(serving.get("/assets/docs.js").status, 200);
    assert_eq!(serving.get("/").status, 200);
}

#[test]
fn requests_under_way_are_answered_when_it_ends() {
    let (_workspace, mut serving) = served();
    let good = predict_body("reviews", "a perfect delight");
    let head = format!(
        "POST /reviews/v1/predict HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        good.len()
    );
    let mut streams: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = serving.connect();
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&good.as_bytes()[..good.len() - 1]).unwrap();
            stream
        })
        .collect();
    until("the requests are under way", || {
        serving
            .get("/metrics")
            .body
            .contains("requests_in_progress{project=\"reviews\",api_version=\"1\"} 8")
    });
    signal(&serving.child, "TERM");
    until("no new connections are taken", || {
        std::net::TcpStream::connect(&serving.address).is_err()
    });
    for stream in &mut streams {
        stream.write_all(&good.as_bytes()[good.len() - 1..]).unwrap();
        let mut start = [0; 15];
        stream.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"HTTP/1.1 200 OK");
    }
    drop(streams);
    assert_eq!(wait(&mut serving.child), 0);
}

#[test]
fn a_busy_port_is_told() {
    let (workspace, serving) = served();
    let port = serving.address.rsplit(':').next().unwrap();
    workspace
        .mesh(["serve", "--port", port])
        .code(1)
        .tells(["another program listens there", "--port"]);
    assert_eq!(serving.terminate(), 0);
}
