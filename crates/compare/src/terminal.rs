//! A difference for a terminal.

use std::{collections::BTreeMap, fmt::Write};

use mesh_core::printable;

use crate::{
    DiffReport, Interval, Share, Verdict,
    report::{Cell, Slice},
};

/// Labels of a matrix that is shown as one; of more the largest flips are.
const MAX_MATRIX: usize = 12;
const MAX_FLIPS: usize = 20;

impl DiffReport {
    /// The report for a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let Self { compared, same, changed, gained, lost, .. } = self;
        writeln!(
            out,
            "compared {compared}: {same} the same, {changed} changed; {gained} gained, {lost} lost"
        )?;
        if let Some(flips) = &self.flips {
            writeln!(out, "label flips     {}", share(flips))?;
        }
        let quantiles = &self.quantiles;
        writeln!(
            out,
            "size of change  mean {}, half up to {:.4}, 90% up to {:.4}, 99% up to {:.4}, most {:.4}",
            interval(&self.change),
            quantiles.p50,
            quantiles.p90,
            quantiles.p99,
            quantiles.most
        )?;
        if let Some(drift) = &self.drift {
            writeln!(out, "score drift     mean {}", interval(drift))?;
        }
        if let Some(truth) = &self.truth {
            let verdict = verdict(truth.verdict);
            writeln!(
                out,
                "\non {} documents with a true label the new version is {verdict}",
                truth.rows
            )?;
            let mut line = |name: &str, before: f64, after: f64, gain: &Interval| {
                writeln!(out, "  {name:<10} {before:.4} -> {after:.4}, {}", interval(gain))
            };
            line("accuracy", truth.accuracy_before, truth.accuracy_after, &truth.accuracy_gain)?;
            line("macro F1", truth.macro_f1_before, truth.macro_f1_after, &truth.macro_f1_gain)?;
        }
        self.write_matrix(out)?;
        for (dimension, slices) in &self.slices {
            write_slices(out, dimension, slices)?;
        }
        if !self.examples.is_empty() {
            writeln!(out, "\nlargest changes")?;
        }
        for example in &self.examples {
            let key = printable(&example.key);
            match (&example.before, &example.after) {
                (Some(before), Some(after)) => {
                    let (before, after) = (printable(before), printable(after));
                    writeln!(out, "  {key}: {before} -> {after}, {:.4}", example.size)?;
                }
                _ => writeln!(out, "  {key}: {:.4}", example.size)?,
            }
            if !example.text.is_empty() {
                writeln!(out, "    {}", printable(&example.text))?;
            }
        }
        Ok(())
    }

    fn write_matrix(&self, out: &mut String) -> std::fmt::Result {
        let labels = labels(&self.matrix);
        if labels.is_empty() {
            return Ok(());
        }
        if labels.len() > MAX_MATRIX {
            writeln!(out, "\nmost frequent flips")?;
            let mut flips: Vec<&Cell> =
                self.matrix.iter().filter(|cell| cell.before != cell.after).collect();
            flips.sort_by_key(|cell| std::cmp::Reverse(cell.rows));
            for Cell { before, after, rows } in flips.into_iter().take(MAX_FLIPS) {
                writeln!(out, "  {rows:>9}  {} -> {}", printable(before), printable(after))?;
            }
            return Ok(());
        }
        let cells = cells(&self.matrix);
        let names: Vec<String> = labels.iter().map(|label| printable(label)).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(8);
        writeln!(out, "\nlabels before (rows) and after (columns)")?;
        write!(out, "  {:width$}", "")?;
        names.iter().try_for_each(|name| write!(out, " {name:>width$}"))?;
        for (before, name) in labels.iter().zip(&names) {
            write!(out, "\n  {name:width$}")?;
            for after in &labels {
                let rows = cells.get(&(*before, *after)).copied().unwrap_or_default();
                write!(out, " {rows:>width$}")?;
            }
        }
        writeln!(out)
    }
}

fn write_slices(out: &mut String, dimension: &str, slices: &[Slice]) -> std::fmt::Result {
    let name = printable(dimension);
    let width = slices.iter().map(|slice| slice.value.chars().count().min(40)).max().unwrap_or(0);
    writeln!(out, "\nby {name}")?;
    for slice in slices {
        let value: String = printable(&slice.value).chars().take(40).collect();
        write!(out, "  {value:width$} {:>9} documents", slice.rows)?;
        if let Some(flips) = &slice.flips {
            write!(out, ", flips {} ({})", flips.rows, percent(flips))?;
        }
        write!(out, ", change {}", interval(&slice.change))?;
        if let Some(drift) = &slice.drift {
            write!(out, ", drift {}", interval(drift))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// All labels of a matrix, sorted.
pub(crate) fn labels(matrix: &[Cell]) -> Vec<&str> {
    let mut all: Vec<&str> =
        matrix.iter().flat_map(|cell| [cell.before.as_str(), cell.after.as_str()]).collect();
    all.sort_unstable();
    all.dedup();
    all
}

pub(crate) fn cells(matrix: &[Cell]) -> BTreeMap<(&str, &str), u64> {
    let place = |cell: &Cell| cell.rows;
    matrix.iter().map(|cell| ((cell.before.as_str(), cell.after.as_str()), place(cell))).collect()
}

pub(crate) fn interval(interval: &Interval) -> String {
    let Interval { value, low, high } = interval;
    format!("{value:.4} [{low:.4}, {high:.4}]")
}

pub(crate) fn share(share: &Share) -> String {
    format!("{} of {} ({})", share.rows, share.of, percent(share))
}

fn percent(share: &Share) -> String {
    let [value, low, high] = [share.share, share.low, share.high].map(|part| part * 100.0);
    format!("{value:.2}% [{low:.2}, {high:.2}]")
}

pub(crate) const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "better",
        Verdict::Worse => "worse",
        Verdict::NoDifference => "not different beyond chance",
    }
}
