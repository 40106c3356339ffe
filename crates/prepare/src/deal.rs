//! Documents are dealt to the splits.

use std::collections::HashMap;

use mesh_core::{
    Digest, StepContext,
    manifest::{PrepareTable, Split, SplitMethod},
};
use mesh_dataset::{LeakageStatistics, SplitName};

use crate::{
    PrepareError,
    duplicates::{Clusters, Verdict},
    sort::{Sorter, number, record},
    stage::{Facts, Staged},
};

/// Deals every undecided row to a split, and sees to it that near-duplicates are on one side.
pub(crate) struct Dealer<'a> {
    pub(crate) staged: &'a Staged,
    pub(crate) prepare: &'a PrepareTable,
    pub(crate) scratch: &'a std::path::Path,
    pub(crate) context: &'a StepContext,
}

/// The shares of the splits that are dealt, adding up to 1, and which of them the source gives.
struct Shares {
    given: [bool; 3],
    ends: [f64; 3],
}

impl Dealer<'_> {
    pub(crate) fn deal(
        &self,
        verdicts: &mut [Verdict],
        clusters: &mut Clusters,
    ) -> Result<LeakageStatistics, PrepareError> {
        let shares = self.shares()?;
        let near = clusters.groups();
        let mut leakage = LeakageStatistics {
            threshold: self.prepare.deduplicate.near.threshold,
            clusters: near.len() as u64,
            documents: near.iter().map(|group| group.len() as u64).sum(),
            largest: near.iter().map(|group| group.len() as u64).max().unwrap_or(0),
            ..LeakageStatistics::default()
        };
        let method = self.prepare.split.method;
        if method == SplitMethod::Grouped {
            self.join_groups(verdicts, clusters)?;
        }
        let whole = method != SplitMethod::ByTime && !shares.any_given();
        self.rank(verdicts, if whole { Some(clusters) } else { None }, &shares)?;
        for group in &near {
            self.mend(group, whole, verdicts, &mut leakage)?;
        }
        Ok(leakage)
    }

    /// What is dealt: with splits that the source gives, the rows of its training split only,
    /// in the shares of those splits that it does not give.
    fn shares(&self) -> Result<Shares, PrepareError> {
        let mut given = [false; 3];
        for facts in self.staged.facts()? {
            if let Some(split) = facts?.split
                && let Some(given) = given.get_mut(split as usize)
            {
                *given = true;
            }
        }
        let Split { train, validation, test, .. } = self.prepare.split;
        let open = |split: SplitName, share: f64| {
            if given.get(split as usize) == Some(&true) { 0.0 } else { share }
        };
        let (validation, test) =
            (open(SplitName::Validation, validation), open(SplitName::Test, test));
        let sum = (train + validation + test).max(f64::MIN_POSITIVE);
        Ok(Shares { given, ends: [train / sum, (train + validation) / sum, 1.0] })
    }

    /// Documents of one group go together, like near-duplicates.
    fn join_groups(
        &self,
        verdicts: &[Verdict],
        clusters: &mut Clusters,
    ) -> Result<(), PrepareError> {
        let mut firsts: HashMap<u64, u64> = HashMap::new();
        for (row, facts) in (0u64..).zip(self.staged.facts()?) {
            let facts = facts?;
            if verdicts.get(row as usize) != Some(&Verdict::Copy) && facts.group != 0 {
                let first = *firsts.entry(facts.group).or_insert(row);
                if first != row {
                    clusters.join(first, row);
                }
            }
        }
        Ok(())
    }

    /// Puts the rows in order, and cuts the order by the shares: by label and a seeded hash, or
    /// by time. With `together`, a group of rows is dealt as one, by its first row.
    fn rank(
        &self,
        verdicts: &mut [Verdict],
        together: Option<&Clusters>,
        shares: &Shares,
    ) -> Result<(), PrepareError> {
        let method = self.prepare.split.method;
        let mut sorter: Sorter<20> = Sorter::new(self.scratch, "order");
        let mut counts: HashMap<u32, u64> = HashMap::new();
        for (row, facts) in (0u64..).zip(self.staged.facts()?) {
            let facts = facts?;
            let Some(verdict) = verdicts.get_mut(row as usize) else { continue };
            if *verdict == Verdict::Copy {
                continue;
            }
            if let Some(split) = facts.split.filter(|split| {
                // Of given splits only the training rows are dealt, and only if something is
                // missing that is wanted.
                *split != SplitName::Train || shares.ends.first().is_none_or(|end| *end >= 1.0)
            }) {
                *verdict = Verdict::of(split);
                continue;
            }
            if together.is_some_and(|clusters| clusters.root(row) != row) {
                continue;
            }
            let stratum = if method == SplitMethod::Stratified { facts.label } else { 0 };
            *counts.entry(stratum).or_default() += 1;
            let order = match method {
                SplitMethod::ByTime => facts.time,
                _ => self.draw(&facts),
            };
            sorter.push(record(&[
                &stratum.to_be_bytes(),
                &order.to_be_bytes(),
                &row.to_be_bytes(),
            ]))?;
        }
        let (mut stratum, mut rank) = (None, 0u64);
        for (index, record) in sorter.finish()?.enumerate() {
            let record = record?;
            if index.is_multiple_of(4096) {
                self.context.cancel.check()?;
            }
            let label = record.first_chunk::<4>().map_or(0, |label| u32::from_be_bytes(*label));
            rank = if stratum == Some(label) { rank + 1 } else { 0 };
            stratum = Some(label);
            let count = counts.get(&label).copied().unwrap_or(1);
            if let Some(verdict) = verdicts.get_mut(number(&record, 12) as usize) {
                *verdict = Verdict::of(shares.cut(rank, count));
            }
        }
        let Some(clusters) = together else { return Ok(()) };
        for group in clusters.groups() {
            let first = group.first().and_then(|row| verdicts.get(*row as usize)).copied();
            for row in group {
                if let (Some(verdict), Some(first)) = (verdicts.get_mut(row as usize), first) {
                    *verdict = first;
                }
            }
        }
        Ok(())
    }

    /// A number drawn for a document: by the seed and its text, so it is the same wherever the
    /// document stands, and whatever else is in the source.
    fn draw(&self, facts: &Facts) -> u64 {
        let seeded = format!("{} {:032x}", self.prepare.split.seed, facts.content);
        number(Digest::of(seeded.as_bytes()).as_bytes(), 0)
    }

    /// Sees to one group of near-duplicates. Where groups were dealt as one, it only counts what
    /// that changed; else it drops the documents of a group that are in a split further from the
    /// test than others of it.
    fn mend(
        &self,
        group: &[u64],
        whole: bool,
        verdicts: &mut [Verdict],
        leakage: &mut LeakageStatistics,
    ) -> Result<(), PrepareError> {
        let verdict = |row: &u64| verdicts.get(*row as usize).copied().unwrap_or(Verdict::Copy);
        let of_group: Vec<Verdict> = group.iter().map(verdict).collect();
        if whole {
            // What each document would have drawn by itself.
            let alone: Vec<Verdict> = group.iter().map(|row| self.alone(*row)).collect();
            let moved = alone.iter().zip(&of_group).filter(|(alone, got)| alone != got).count();
            let first = alone.first();
            leakage.across_splits += u64::from(alone.iter().any(|verdict| Some(verdict) != first));
            leakage.moved += moved as u64;
            return Ok(());
        }
        let Some(nearest) = of_group.iter().map(|verdict| *verdict as u8).max() else {
            return Ok(());
        };
        let mut cut = false;
        for (row, before) in group.iter().zip(of_group) {
            if (before as u8) < nearest
                && let Some(verdict) = verdicts.get_mut(*row as usize)
            {
                *verdict = Verdict::NearCopy;
                leakage.dropped += 1;
                cut = true;
            }
        }
        leakage.across_splits += u64::from(cut);
        Ok(())
    }

    fn alone(&self, row: u64) -> Verdict {
        // A split by shares of a hash of the row: what any split does that knows of no groups.
        let draw = Digest::of(format!("{} {row}", self.prepare.split.seed).as_bytes());
        #[expect(clippy::cast_precision_loss, reason = "a share of the range")]
        let share = number(draw.as_bytes(), 0) as f64 / u64::MAX as f64;
        let Split { train, validation, .. } = self.prepare.split;
        match share {
            share if share < train => Verdict::Train,
            share if share < train + validation => Verdict::Validation,
            _ => Verdict::Test,
        }
    }
}

impl Shares {
    fn any_given(&self) -> bool {
        self.given.iter().any(|given| *given)
    }

    /// The split of the document with this rank among so many.
    fn cut(&self, rank: u64, count: u64) -> SplitName {
        let [train, validation, _] = self.ends;
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts of rows"
        )]
        let end = |share: f64| (share * count as f64).round() as u64;
        match rank {
            rank if rank < end(train) => SplitName::Train,
            rank if rank < end(validation) => SplitName::Validation,
            _ => SplitName::Test,
        }
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
