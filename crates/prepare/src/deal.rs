//! Documents are dealt to the splits.

use mesh_core::{
    Digest, StepContext,
    manifest::{PrepareTable, Split, SplitMethod},
};
use mesh_dataset::{LeakageStatistics, SplitName};

use crate::{
    PrepareError,
    duplicates::{Clusters, Verdict},
    facts::Facts,
    rank::{Ranking, Shares},
    sort::number,
    stage::Staged,
    units::Units,
};

/// Deals every undecided row to a split, and sees to it that near-duplicates are on one side.
pub(crate) struct Dealer<'a> {
    pub(crate) staged: &'a Staged,
    pub(crate) prepare: &'a PrepareTable,
    pub(crate) scratch: &'a std::path::Path,
    pub(crate) context: &'a StepContext,
}

impl Dealer<'_> {
    pub(crate) fn deal(
        &self,
        verdicts: &mut [Verdict],
        clusters: &Clusters,
    ) -> Result<LeakageStatistics, PrepareError> {
        let shares = self.shares()?;
        self.keep_given(verdicts, &shares)?;
        let groups = clusters.groups();
        let method = self.prepare.split.method;
        let near: &[Vec<u64>] = if method == SplitMethod::ByTime { &[] } else { &groups };
        let units = Units::new(self, verdicts, near)?;
        let alone = self.alone(&groups, verdicts, &shares);
        self.rank(verdicts, &units, &shares)?;
        self.leakage(&groups, alone, verdicts)
    }

    /// What is dealt: with splits that the source gives, the rows of its training split only,
    /// in the shares of those splits that it does not give.
    fn shares(&self) -> Result<Shares, PrepareError> {
        let mut given = [false; 3];
        for facts in self.staged.facts()? {
            if let Some(given) = facts?.split.and_then(|split| given.get_mut(split as usize)) {
                *given = true;
            }
        }
        let Split { train, validation, test, .. } = self.prepare.split;
        let [_, given_validation, given_test] = given;
        let open = |share: f64, given: bool| if given { 0.0 } else { share };
        Ok(Shares::new(train, open(validation, given_validation), open(test, given_test)))
    }

    /// Rows stay in the split that the source gives, but for training rows that are to be dealt.
    fn keep_given(&self, verdicts: &mut [Verdict], shares: &Shares) -> Result<(), PrepareError> {
        for (facts, verdict) in self.staged.facts()?.zip(verdicts) {
            if let Some(split) = facts?.split
                && *verdict == Verdict::Undecided
                && (split != SplitName::Train || shares.are_all_train())
            {
                *verdict = Verdict::of(split);
            }
        }
        Ok(())
    }

    /// Deals units by label and a seeded hash, or by time.
    fn rank(
        &self,
        verdicts: &mut [Verdict],
        units: &Units,
        shares: &Shares,
    ) -> Result<(), PrepareError> {
        let method = self.prepare.split.method;
        let mut ranking = Ranking::new(self.scratch);
        for ((row, facts), unit) in (0u64..).zip(self.staged.facts()?).zip(units.of_all()?) {
            let (facts, unit) = (facts?, unit?);
            if row.is_multiple_of(4096) {
                self.context.cancel.check()?;
            }
            if verdicts.get(row as usize) == Some(&Verdict::Undecided) {
                let stratum = if method == SplitMethod::Stratified { facts.label } else { 0 };
                let order = match method {
                    SplitMethod::ByTime => facts.time,
                    _ => self.draw(&facts),
                };
                ranking.push(unit, row, stratum, order)?;
            }
        }
        ranking.deal(shares, &self.context.cancel, |unit, split| {
            if let Some(verdict) = verdicts.get_mut(unit as usize) {
                *verdict = Verdict::of(split);
            }
        })?;
        // A unit is named by its first row, which has its split now; the others follow it.
        for (row, unit) in units.of_all()?.enumerate() {
            let of_unit = verdicts.get(unit? as usize).copied();
            if let (Some(verdict), Some(of_unit)) = (verdicts.get_mut(row), of_unit)
                && *verdict == Verdict::Undecided
            {
                *verdict = of_unit;
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

    /// For each row of each group that is dealt at random, the split that it would draw if it
    /// were alone; nothing for rows that are not.
    fn alone(
        &self,
        groups: &[Vec<u64>],
        verdicts: &[Verdict],
        shares: &Shares,
    ) -> Vec<Vec<Option<Verdict>>> {
        let random = self.prepare.split.method != SplitMethod::ByTime;
        let draw = |row: &u64| {
            let undecided = verdicts.get(*row as usize) == Some(&Verdict::Undecided);
            (undecided && random).then(|| {
                let seeded = format!("{} {row}", self.prepare.split.seed);
                let drawn = number(Digest::of(seeded.as_bytes()).as_bytes(), 0);
                Verdict::of(shares.cut(u128::from(drawn), u128::from(u64::MAX) + 1))
            })
        };
        groups.iter().map(|group| group.iter().map(draw).collect()).collect()
    }

    /// Drops the documents of a group that are in a split further from the test than others of
    /// it, and tells what was and what is.
    fn leakage(
        &self,
        groups: &[Vec<u64>],
        alone: Vec<Vec<Option<Verdict>>>,
        verdicts: &mut [Verdict],
    ) -> Result<LeakageStatistics, PrepareError> {
        let sizes = groups.iter().map(|group| group.len() as u64);
        let mut leakage = LeakageStatistics {
            threshold: self.prepare.deduplicate.near.threshold,
            clusters: groups.len() as u64,
            documents: sizes.clone().sum(),
            largest: sizes.max().unwrap_or(0),
            ..LeakageStatistics::default()
        };
        for (group, alone) in groups.iter().zip(alone) {
            self.context.cancel.check()?;
            let of = |row: &u64| verdicts.get(*row as usize).copied().unwrap_or(Verdict::Copy);
            let got: Vec<Verdict> = group.iter().map(of).collect();
            // The first of those that were dealt as one went where it would have gone anyway.
            let mut leader = true;
            let before = alone.into_iter().zip(&got).map(|(alone, got)| match alone {
                Some(alone) if !std::mem::take(&mut leader) => alone,
                _ => *got,
            });
            let before: Vec<Verdict> = before.collect();
            let moved = before.iter().zip(&got).filter(|(before, got)| before != got).count();
            leakage.moved += moved as u64;
            leakage.across_splits += u64::from(is_cut(&before));
            let Some(nearest) = got.iter().map(|verdict| *verdict as u8).max() else { continue };
            for (row, _) in group.iter().zip(&got).filter(|(_, got)| (**got as u8) < nearest) {
                if let Some(verdict) = verdicts.get_mut(*row as usize) {
                    *verdict = Verdict::NearCopy;
                    leakage.dropped += 1;
                }
            }
            let after = group.iter().filter_map(|row| verdicts.get(*row as usize)).copied();
            let after: Vec<Verdict> = after.filter(|got| got.split().is_some()).collect();
            leakage.remaining += u64::from(is_cut(&after));
        }
        Ok(leakage)
    }
}

fn is_cut(verdicts: &[Verdict]) -> bool {
    verdicts.windows(2).any(|pair| pair.first() != pair.last())
}
