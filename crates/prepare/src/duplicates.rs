//! Exact duplicates, and near-duplicates, found by sorting records outside of memory.

use std::collections::HashMap;

use mesh_core::{StepContext, Unit, manifest::Deduplicate};
use mesh_dataset::{DuplicateStatistics, SplitName};
use mesh_minhash::jaccard;

use crate::{
    PrepareError,
    sketches::Shingles,
    sort::{Sorted, number},
    stage::{Candidates, CopyRecord},
};

/// What becomes of each staged row: a byte. The splits come first, in their order.
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

/// Rows that belong together: a forest, in which the first row of a group is its root. Rows by
/// themselves are not listed.
#[derive(Debug, Default)]
pub(crate) struct Clusters {
    parents: HashMap<u64, u64>,
    /// A few pairs with their similarity.
    pub(crate) examples: Vec<(u64, u64, f64)>,
}

/// Looks for rows of the same text, and for rows that are alike.
pub(crate) struct Search<'a> {
    pub(crate) options: &'a Deduplicate,
    pub(crate) context: &'a StepContext,
}

/// Rows of one band that are compared with those that come after them.
struct Bucket {
    band: [u8; 8],
    leaders: Vec<(u64, Option<Vec<u64>>)>,
}

const EXAMPLES: usize = 5;
/// Leaders of a bucket. More would find more in theory, and make a boilerplate text in millions
/// of rows expensive.
const LEADERS: usize = 16;
/// Records between two looks at whether to stop.
const CHECK: usize = 1024;

impl Search<'_> {
    /// Marks copies, and groups near-duplicates.
    pub(crate) fn run(
        &self,
        candidates: Candidates,
        verdicts: &mut [Verdict],
    ) -> Result<(DuplicateStatistics, Clusters), PrepareError> {
        let mut clusters = Clusters::default();
        let found = self.copies(candidates.copies, verdicts, &mut clusters)?;
        if let Some((shingles, bands)) = candidates.near {
            self.near(&shingles, bands, verdicts, &mut clusters)?;
        }
        Ok((found, clusters))
    }

    /// Marks copies of texts that are there already. Where copies are to be kept, they are
    /// grouped instead, so that they stay on one side.
    fn copies(
        &self,
        copies: Sorted<29>,
        verdicts: &mut [Verdict],
        clusters: &mut Clusters,
    ) -> Result<DuplicateStatistics, PrepareError> {
        let mut found = DuplicateStatistics::default();
        let mut kept: Option<(CopyRecord, bool)> = None;
        for (index, copy) in copies.enumerate() {
            let copy = copy?;
            if index.is_multiple_of(CHECK) {
                self.context.cancel.check()?;
            }
            let row = number(&copy, 17);
            match &mut kept {
                Some((first, _)) if first.get(..16) == copy.get(..16) && !self.options.exact => {
                    clusters.join(number(first, 17), row);
                }
                Some((first, several)) if first.get(..16) == copy.get(..16) => {
                    if let Some(verdict) = verdicts.get_mut(row as usize) {
                        *verdict = Verdict::Copy;
                    }
                    found.dropped += 1;
                    found.conflicting_labels += u64::from(first.get(25..) != copy.get(25..));
                    found.texts += u64::from(!std::mem::replace(several, true));
                }
                _ => kept = Some((copy, false)),
            }
        }
        Ok(found)
    }

    /// Groups rows that share a band, and whose shingles are alike.
    fn near(
        &self,
        shingles: &Shingles,
        bands: Sorted<16>,
        verdicts: &[Verdict],
        clusters: &mut Clusters,
    ) -> Result<(), PrepareError> {
        let task = self.context.progress.begin("find near-duplicates", None, Unit::Items);
        let mut bucket = Bucket { band: [0; 8], leaders: Vec::new() };
        for (index, record) in bands.enumerate() {
            let record = record?;
            if index.is_multiple_of(CHECK) {
                self.context.cancel.check()?;
                task.advance(CHECK as u64);
            }
            let row = number(&record, 8);
            if verdicts.get(row as usize) == Some(&Verdict::Copy) {
                continue;
            }
            let band = record.first_chunk::<8>().copied().unwrap_or_default();
            if bucket.band != band {
                bucket = Bucket { band, leaders: Vec::new() };
            }
            bucket.take(row, self.options.near.threshold, shingles, clusters)?;
        }
        Ok(())
    }
}

impl Bucket {
    /// Compares a row with those before it; one that is like none of them becomes a leader.
    fn take(
        &mut self,
        row: u64,
        threshold: f64,
        shingles: &Shingles,
        clusters: &mut Clusters,
    ) -> Result<(), PrepareError> {
        let mut own: Option<Vec<u64>> = None;
        let mut known = false;
        for (leader, others) in &mut self.leaders {
            if clusters.root(*leader) == clusters.root(row) {
                known = true;
                continue;
            }
            let own = match &mut own {
                Some(own) => own,
                None => own.insert(shingles.of(row)?),
            };
            let others = match others {
                Some(others) => others,
                None => others.insert(shingles.of(*leader)?),
            };
            if let Some(alike) = jaccard(others, own, threshold) {
                known = true;
                clusters.join(*leader, row);
                // One pair of each group tells more than five of the first.
                let told = clusters.examples.iter().any(|(first, _, _)| first == leader);
                if clusters.examples.len() < EXAMPLES && !told {
                    clusters.examples.push((*leader, row, alike));
                }
            }
        }
        if !known && self.leaders.len() < LEADERS {
            self.leaders.push((row, own));
        }
        Ok(())
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
        let (first, second) = (self.root(one), self.root(two));
        let root = first.min(second);
        // What is above the two rows points to the root from now on, so that no path grows long.
        for start in [one, two] {
            let mut next = Some(start);
            while let Some(at) = next {
                next = self.parents.insert(at, root).filter(|parent| *parent != at);
            }
        }
        self.parents.insert(root, root);
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

impl Verdict {
    pub(crate) const fn of(split: SplitName) -> Self {
        match split {
            SplitName::Train => Self::Train,
            SplitName::Validation => Self::Validation,
            SplitName::Test => Self::Test,
        }
    }

    pub(crate) const fn split(self) -> Option<SplitName> {
        match self {
            Self::Train => Some(SplitName::Train),
            Self::Validation => Some(SplitName::Validation),
            Self::Test => Some(SplitName::Test),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn groups_are_what_pairs_connect(pairs in prop::collection::vec((0u64..30, 0u64..30), 0..40)) {
            let mut clusters = Clusters::default();
            // The plain way: sets that are merged while any two have a row in common.
            let mut sets: Vec<BTreeSet<u64>> = Vec::new();
            for (one, two) in pairs.into_iter().filter(|(one, two)| one != two) {
                clusters.join(one, two);
                let mut merged = BTreeSet::from([one, two]);
                sets.retain(|set| {
                    let apart = set.is_disjoint(&merged);
                    if !apart {
                        merged.extend(set);
                    }
                    apart
                });
                sets.push(merged);
            }
            let mut expected: Vec<Vec<u64>> =
                sets.into_iter().map(|set| set.into_iter().collect()).collect();
            expected.sort();
            for group in &expected {
                prop_assert!(group.iter().all(|row| clusters.root(*row) == group[0]));
            }
            prop_assert_eq!(clusters.groups(), expected);
        }
    }
}
