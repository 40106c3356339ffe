use std::path::{Path, PathBuf};

use arrow_schema::FieldRef;
use mesh_core::ProgressTask;
use mesh_postgres::{Database, Halt, Patience, PostgresError, PostgresErrorKind, Relation, quoted};
use sqlx::{Row, postgres::PgRow};

use super::{
    Span, json,
    keys::{KeyMarks, KeyRange},
    marks::FileMarks,
    plan::Plan,
    text,
    waiting::{Batches, Sink, Waiting},
};
use crate::{ArchiveError, Format, TableFile, Unusable};

/// A table in a database: its rows are read in the order of their keys, never by their number.
#[derive(Debug)]
pub(super) struct Source {
    database: Database,
    relation: Relation,
    /// Its name, to name it by in errors.
    told: PathBuf,
}

/// Which rows are read with one statement.
struct Page<'k> {
    after: Option<&'k str>,
    until: Option<&'k str>,
    keyless: bool,
    /// Rows that are passed over: only in a block of a span.
    skipped: u64,
    most: u64,
}

/// What takes the rows of a page: the key of each, and its values.
type Take<'t> =
    &'t mut dyn FnMut(&str, Result<Vec<Option<&str>>, Unusable>) -> Result<(), ArchiveError>;

/// Rows of a statement: no statement of ours sees an old state of the table for long, so that the
/// server may clean up after others.
const PAGE: u64 = 10_000;
/// Rows that a span may have more than were counted: times as many, and so many beside.
const GROWN_TIMES: u64 = 4;
const GROWN_BESIDE: u64 = 4096;

impl Source {
    /// Looks the table of the database's address up.
    pub(super) fn open(database: &Database, key: &str) -> Result<Self, ArchiveError> {
        let relation = Relation::find(database, database.address().table(), key)?;
        let told = format!("{} of {}", relation.told(), database.told()).into();
        Ok(Self { database: database.clone(), relation, told })
    }

    /// It as the only file of a table.
    pub(super) fn file(&self) -> TableFile {
        let stamp = self.relation.id.to_string();
        TableFile { name: self.relation.told(), bytes: 0, stamp, partitions: Vec::new() }
    }

    pub(super) fn told(&self) -> &Path {
        &self.told
    }

    /// Its columns, as those of JSON.
    pub(super) fn columns(&self) -> Vec<FieldRef> {
        let columns = self.relation.columns.iter();
        columns.map(|column| text::field(&column.name, Format::Jsonl)).collect()
    }

    /// Gives all rows that there are when their turn comes, and finds their marks.
    pub(super) fn scan(
        &self,
        batches: Batches<'_>,
        task: &dyn ProgressTask,
        sink: Sink<'_>,
    ) -> Result<FileMarks, ArchiveError> {
        let mut waiting = Waiting::new(batches, 0, sink);
        let mut marks = FileMarks::default();
        // A row without a key is one all the same: it is told that it has none.
        let kinds: &[bool] = if self.relation.key.required { &[false] } else { &[false, true] };
        for keyless in kinds {
            let mut keys = KeyMarks::new(*keyless);
            let mut last: Option<String> = None;
            loop {
                batches.cancel.check()?;
                let after = last.take();
                let page = Page { after: after.as_deref(), keyless: *keyless, ..Page::all() };
                let before = keys.rows();
                last = self.page(batches.plan, page, &mut |key, row| {
                    keys.push(key);
                    waiting.push(row)
                })?;
                let rows = keys.rows() - before;
                task.advance(rows);
                if rows < PAGE {
                    break;
                }
            }
            marks.rows += keys.rows();
            marks.keys.push(keys);
        }
        waiting.flush()?;
        Ok(marks)
    }

    /// Gives the rows of a span, as they are now.
    pub(super) fn read(
        &self,
        batches: Batches<'_>,
        span: &Span,
        sink: Sink<'_>,
    ) -> Result<(), ArchiveError> {
        let Some(KeyRange { after, until, keyless, block }) = &span.keys else {
            return Err(ArchiveError::changed(&self.told, "the archive was files before"));
        };
        let most = GROWN_TIMES * span.rows + GROWN_BESIDE;
        let (skipped, most) = block.unwrap_or((0, most));
        let mut waiting = Waiting::new(batches, span.first, sink);
        let page = Page {
            after: after.as_deref(),
            until: Some(until),
            keyless: *keyless,
            skipped,
            most: if block.is_some() { most } else { most + 1 },
        };
        let mut rows = 0;
        self.page(batches.plan, page, &mut |_, row| {
            rows += 1;
            if rows > most {
                let kind = PostgresErrorKind::Grown(self.relation.told());
                return Err(PostgresError::new(kind).into());
            }
            waiting.push(row)
        })?;
        waiting.flush()
    }

    /// Gives the rows of a page, and goes on behind the last one if the connection is lost; tells
    /// the key of the last.
    fn page(
        &self,
        plan: &Plan,
        mut page: Page<'_>,
        take: Take<'_>,
    ) -> Result<Option<String>, ArchiveError> {
        let (mut last, mut rows) = (None::<String>, 0);
        let mut patience = Patience::default();
        loop {
            let begun = last.clone();
            let now = Page {
                after: begun.as_deref().or(page.after),
                skipped: page.skipped,
                most: page.most - rows,
                ..page
            };
            let (statement, values) = (self.statement(plan, &now), now.values());
            let read = self.database.each(&statement, &values, &mut |row: &PgRow| {
                let (key, line) = parts(row).map_err(|error| self.failed(error))?;
                take(key, json::pick(line.as_bytes(), &plan.own).and_then(json::told))?;
                rows += 1;
                last = Some(key.to_owned());
                Ok(())
            });
            match read {
                Ok(()) => return Ok(last),
                Err(Halt::Taker(error)) => return Err(error),
                Err(Halt::Server(error)) => {
                    if last != begun {
                        patience.restore();
                        page.skipped = 0;
                    }
                    self.database.wait(&mut patience, "read the documents", error)?;
                }
            }
            if rows == page.most {
                return Ok(last);
            }
        }
    }

    fn failed(&self, error: sqlx::Error) -> ArchiveError {
        PostgresError::of(self.database.address(), "give the documents", error).into()
    }

    /// The statement for a page, with its values as `$1` and so on.
    fn statement(&self, plan: &Plan, page: &Page<'_>) -> String {
        let names = plan.own.iter().map(|field| format!("t.{}", quoted(field.name())));
        let names = names.collect::<Vec<_>>().join(", ");
        let key = format!("t.{}", quoted(&self.relation.key.name));
        let (place, order) = match page.keyless {
            false => (format!("{key}::text"), key.clone()),
            // Where a row lies names it for as long as nobody touches it.
            true => (
                "t.tableoid::bigint::text || ' ' || t.ctid::text".to_owned(),
                "t.tableoid, t.ctid".to_owned(),
            ),
        };
        let kind = if page.keyless { "NULL" } else { "NOT NULL" };
        let mut conditions = vec![format!("{key} IS {kind}")];
        let bounds = [page.after.map(|_| ">"), page.until.map(|_| "<=")];
        for (at, sign) in bounds.into_iter().flatten().enumerate() {
            conditions.push(format!("({order}) {sign} {}", self.bound(at + 1, page.keyless)));
        }
        format!(
            "SELECT {place}, (SELECT row_to_json(mesh_row.*)::text FROM (SELECT {names}) mesh_row) \
             FROM {} t WHERE {} ORDER BY {order} LIMIT {} OFFSET {}",
            self.relation.sql(),
            conditions.join(" AND "),
            page.most,
            page.skipped
        )
    }

    /// The value that a row's key, or where a row without one lies, is compared with.
    fn bound(&self, number: usize, keyless: bool) -> String {
        if !keyless {
            return format!("CAST(${number}::text AS {})", self.relation.key.kind);
        }
        let part =
            |at: usize, kind: &str| format!("split_part(${number}::text, ' ', {at})::{kind}");
        format!("({}, {})", part(1, "oid"), part(2, "tid"))
    }
}

impl Page<'_> {
    /// The first rows of all.
    const fn all() -> Self {
        Self { after: None, until: None, keyless: false, skipped: 0, most: PAGE }
    }

    fn values(&self) -> Vec<&str> {
        [self.after, self.until].into_iter().flatten().collect()
    }
}

/// The key and the JSON of a row.
fn parts(row: &PgRow) -> Result<(&str, &str), sqlx::Error> {
    Ok((row.try_get(0)?, row.try_get(1)?))
}
