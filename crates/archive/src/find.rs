use std::collections::{BTreeMap, HashMap};

use mesh_core::Cancel;
use mesh_minhash::Index;

use crate::{
    Archive, ArchiveError, ArchiveErrorKind, Unfinished, Unusable, Watch,
    dedup::{Document, Sketched, TextId},
};

/// Two rows that are alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair<'a> {
    /// The earlier one. Of copies of a text, it is the first.
    pub first: Place<'a>,
    /// The later one.
    pub second: Place<'a>,
    /// The Jaccard similarity of their sets of shingles: exact, at least the threshold.
    pub similarity: f64,
    /// Whether their texts are the same, byte by byte.
    pub exact: bool,
}

/// A row of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// Its number: the first of the first file is 0.
    pub row: u64,
    /// What names it, if it has such a value.
    pub key: Option<&'a str>,
}

/// What was found in an archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Duplicates {
    /// Rows of the archive.
    pub rows: u64,
    /// Rows that cannot be compared, by the reason. They are kept.
    pub unusable: BTreeMap<Unusable, u64>,
    /// Rows whose text, byte by byte, is that of an earlier row. They are dropped.
    pub copies: u64,
    /// Pairs of different texts that are alike.
    pub pairs: u64,
    /// Rows that are dropped as they are like a row that is kept.
    pub near: u64,
    /// Groups of two or more rows that copies and pairs connect.
    pub groups: u64,
    /// Rows with so many pairs that they were compared with, but no later row with them.
    pub crowded: u64,
    /// Whether each row is dropped.
    dropped: Vec<bool>,
}

/// Takes the rows of an archive in their order, and compares each with those before it.
pub(crate) struct Finder<'a, F> {
    index: Index,
    cancel: &'a Cancel,
    take: F,
    found: Duplicates,
    /// The row of the first copy of each text.
    texts: HashMap<TextId, u64>,
    /// The row of each document of the index.
    rows: Vec<u64>,
    groups: Groups,
    keys: Keys,
}

/// Which documents of the index are connected.
#[derive(Default)]
struct Groups {
    parents: Vec<usize>,
    /// Whether anything is like a document, or is a copy of it.
    joined: Vec<bool>,
}

/// The names of rows, one after another.
#[derive(Default)]
struct Keys {
    text: String,
    /// Where the name of each row ends, and whether it has one; up to the last that has.
    ends: Vec<(usize, bool)>,
}

/// Pairs of a row, beyond which no later row is compared with it if it is dropped: of a text that
/// is there a hundred thousand times with another number in it, all pairs are ten billion.
const CROWD: usize = 1000;

impl Duplicates {
    /// Whether a row is dropped; rows are numbered from 0.
    #[must_use]
    pub fn is_dropped(&self, row: u64) -> bool {
        usize::try_from(row).ok().and_then(|row| self.dropped.get(row)).copied().unwrap_or(false)
    }

    /// How many rows are not dropped.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.rows - self.copies - self.near
    }

    /// Writes the rows that are not dropped, as they are and in their order.
    ///
    /// # Errors
    /// When the archive cannot be read or is not the one that was gone through, the rows cannot be
    /// written, or it was asked to stop.
    pub fn copy(
        &self,
        archive: &Archive,
        output: &Unfinished,
        watch: Watch<'_>,
    ) -> Result<(), ArchiveError> {
        let rows = archive.copy(output, watch, |row| !self.is_dropped(row))?;
        match rows == self.rows {
            true => Ok(()),
            false => Err(ArchiveError::new(ArchiveErrorKind::Changed)),
        }
    }
}

impl<'a, F: FnMut(&Pair<'_>) -> Result<(), ArchiveError>> Finder<'a, F> {
    pub(crate) fn new(index: Index, cancel: &'a Cancel, take: F) -> Self {
        Self {
            index,
            cancel,
            take,
            found: Duplicates::default(),
            texts: HashMap::new(),
            rows: Vec::new(),
            groups: Groups::default(),
            keys: Keys::default(),
        }
    }

    pub(crate) fn push(&mut self, row: Sketched) -> Result<(), ArchiveError> {
        self.cancel.check()?;
        self.keys.put(self.found.rows, row.key.as_deref());
        let dropped = match row.document {
            Ok(document) => self.compare(document)?,
            Err(reason) => {
                *self.found.unusable.entry(reason).or_default() += 1;
                false
            }
        };
        self.found.dropped.push(dropped);
        self.found.rows += 1;
        Ok(())
    }

    /// Compares the next row with those before it; says whether it is dropped.
    fn compare(&mut self, document: Document) -> Result<bool, ArchiveError> {
        let row = self.found.rows;
        let first = *self.texts.entry(document.text).or_insert(row);
        if first != row {
            self.found.copies += 1;
            // One that is not in the index is of a group already.
            if let Ok(copied) = self.rows.binary_search(&first) {
                self.groups.mark(copied);
            }
            self.tell(first, None)?;
            return Ok(true);
        }
        let matches = self.index.matches(&document.sketch);
        let mut dropped = false;
        for like in &matches {
            let Some(earlier) = self.rows.get(like.document).copied() else { continue };
            dropped |= !self.found.is_dropped(earlier);
            self.tell(earlier, Some(like.similarity))?;
        }
        self.found.pairs += matches.len() as u64;
        self.found.near += u64::from(dropped);
        let crowded = dropped && matches.len() >= CROWD;
        if crowded {
            self.found.crowded += 1;
        } else {
            self.index.insert(&document.sketch);
            self.rows.push(row);
            self.groups.push();
        }
        let own = (!crowded).then(|| self.rows.len() - 1);
        let mut alike = matches.iter().map(|like| like.document).chain(own);
        if let (Some(one), false) = (alike.next(), matches.is_empty()) {
            alike.for_each(|other| self.groups.join(one, other));
        }
        Ok(dropped)
    }

    /// Tells of an earlier row that the next one is like; without a similarity it is a copy.
    fn tell(&mut self, earlier: u64, similarity: Option<f64>) -> Result<(), ArchiveError> {
        let place = |row| Place { row, key: self.keys.get(row) };
        let (first, second) = (place(earlier), place(self.found.rows));
        let exact = similarity.is_none();
        (self.take)(&Pair { first, second, similarity: similarity.unwrap_or(1.0), exact })
    }

    pub(crate) fn finish(mut self) -> Duplicates {
        self.found.groups = self.groups.count();
        self.found
    }
}

impl Groups {
    fn push(&mut self) {
        self.parents.push(self.parents.len());
        self.joined.push(false);
    }

    fn mark(&mut self, document: usize) {
        if let Some(joined) = self.joined.get_mut(document) {
            *joined = true;
        }
    }

    fn root(&mut self, document: usize) -> usize {
        let mut at = document;
        while let Some(parent) = self.parents.get(at).copied().filter(|parent| *parent != at) {
            // Each step halves the path for those who come after.
            let above = self.parents.get(parent).copied().unwrap_or(parent);
            if let Some(parent) = self.parents.get_mut(at) {
                *parent = above;
            }
            at = above;
        }
        at
    }

    fn join(&mut self, one: usize, two: usize) {
        self.mark(one);
        self.mark(two);
        let (one, two) = (self.root(one), self.root(two));
        if let Some(parent) = self.parents.get_mut(one.max(two)) {
            *parent = one.min(two);
        }
    }

    /// How many groups of two or more there are.
    fn count(&self) -> u64 {
        // Whatever is joined to something has a marked root, and a copied text is its own.
        let roots = self.parents.iter().zip(&self.joined).enumerate();
        roots.filter(|(at, (parent, joined))| at == *parent && **joined).count() as u64
    }
}

impl Keys {
    fn put(&mut self, row: u64, key: Option<&str>) {
        if let (Some(key), Ok(row)) = (key, usize::try_from(row)) {
            self.ends.resize(row, (self.text.len(), false));
            self.text.push_str(key);
            self.ends.push((self.text.len(), true));
        }
    }

    fn get(&self, row: u64) -> Option<&str> {
        let row = usize::try_from(row).ok()?;
        let (end, true) = *self.ends.get(row)? else { return None };
        let start = row.checked_sub(1).and_then(|before| self.ends.get(before));
        self.text.get(start.map_or(0, |(end, _)| *end)..end)
    }
}
