//! What is found in an archive, beside the plain way: every pair of rows is compared.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

use mesh_archive::{Archive, ArchiveErrorKind, Columns, Dedup, Duplicates, Unfinished, Watch};
use mesh_core::{Cancel, NoProgress};
use mesh_minhash::Options;
use proptest::prelude::*;

type Found = Vec<(u64, u64, f64, bool)>;

fn columns() -> Columns {
    Columns { text: "text".into(), key: None }
}

fn watch(cancel: &Cancel) -> Watch<'_> {
    Watch { progress: &NoProgress, cancel }
}

fn run(path: &Path, options: Options, threads: usize) -> (Duplicates, Found) {
    let archive = Archive::open(path).unwrap();
    let mut pairs = Vec::new();
    let found =
        Dedup { options, threads }.run(&archive, &columns(), watch(&Cancel::new()), |pair| {
            pairs.push((pair.first.row, pair.second.row, pair.similarity, pair.exact));
            Ok(())
        });
    (found.unwrap(), pairs)
}

fn shingles(text: &str, count: usize) -> BTreeSet<Vec<String>> {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    if words.is_empty() {
        return BTreeSet::new();
    }
    words.windows(count.min(words.len())).map(<[String]>::to_vec).collect()
}

fn jaccard(one: &str, two: &str, count: usize) -> f64 {
    let (one, two) = (shingles(one, count), shingles(two, count));
    one.intersection(&two).count() as f64 / one.union(&two).count() as f64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn whatever_is_found_is_there_and_whatever_goes_has_its_like(
        texts in prop::collection::vec(
            prop::collection::vec("[abAB]|cd", 0..14).prop_map(|words| words.join(" ")),
            0..40,
        ),
        shingle in 1usize..4,
    ) {
        // Of pairs at the threshold some may be missed; at 0.6 and above, one in ten million.
        let options = Options { shingle, threshold: 0.5, permutations: 1024 };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tsv");
        let mut table = String::from("text\tn\n");
        for text in &texts {
            writeln!(table, "{text}\t1").unwrap();
        }
        fs::write(&path, table).unwrap();
        let (found, mut pairs) = run(&path, options, 2);
        let mut expected = Found::new();
        for (second, text) in texts.iter().enumerate() {
            if let Some(first) = texts[..second].iter().position(|other| other == text) {
                if !text.is_empty() {
                    expected.push((first as u64, second as u64, 1.0, true));
                }
                continue;
            }
            for first in 0..second {
                let is_copy = texts[..first].contains(&texts[first]);
                let similarity = jaccard(&texts[first], text, shingle);
                if !is_copy && similarity >= 0.5 {
                    expected.push((first as u64, second as u64, similarity, false));
                }
            }
        }
        pairs.sort_by_key(|pair| (pair.1, pair.0));
        expected.retain(|pair| pair.2 >= 0.6 || pairs.contains(pair));
        prop_assert_eq!(&pairs, &expected);
        let mut dropped = vec![false; texts.len()];
        for (first, second, _, exact) in &pairs {
            dropped[*second as usize] |= *exact || !dropped[*first as usize];
        }
        for (row, dropped) in dropped.iter().enumerate() {
            prop_assert_eq!(found.is_dropped(row as u64), *dropped);
        }
        let gone = dropped.iter().filter(|dropped| **dropped).count() as u64;
        prop_assert_eq!(found.remaining(), texts.len() as u64 - gone);
        let exact = pairs.iter().filter(|pair| pair.3).count() as u64;
        prop_assert_eq!((found.copies, found.pairs), (exact, pairs.len() as u64 - exact));
        // Groups are what pairs connect.
        let mut sets: Vec<BTreeSet<u64>> = Vec::new();
        for (first, second, ..) in pairs {
            let mut merged = BTreeSet::from([first, second]);
            sets.retain(|set| {
                let apart = set.is_disjoint(&merged);
                if !apart {
                    merged.extend(set);
                }
                apart
            });
            sets.push(merged);
        }
        prop_assert_eq!(found.groups, sets.len() as u64);
    }
}

#[test]
fn an_archive_that_changed_meanwhile_is_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    fs::write(&path, "{\"text\": \"a b c\"}\n").unwrap();
    let (found, _) = run(&path, Options::default(), 1);
    fs::write(&path, "{\"text\": \"a b c\"}\n{\"text\": \"a b c\"}\n").unwrap();
    let output = folder.path().join("b.jsonl");
    let unfinished = Unfinished::create(&output).unwrap();
    let archive = Archive::open(&path).unwrap();
    let error = found.copy(&archive, &unfinished, watch(&Cancel::new())).unwrap_err();
    assert_eq!(error.kind, ArchiveErrorKind::Changed);
    drop(unfinished);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_takes_the_pairs_may_fail_and_that_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    fs::write(&path, "{\"text\": \"a b c\"}\n".repeat(20_000)).unwrap();
    let archive = Archive::open(&path).unwrap();
    let cancel = Cancel::new();
    let search = Dedup { threads: 3, ..Dedup::default() };
    let ended = search.run(&archive, &columns(), watch(&cancel), |_| {
        cancel.cancel();
        Ok(())
    });
    assert_eq!(ended.unwrap_err().kind, ArchiveErrorKind::Interrupted);
}
