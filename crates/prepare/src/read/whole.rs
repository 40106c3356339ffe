use std::{fs, path::Path};

use mesh_core::manifest::SourceTable;

use super::{MAX_BYTES, Reject, Row, Sink, decode};
use crate::PrepareError;

/// One document per file; its label is the name of the folder that it is in.
pub(super) fn read_document(
    name: &str,
    path: &Path,
    source: &SourceTable,
    sink: Sink<'_>,
) -> Result<(), PrepareError> {
    let fail = |error| PrepareError::file(name, error);
    let size = fs::metadata(path).map_err(fail)?.len();
    let origin = format!("{name}:1");
    if size > MAX_BYTES as u64 {
        let reject = Reject::new("too-long", format!("the file has over {MAX_BYTES} bytes"));
        return sink(Err(reject.at(origin, &[])));
    }
    let bytes = fs::read(path).map_err(fail)?;
    let folder = name.rsplit('/').nth(1).map(str::to_owned);
    let row = decode(&bytes, source.encoding).and_then(|text| {
        let label = folder.ok_or_else(|| Reject::new("no-label", "the file is in no folder"))?;
        let id = Some(name.to_owned());
        Ok(Row { text, label: Some(label), id, origin: origin.clone(), ..Row::default() })
    });
    sink(row.map_err(|reject| reject.at(origin, &bytes)))
}
