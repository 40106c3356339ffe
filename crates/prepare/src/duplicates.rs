//! Exact duplicates, and near-duplicates, found by sorting records outside of memory.

use std::{collections::HashMap, fs::File, os::unix::fs::FileExt};

use mesh_core::StepContext;
use mesh_dataset::DuplicateStatistics;
use mesh_minhash::similarity;

use crate::{
    PrepareError,
    sort::{Sorted, number},
    stage::{BandRecord, CopyRecord, Staged},
};

/// What becomes of each staged row: a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Verdict {
    Train,
    Validation,
    Test,
    /// Its text is there already.
    Copy,
    /// Something like it is in a split nearer to the test.
    NearCopy,
    Undecided,
}

/// Rows that belong together: each with the first row of its group. Rows by themselves are not
/// listed.
#[derive(Debug, Default)]
pub(crate) struct Clusters {
    parents: HashMap<u64, u64>,
    /// A few pairs with their similarity.
    pub(crate) examples: Vec<(u64, u64, f64)>,
}

const EXAMPLES: usize = 5;
/// Records between two looks at whether to stop.
const CHECK: usize = 4096;

/// Marks copies of texts that are there already.
pub(crate) fn mark_copies(
    copies: Sorted<29>,
    verdicts: &mut [Verdict],
    context: &StepContext,
) -> Result<DuplicateStatistics, PrepareError> {
    let mut found = DuplicateStatistics::default();
    let mut kept: Option<(CopyRecord, bool)> = None;
    for (index, copy) in copies.enumerate() {
        let copy = copy?;
        if index.is_multiple_of(CHECK) {
            context.cancel.check()?;
        }
        match &mut kept {
            Some((first, several)) if first.get(..16) == copy.get(..16) => {
                if let Some(verdict) = verdicts.get_mut(number(&copy, 17) as usize) {
                    *verdict = Verdict::Copy;
                }
                found.dropped += 1;
                found.conflicting_labels += u64::from(first.get(25..) != copy.get(25..));
                if !std::mem::replace(several, true) {
                    found.texts += 1;
                }
            }
            _ => kept = Some((copy, false)),
        }
    }
    Ok(found)
}

/// Groups near-duplicates: rows that share a band, and whose signatures are alike.
pub(crate) fn cluster(
    staged: &Staged,
    bands: Sorted<16>,
    threshold: f64,
    (verdicts, context): (&[Verdict], &StepContext),
) -> Result<Clusters, PrepareError> {
    let signatures = Signatures { staged, file: staged.signatures()? };
    let mut clusters = Clusters::default();
    let mut first: Option<(BandRecord, u64, Vec<u32>)> = None;
    for (index, record) in bands.enumerate() {
        let record = record?;
        if index.is_multiple_of(CHECK) {
            context.cancel.check()?;
        }
        let row = number(&record, 8);
        if verdicts.get(row as usize) == Some(&Verdict::Copy) {
            continue;
        }
        match &mut first {
            Some((band, leader, signature)) if band.get(..8) == record.get(..8) => {
                if clusters.root(*leader) == clusters.root(row) {
                    continue;
                }
                if signature.is_empty() {
                    *signature = signatures.of(*leader)?;
                }
                let alike = similarity(signature, &signatures.of(row)?);
                if alike >= threshold {
                    let leader = *leader;
                    clusters.join(leader, row);
                    if clusters.examples.len() < EXAMPLES {
                        clusters.examples.push((leader, row, alike));
                    }
                }
            }
            _ => first = Some((record, row, Vec::new())),
        }
    }
    Ok(clusters)
}

struct Signatures<'a> {
    staged: &'a Staged,
    file: File,
}

impl Signatures<'_> {
    fn of(&self, row: u64) -> Result<Vec<u32>, PrepareError> {
        let mut bytes = vec![0; self.staged.permutations * 4];
        let at = row * bytes.len() as u64;
        self.file
            .read_exact_at(&mut bytes, at)
            .map_err(|error| self.staged.signatures_error(error))?;
        let (values, _) = bytes.as_chunks::<4>();
        Ok(values.iter().map(|value| u32::from_le_bytes(*value)).collect())
    }
}

impl Clusters {
    /// The first row of a row's group; the row itself if it has none.
    pub(crate) fn root(&self, row: u64) -> u64 {
        let mut at = row;
        while let Some(parent) = self.parents.get(&at).filter(|parent| **parent != at) {
            at = *parent;
        }
        at
    }

    /// Puts two groups together; the earlier root stays the root.
    pub(crate) fn join(&mut self, one: u64, two: u64) {
        let (one, two) = (self.root(one), self.root(two));
        let (first, second) = (one.min(two), one.max(two));
        self.parents.insert(first, first);
        self.parents.insert(second, first);
    }

    /// The groups of two or more rows, in the order of their first rows.
    pub(crate) fn groups(&self) -> Vec<Vec<u64>> {
        let mut groups: HashMap<u64, Vec<u64>> = HashMap::new();
        for row in self.parents.keys() {
            groups.entry(self.root(*row)).or_default().push(*row);
        }
        let mut groups: Vec<Vec<u64>> = groups.into_values().collect();
        groups.iter_mut().for_each(|group| group.sort_unstable());
        groups.retain(|group| group.len() > 1);
        groups.sort_unstable();
        groups
    }
}
