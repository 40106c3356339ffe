//! Memory that kernels read and write: rows with a padded stride, aligned to cache lines.

/// Columns of a panel of weights; rows of operands are padded to a multiple of it.
pub(crate) const PANEL: usize = 32;
/// Rows that may be read, not used, behind the last row of an operand: tiles come whole.
const SPARE_ROWS: usize = 32;

/// A cache line, and a vector of AVX-512.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// Rows of f32, the residual stream of an encoder. What lies behind the last column of a row, up
/// to the stride, is zero.
#[derive(Default)]
pub(crate) struct Rows {
    lines: Vec<Line>,
    columns: usize,
    rows: usize,
}

/// A left operand of products: rows of elements of whichever type the kernel computes with, f32
/// or bf16. What lies behind the last column is zero.
#[derive(Default)]
pub(crate) struct Operand {
    lines: Vec<Line>,
    columns: usize,
    rows: usize,
}

const LINE: usize = 16;

fn grow(lines: &mut Vec<Line>, values: usize) {
    let wanted = values.div_ceil(LINE);
    if lines.len() < wanted {
        lines.resize(wanted, Line([0.0; 16]));
    }
}

fn padded(columns: usize) -> usize {
    columns.next_multiple_of(PANEL)
}

impl Rows {
    /// Makes room for `rows` rows. A buffer has the same columns all its life, so that its
    /// padding stays zero.
    pub(crate) fn resize(&mut self, rows: usize, columns: usize) {
        if self.columns != columns {
            self.lines.clear();
            self.columns = columns;
        }
        self.rows = rows;
        grow(&mut self.lines, (rows + SPARE_ROWS) * padded(columns));
    }

    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) const fn columns(&self) -> usize {
        self.columns
    }

    /// Values from row to row.
    pub(crate) fn stride(&self) -> usize {
        padded(self.columns)
    }

    /// A row, without its padding.
    pub(crate) fn row(&self, row: usize) -> &[f32] {
        let start = row * self.stride();
        self.values().get(start..start + self.columns).unwrap_or_default()
    }

    /// A row to write to, without its padding.
    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        let (start, columns) = (row * self.stride(), self.columns);
        // SAFETY: a line is sixteen values without padding between or around them.
        let values =
            unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), self.lines.len() * LINE) };
        values.get_mut(start..start + columns).unwrap_or_default()
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut f32 {
        self.lines.as_mut_ptr().cast()
    }

    fn values(&self) -> &[f32] {
        // SAFETY: a line is sixteen values without padding between or around them.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.lines.len() * LINE) }
    }
}

impl Operand {
    /// Makes room for `rows` rows. A buffer has the same columns all its life, so that its
    /// padding stays zero.
    pub(crate) fn resize(&mut self, rows: usize, columns: usize) {
        if self.columns != columns {
            self.lines.clear();
            self.columns = columns;
        }
        self.rows = rows;
        // Room for the largest elements that there are.
        let values = (rows + SPARE_ROWS) * self.stride();
        grow(&mut self.lines, values);
    }

    /// Makes room for this many elements, whatever they mean.
    pub(super) fn resize_flat(&mut self, elements: usize) {
        self.resize(elements.div_ceil(PANEL), PANEL);
    }

    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) const fn columns(&self) -> usize {
        self.columns
    }

    /// Elements from row to row. Strides that are multiples of 2 kB would put all rows of a block
    /// into the same few places of the first cache.
    pub(crate) fn stride(&self) -> usize {
        let stride = padded(self.columns);
        if stride.is_multiple_of(512) { stride + PANEL } else { stride }
    }

    pub(super) fn as_ptr<E>(&self) -> *const E {
        self.lines.as_ptr().cast()
    }

    pub(super) fn as_mut_ptr<E>(&mut self) -> *mut E {
        self.lines.as_mut_ptr().cast()
    }
}
