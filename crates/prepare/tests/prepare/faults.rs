//! Disks that are full, people who press Ctrl-C, and the same bytes each time.

use std::{collections::BTreeMap, fs, os::unix::fs::symlink};

use mesh_core::{ArtifactKind, Step, StepErrorKind, StepName, StepOutput};

use crate::support::{Bench, CSV, csv, step, tell};

fn output(bench: &Bench, name: &str) -> StepOutput {
    let output =
        StepOutput { dir: bench.path(name).join("out"), scratch: bench.path(name).join("scratch") };
    fs::create_dir_all(&output.dir).unwrap();
    fs::create_dir_all(&output.scratch).unwrap();
    output
}

#[test]
fn a_full_disk_is_told_wherever_it_is_met() {
    let bench = Bench::new(&[("d.csv", csv(3000) + "one column\n")]);
    let files = [
        "scratch/staged.parquet",
        "scratch/facts.bin",
        "scratch/shingles.bin",
        "scratch/shingle-ends.bin",
        "out/rejected.jsonl",
        "out/train.parquet",
        "out/test.parquet",
        "out/schema.json",
        "out/statistics.json",
    ];
    for file in files {
        let output = output(&bench, file);
        symlink("/dev/full", bench.path(file).join(file)).unwrap();
        let error = bench.run_in(CSV, &output).unwrap_err();
        assert_eq!(error.kind, StepErrorKind::Failed);
        let told = tell(&error);
        assert!(
            told.contains("the disk is full") && told.contains("free some space"),
            "{file}: {told}"
        );
    }
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let bench = Bench::new(&[("d.csv", csv(50))]);
    let output = StepOutput { dir: bench.path("nowhere"), scratch: bench.path("nowhere") };
    let told = tell(&bench.run_in(CSV, &output).unwrap_err());
    assert!(told.contains("shingles.bin cannot be written"), "{told}");
}

#[test]
fn a_cancelled_step_is_interrupted() {
    let bench = Bench::new(&[("d.csv", csv(50))]);
    bench.cancel.cancel();
    assert_eq!(bench.run(CSV).unwrap_err().kind, StepErrorKind::Interrupted);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let mut bench = Bench::new(&[("d.csv", csv(5000) + &csv(100))]);
    let mut bytes = |name: &str, threads| -> BTreeMap<String, Vec<u8>> {
        bench.threads = threads;
        let output = output(&bench, name);
        let dir = output.dir.clone();
        bench.run_in(CSV, &output).unwrap();
        fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
            })
            .collect()
    };
    let one = bytes("one", 1);
    let names: Vec<_> = one.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "rejected.jsonl",
            "schema.json",
            "statistics.json",
            "test.parquet",
            "train.parquet",
            "validation.parquet"
        ]
    );
    assert!(one == bytes("two", 1) && one == bytes("three", 3));
}

#[test]
fn parameters_hold_what_matters_and_not_where_it_comes_from() {
    let one = step("format = \"csv\"");
    assert_eq!((one.name(), one.produces()), (StepName::Prepare, ArtifactKind::Dataset));
    let parameters = one.parameters();
    assert!(
        parameters["source"].get("url").is_none() && parameters["source"].get("sha256").is_none()
    );
    assert_eq!(parameters["source"]["format"], "csv");
    assert_ne!(parameters, step("format = \"csv\"\n[prepare]\nsplit = { seed = 1 }").parameters());
    assert_ne!(parameters, step("format = \"csv\"\nlabels = { allowed = [\"a\"] }").parameters());
}
