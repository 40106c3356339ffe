//! Who gets what.

use std::collections::{BTreeMap, BTreeSet};

use mesh_dataset::SplitName;
use proptest::prelude::*;

use crate::support::{Bench, CSV, csv, rows};

#[test]
fn shares_are_exact_and_labels_are_spread_alike() {
    let made = Bench::new(&[("d.csv", csv(1000))]).run(CSV).unwrap();
    made.check();
    let rows = SplitName::ALL.map(|split| made.rows(split));
    assert_eq!(rows, [800, 100, 100]);
    for (split, expected) in [("train", 267.2), ("validation", 33.4), ("test", 33.4)] {
        let found = made.statistics.splits[split].labels["a"] as f64;
        assert!((found - expected).abs() < 1.5, "{split} {found}");
    }
}

#[test]
fn many_labels_with_few_rows_each_reach_all_splits() {
    let data: String = rows(500)
        .iter()
        .enumerate()
        .map(|(n, (_, text, _))| format!("{text},l{}\n", n % 100))
        .collect();
    let made = Bench::new(&[("d.csv", data)])
        .run("format = \"csv\"\nheader = [\"text\", \"label\"]")
        .unwrap();
    assert_eq!(SplitName::ALL.map(|split| made.rows(split)), [400, 50, 50]);
    assert_eq!(made.statistics.splits["train"].labels.len(), 100);
}

#[test]
fn a_seed_changes_the_splits_and_other_rows_hardly_do() {
    let test = |data: String, seed: u64| -> BTreeSet<String> {
        let manifest = format!("{CSV}[prepare]\nsplit = {{ seed = {seed} }}");
        let made = Bench::new(&[("d.csv", data)]).run(&manifest).unwrap();
        made.splits[&SplitName::Test].iter().map(|d| d.id.clone()).collect()
    };
    let (one, two) = (test(csv(1000), 1), test(csv(1000), 2));
    assert!(one.intersection(&two).count() < 30);
    let more = test(csv(1010), 1);
    assert!(one.intersection(&more).count() > 90);
}

#[test]
fn a_text_is_kept_once_and_other_labels_of_it_are_told() {
    let (_, text, _) = rows(1).remove(0);
    let data = format!("{}again,{text},a\nother,{text},b\n", csv(100));
    let made = Bench::new(&[("d.csv", data.clone())]).run(CSV).unwrap();
    made.check();
    let found = &made.statistics.duplicates;
    assert_eq!((found.texts, found.dropped, found.conflicting_labels), (1, 2, 1));
    assert_eq!(made.find("id0").unwrap().1.label.as_deref(), Some("a"));

    // Kept several times if asked for, but on one side.
    let manifest =
        format!("{CSV}[prepare]\ndeduplicate = {{ exact = false, near = {{ enabled = false }} }}");
    let made = Bench::new(&[("d.csv", data)]).run(&manifest).unwrap();
    made.check();
    assert_eq!(made.all().count(), 102);
    let sides: BTreeSet<_> = ["id0", "again", "other"].map(|id| made.find(id).unwrap().0).into();
    assert_eq!(sides.len(), 1);
}

/// A long text, with its n-th word changed.
fn variant(of: usize, n: usize) -> String {
    (0..200).map(|k| if k == n { "changed ".to_owned() } else { format!("w{of}k{k} ") }).collect()
}

#[test]
fn near_duplicates_are_on_one_side() {
    let rows: String = (0..40)
        .flat_map(|of| (0..4).map(move |n| (of, n)))
        .map(|(of, n)| {
            format!(
                "v{of}n{n},{},{}\n",
                variant(of, n * 50 + 200 * usize::from(n == 0)),
                ["a", "b"][of % 2]
            )
        })
        .collect();
    let made = Bench::new(&[("d.csv", csv(200) + &rows)]).run(CSV).unwrap();
    made.check();
    let found = &made.statistics.leakage;
    assert!(found.clusters == 40 && found.documents == 160 && found.largest == 4, "{found:?}");
    assert!(found.across_splits > 10 && found.moved > 10 && found.dropped == 0, "{found:?}");
    assert_eq!(found.examples.len(), 5);
    for example in &found.examples {
        // One changed word is in 5 of 196 shingles: 191 of 201 are in both texts, or 186 of 206.
        let far = |exact: f64| (example.similarity - exact).abs() > 1e-9;
        let exact = !(far(191.0 / 201.0) && far(186.0 / 206.0));
        assert!(exact && example.first.starts_with("d.csv:"), "{example:?}");
    }
    let mut apart = 0;
    for of in 0..40 {
        let sides: BTreeSet<_> = (0..4)
            .filter_map(|n| made.find(&format!("v{of}n{n}")))
            .map(|(split, _)| split)
            .collect();
        apart += usize::from(sides.len() > 1);
    }
    assert_eq!(apart, 0);
    assert!((made.rows(SplitName::Train) as i64 - 288).abs() <= 4);
}

#[test]
fn near_duplicates_are_told_by_their_shingles_not_by_an_estimate() {
    // Pairs of texts of 196 shingles, of which each changed word takes five: four leave 176 of
    // 216 in common, which is .815, and five leave 171 of 221, which is .774.
    let pairs = |changed: usize| -> String {
        let text = |of: usize, changed: usize| -> String {
            let word = |k: usize| match k % 10 == 9 && k / 10 < changed {
                true => "changed ".to_owned(),
                false => format!("w{of}k{k} "),
            };
            (0..200).map(word).collect()
        };
        (0..40)
            .flat_map(|of| [(of, 0), (of, changed)])
            .map(|(of, n)| format!("v{of}n{n},{},{}\n", text(of, n), ["a", "b"][of % 2]))
            .collect()
    };
    let clusters = |changed| {
        let made = Bench::new(&[("d.csv", csv(200) + &pairs(changed))]).run(CSV).unwrap();
        made.statistics.leakage.clusters
    };
    assert_eq!(clusters(5), 0);
    assert!(clusters(4) >= 37);
}

#[test]
fn texts_without_words_are_not_alike() {
    let faces = [":-)", ":-(", ";-)", "!!!", "???", "...", ":-|", "8-<", "=(", "=)"]
        .map(|f| format!("{f},{f},a\n"));
    let made = Bench::new(&[("d.csv", csv(100) + &faces.concat())]).run(CSV).unwrap();
    made.check();
    assert_eq!(made.statistics.leakage.clusters, 0);
}

#[test]
fn a_given_test_split_stays_whole() {
    let texts = rows(60);
    let copy = &texts[5].1;
    let test = format!(
        "id,text,label\nt0,{copy},a\nt1,{},b\nt2,its own text,a\nt2b,its own text,a\n",
        variant(1, 10)
    );
    let validation =
        format!("id,text,label\nv0,{copy},a\nv1,{},b\nv2,its other text,a\n", variant(1, 20));
    let train = format!("{}n0,{},b\n", csv(60), variant(1, 200));
    let files = [("d/test.csv", test), ("d/valid.csv", validation), ("d/train.csv", train)];
    let splits =
        "splits = { train = \"d/train.csv\", validation = \"d/valid.csv\", test = \"d/test.csv\" }";
    let made = Bench::new(&files).run(&format!("{CSV}{splits}")).unwrap();
    made.check();
    let ids = |split| made.splits[&split].iter().map(|d| d.id.as_str()).collect::<Vec<_>>();
    assert_eq!(ids(SplitName::Test), ["t0", "t1", "t2"]);
    assert_eq!(ids(SplitName::Validation), ["v2"]);
    // Its copy in the test split goes, as does what is like the test's t1.
    assert_eq!(made.rows(SplitName::Train), 59);
    assert!(made.find("id5").is_none() && made.find("n0").is_none());
    assert_eq!((made.statistics.duplicates.dropped, made.statistics.leakage.dropped), (3, 2));

    // Without a given validation split, it is cut from the training rows, 1 in 9.
    let cut = Bench::new(&[&files[0], &files[2]].map(|(name, text)| (*name, text)));
    let made = cut
        .run(&format!("{CSV}splits = {{ train = \"d/train.csv\", test = \"d/test.csv\" }}"))
        .unwrap();
    made.check();
    assert_eq!(made.rows(SplitName::Test), 3);
    assert_eq!(made.rows(SplitName::Validation), 7);
}

#[test]
fn the_newest_are_tested() {
    let data: String = rows(100)
        .iter()
        .enumerate()
        .map(|(n, (id, text, label))| {
            format!(
                "{id},{text},{label},2024-{:02}-{:02}\n",
                (n * 37 % 100) / 28 + 1,
                (n * 37 % 100) % 28 + 1
            )
        })
        .collect();
    let manifest = "format = \"csv\"\nheader = [\"id\", \"text\", \"label\", \"day\"]\ncolumns = { id = \"id\", time = \"day\" }\n[prepare]\nsplit = { method = \"by-time\" }";
    let made = Bench::new(&[("d.csv", data)]).run(manifest).unwrap();
    made.check();
    let rank = |id: &str| id[2..].parse::<usize>().unwrap() * 37 % 100;
    for (split, document) in made.all() {
        let expected = match rank(&document.id) {
            0..80 => SplitName::Train,
            80..90 => SplitName::Validation,
            _ => SplitName::Test,
        };
        assert_eq!(split, expected, "{}", document.id);
    }
}

#[derive(Debug, Clone)]
struct Source {
    rows: Vec<(u8, u8, u8, u8)>,
    method: &'static str,
    given: bool,
    exact: bool,
    seed: u64,
}

fn source() -> impl Strategy<Value = Source> {
    let row = (0u8..80, 0u8..6, 0u8..4, 0u8..12);
    let methods = prop::sample::select(vec!["stratified", "grouped", "by-time"]);
    (prop::collection::vec(row, 30..200), methods, any::<bool>(), any::<bool>(), 0u64..5)
        .prop_map(|(rows, method, given, exact, seed)| Source { rows, method, given, exact, seed })
}

impl Source {
    fn files(&self) -> Vec<(&'static str, String)> {
        let mut files = BTreeMap::from([("train.csv", String::new()), ("test.csv", String::new())]);
        for (n, (text, change, label, group)) in self.rows.iter().enumerate() {
            // Bad rows, rows that are left out, copies and near-copies, in all splits.
            let label = ["-1", "0", "1", "bad"][usize::from(*label)];
            let file = if n % 5 == 0 { "test.csv" } else { "train.csv" };
            let text = variant(usize::from(*text), usize::from(*change) * 40);
            let line = format!("{n},{text},{label},g{group},{}\n", n * 31 % 17);
            if let Some(file) = files.get_mut(file) {
                file.push_str(&line);
            }
        }
        files.into_iter().collect()
    }

    fn manifest(&self) -> String {
        let splits = if self.given {
            "splits = { train = \"train.csv\", test = \"test.csv\" }\n"
        } else {
            ""
        };
        format!(
            "format = \"csv\"\nheader = [\"id\", \"text\", \"label\", \"group\", \"time\"]\n\
             columns = {{ id = \"id\", group = \"group\", time = \"time\" }}\n\
             labels = {{ bins = [-0.5, 0.5], names = [\"neg\", \"\", \"pos\"] }}\n{splits}\
             [prepare]\nmax_rejected = 1.0\ndeduplicate = {{ exact = {} }}\n\
             split = {{ train = 0.6, validation = 0.2, test = 0.2, method = \"{}\", seed = {} }}",
            self.exact, self.method, self.seed
        )
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn no_row_is_lost_and_none_is_on_two_sides(source in source()) {
        let mut bench = Bench::new(&source.files());
        let Ok(made) = bench.run(&source.manifest()) else { return Ok(()) };
        made.check();
        prop_assert_eq!(made.statistics.read, source.rows.len() as u64);
        // A split counts as given if any of its rows can be used.
        let mut rows = source.rows.iter().enumerate();
        let usable = rows.any(|(n, row)| n.is_multiple_of(5) && matches!(row.2, 0 | 2));
        let given = source.given && usable;
        let mut sides: BTreeMap<&str, BTreeSet<SplitName>> = BTreeMap::new();
        let mut groups: BTreeMap<u8, BTreeSet<SplitName>> = BTreeMap::new();
        for (split, document) in made.all() {
            sides.entry(&document.text).or_default().insert(split);
            let row: usize = document.id.parse().unwrap();
            groups.entry(source.rows[row].3).or_default().insert(split);
            if given {
                // A test row stays one, a training row never becomes one.
                prop_assert_eq!(split == SplitName::Test, row.is_multiple_of(5));
            }
        }
        prop_assert!(sides.values().all(|sides| sides.len() == 1), "a text is in two splits");
        if source.method == "grouped" {
            for sides in groups.values_mut() {
                if given {
                    sides.remove(&SplitName::Test);
                }
                prop_assert!(sides.len() <= 1, "a group is in two splits");
            }
        }
        // The same again, on another number of threads.
        bench.threads = 1;
        prop_assert_eq!(bench.run(&source.manifest()).unwrap(), made);
    }
}
