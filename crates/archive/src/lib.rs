//! Archives: documents by the hundred thousand, in Parquet, JSONL, CSV or TSV files, or in a table
//! of a database.
//!
//! An [`Archive`] is read a row at a time, only the columns that are asked for. A row that cannot
//! be read is a row all the same: it keeps its number, its reason is counted, and a copy of the
//! archive holds it as it is. What [`Dedup`] drops is a copy of a row that is kept, or as similar
//! to one as was asked for; both are verified, not estimated.
//!
//! ```no_run
//! use mesh_archive::{Archive, Columns, Dedup, Unfinished, Watch};
//! use mesh_core::{Cancel, NoProgress};
//!
//! let archive = Archive::open("news.parquet".as_ref())?;
//! let columns = Columns { text: "content".into(), key: None };
//! let (progress, cancel) = (&NoProgress, &Cancel::new());
//! let watch = Watch { progress, cancel };
//! let found = Dedup::default().run(&archive, &columns, watch, |_| Ok(()))?;
//! println!("{} of {} rows would remain", found.remaining(), found.rows);
//! let output = Unfinished::create("fewer.parquet".as_ref())?;
//! found.copy(&archive, &output, watch)?;
//! output.finish()?;
//! # Ok::<(), mesh_archive::ArchiveError>(())
//! ```
//!
//! A [`Table`] is an archive of which any columns are read, here or in an object store, and any
//! run of rows again without those before it: one whole [`Table::scan`] gives the [`Marks`] for
//! that. Whatever is read in [`Span`]s is what the scan gave, or an error says that it changed.
//!
//! ```no_run
//! use mesh_archive::{Location, Table, Watch, text_of};
//! use mesh_core::{Cancel, NoProgress};
//!
//! let table = Table::open(&Location::Local("news".into()), None)?;
//! let columns = ["id".to_owned(), "content".to_owned()];
//! let (progress, cancel) = (&NoProgress, &Cancel::new());
//! let watch = Watch { progress, cancel };
//! let marks = table.scan(&columns, watch, "count", &mut |_| Ok(()))?;
//! for span in marks.spans(10_000) {
//!     table.read(&columns, &span, &mut |rows| {
//!         let (schema, content) = (rows.batch.schema(), rows.batch.column(1));
//!         for row in 0..rows.batch.num_rows() {
//!             println!("{:?}", text_of(content.as_ref(), schema.field(1), row));
//!         }
//!         Ok(())
//!     })?;
//! }
//! # Ok::<(), mesh_archive::ArchiveError>(())
//! ```

mod copy;
mod dedup;
mod documents;
mod error;
mod find;
mod format;
mod lines;
mod pairs;
mod parquet;
mod read;
mod records;
mod table;
mod value;

pub use copy::Unfinished;
pub use dedup::Dedup;
pub use documents::{NoDocument, line_of, rows_of};
pub use error::{ArchiveError, ArchiveErrorKind};
pub use find::{Duplicates, Pair, Place};
pub use format::{Archive, Format};
pub use pairs::PairWriter;
pub use read::{Columns, Unusable, Watch};
pub use table::{KeyRange, Location, Marks, Rows, Span, Table, TableFile};
pub use value::{bytes_of, is_bytes, is_text, json_of, push_json, push_json_text, text_of};
