use super::{MAX_DIMENSION, read::Reader};
use crate::LanguageModelError;

/// A matrix of numbers, as they are or by codes (product quantisation, Jégou et al., 2011).
#[derive(Debug)]
pub(crate) enum Matrix {
    /// Row by row.
    Dense { columns: usize, values: Vec<f32> },
    /// Every row is cut into parts, and each part is the nearest of 256 for its place.
    Quantised { rows: usize, codes: Vec<u8>, parts: Quantiser, norms: Option<(Vec<u8>, Quantiser)> },
}

/// The parts that codes stand for.
#[derive(Debug)]
pub(crate) struct Quantiser {
    /// Values of a row.
    columns: usize,
    /// Parts of a row.
    parts: usize,
    /// Values of each part, but for the last.
    width: usize,
    /// Values of the last part.
    last: usize,
    values: Vec<f32>,
}

const CODES: usize = 256;
/// The most values of a matrix that is put together from codes: a gigabyte.
const MAX_VALUES: usize = 1 << 28;

impl Matrix {
    pub(super) fn read(
        reader: &mut Reader<'_>,
        quantised: bool,
    ) -> Result<Self, LanguageModelError> {
        let contradiction = || LanguageModelError::foreign("a matrix of it contradicts itself");
        if !quantised {
            let (rows, columns) = (reader.size()?, reader.size()?);
            let values = rows.checked_mul(columns).ok_or_else(contradiction)?;
            return Ok(Self::Dense { columns, values: reader.floats(values)? });
        }
        let with_norms = reader.bool()?;
        let (rows, columns) = (reader.size()?, reader.size()?);
        let codes = reader.small_size()?;
        let codes = reader.take(codes)?.to_vec();
        let parts = Quantiser::read(reader)?;
        if rows.checked_mul(parts.parts) != Some(codes.len()) || parts.columns != columns {
            return Err(contradiction());
        }
        let norms = match with_norms {
            false => None,
            true => {
                let codes = reader.take(rows)?.to_vec();
                let norms = Quantiser::read(reader)?;
                if norms.columns != 1 {
                    return Err(contradiction());
                }
                Some((codes, norms))
            }
        };
        Ok(Self::Quantised { rows, codes, parts, norms })
    }

    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Dense { columns, values } => values.len().checked_div(*columns).unwrap_or(0),
            Self::Quantised { rows, .. } => *rows,
        }
    }

    pub(super) const fn columns(&self) -> usize {
        match self {
            Self::Dense { columns, .. } => *columns,
            Self::Quantised { parts, .. } => parts.columns,
        }
    }

    /// Adds a row to a vector. A row that is not there adds nothing.
    pub(crate) fn add_row(&self, row: usize, to: &mut [f32]) {
        match self {
            Self::Dense { columns, values } => {
                let from = values.get(row * columns..).unwrap_or_default();
                to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
            }
            Self::Quantised { codes, parts, norms, .. } => {
                let norm = norms.as_ref().and_then(|(codes, norms)| {
                    let code = codes.get(row)?;
                    norms.part(0, *code).first().copied()
                });
                let norm = norm.unwrap_or(1.0);
                let codes = codes.get(row * parts.parts..).unwrap_or_default();
                let mut to = to.chunks_mut(parts.width);
                for (part, code) in (0..parts.parts).zip(codes) {
                    let Some(to) = to.next() else { break };
                    let from = parts.part(part, *code);
                    to.iter_mut().zip(from).for_each(|(to, from)| *to += norm * from);
                }
            }
        }
    }

    /// All values, of so many rows at least.
    pub(super) fn all(&self, rows: usize) -> Result<Vec<f32>, LanguageModelError> {
        let columns = self.columns();
        let values = self.rows().checked_mul(columns).filter(|values| *values <= MAX_VALUES);
        let Some(values) = values.filter(|_| self.rows() + 1 >= rows) else {
            return Err(LanguageModelError::foreign("its output does not fit its labels"));
        };
        let mut all = vec![0.0; values];
        for (row, to) in all.chunks_exact_mut(columns.max(1)).enumerate() {
            self.add_row(row, to);
        }
        Ok(all)
    }
}

impl Quantiser {
    fn read(reader: &mut Reader<'_>) -> Result<Self, LanguageModelError> {
        let mut size = || reader.small_size();
        let (columns, parts, width, last) = (size()?, size()?, size()?, size()?);
        let fits = parts > 0
            && (1..=MAX_DIMENSION).contains(&columns)
            && (1..=columns).contains(&last)
            && (parts - 1).checked_mul(width).and_then(|n| n.checked_add(last)) == Some(columns)
            && last <= width.max(1);
        if !fits {
            return Err(LanguageModelError::foreign("a matrix of it contradicts itself"));
        }
        Ok(Self {
            columns,
            parts,
            width: width.max(1),
            last,
            values: reader.floats(columns * CODES)?,
        })
    }

    /// The values that a code stands for at a place.
    fn part(&self, part: usize, code: u8) -> &[f32] {
        let width = if part + 1 == self.parts { self.last } else { self.width };
        let start = part * CODES * self.width + usize::from(code) * width;
        self.values.get(start..start + width).unwrap_or_default()
    }
}
