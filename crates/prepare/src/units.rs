//! Which rows are dealt as one: groups of the source, near-duplicates.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Read, Write},
    os::unix::fs::FileExt,
    path::PathBuf,
};

use mesh_core::manifest::SplitMethod;

use crate::{
    PrepareError,
    deal::Dealer,
    duplicates::{Clusters, Verdict},
    sort::{Sorter, number, record},
};

/// The unit of each undecided row, named by its first row.
pub(crate) struct Units {
    rows: u64,
    /// The first row of each row's group, where rows have groups; else each row is its own.
    firsts: Option<PathBuf>,
    /// Near-duplicates, by the first rows of their groups.
    joined: Clusters,
}

impl Units {
    /// Units of rows that the dealer has not decided on yet.
    pub(crate) fn new(
        dealer: &Dealer<'_>,
        verdicts: &[Verdict],
        near: &[Vec<u64>],
    ) -> Result<Self, PrepareError> {
        let firsts = match dealer.prepare.split.method {
            SplitMethod::Grouped => Some(first_rows(dealer, verdicts)?),
            _ => None,
        };
        let mut units = Self { rows: dealer.staged.rows, firsts, joined: Clusters::default() };
        let file = units.firsts.as_ref().map(|path| open(path).map(|file| (path, file)));
        let file = file.transpose()?;
        let first = |row: u64| -> Result<u64, PrepareError> {
            let Some((path, file)) = &file else { return Ok(row) };
            let mut bytes = [0; 8];
            file.read_exact_at(&mut bytes, row * 8)
                .map_err(|error| PrepareError::io(path, error))?;
            Ok(u64::from_be_bytes(bytes))
        };
        for group in near {
            let undecided = |row: &&u64| verdicts.get(**row as usize) == Some(&Verdict::Undecided);
            let mut rows = group.iter().filter(undecided);
            let Some(leader) = rows.next() else { continue };
            let leader = first(*leader)?;
            for row in rows {
                units.joined.join(leader, first(*row)?);
            }
        }
        Ok(units)
    }

    /// The unit of each row, in the order of the rows.
    pub(crate) fn of_all(
        &self,
    ) -> Result<impl Iterator<Item = Result<u64, PrepareError>>, PrepareError> {
        let mut reader = match &self.firsts {
            Some(path) => Some((path, BufReader::new(open(path)?))),
            None => None,
        };
        Ok((0..self.rows).map(move |row| {
            let first = match &mut reader {
                None => row,
                Some((path, reader)) => {
                    let mut bytes = [0; 8];
                    reader.read_exact(&mut bytes).map_err(|error| PrepareError::io(path, error))?;
                    u64::from_be_bytes(bytes)
                }
            };
            Ok(self.joined.root(first))
        }))
    }
}

/// Writes the first row of each row's group to a file, in the order of the rows.
fn first_rows(dealer: &Dealer<'_>, verdicts: &[Verdict]) -> Result<PathBuf, PrepareError> {
    let mut groups: Sorter<16> = Sorter::new(dealer.scratch, "groups");
    for (row, facts) in (0u64..).zip(dealer.staged.facts()?) {
        let facts = facts?;
        if facts.group != 0 && verdicts.get(row as usize) == Some(&Verdict::Undecided) {
            groups.push(record(&[&facts.group.to_be_bytes(), &row.to_be_bytes()]))?;
        }
    }
    let mut firsts: Sorter<16> = Sorter::new(dealer.scratch, "firsts");
    let mut group = None;
    for (index, member) in groups.finish()?.enumerate() {
        let member = member?;
        if index.is_multiple_of(4096) {
            dealer.context.cancel.check()?;
        }
        let row = number(&member, 8);
        let first = match group {
            Some((known, first)) if known == number(&member, 0) => first,
            _ => row,
        };
        group = Some((number(&member, 0), first));
        firsts.push(record(&[&row.to_be_bytes(), &first.to_be_bytes()]))?;
    }
    let path = dealer.scratch.join("groups.bin");
    let fail = |error| PrepareError::io(&path, error);
    let mut writer = BufWriter::new(File::create(&path).map_err(fail)?);
    let mut grouped = firsts.finish()?;
    let mut next = grouped.next().transpose()?;
    for row in 0..dealer.staged.rows {
        let first = match next {
            Some(member) if number(&member, 0) == row => {
                next = grouped.next().transpose()?;
                number(&member, 8)
            }
            _ => row,
        };
        writer.write_all(&first.to_be_bytes()).map_err(fail)?;
    }
    writer.flush().map_err(fail)?;
    Ok(path)
}

fn open(path: &PathBuf) -> Result<File, PrepareError> {
    File::open(path).map_err(|error| PrepareError::io(path, error))
}
