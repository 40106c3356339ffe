use std::fs;

use super::{MAX_BYTES, Opened, Reject, Row, Sink, decode};
use crate::PrepareError;

/// One document per file; its label is the name of the folder that it is in.
pub(super) fn read_document(file: &Opened<'_>, sink: Sink<'_>) -> Result<(), PrepareError> {
    let fail = |error| PrepareError::file(file.name, error);
    let size = fs::metadata(file.path).map_err(fail)?.len();
    let origin = file.origin(1);
    if size > MAX_BYTES as u64 {
        let reject = Reject::new("too-long", format!("the file has over {MAX_BYTES} bytes"));
        return sink(Err(reject.at(origin, &[])));
    }
    let bytes = fs::read(file.path).map_err(fail)?;
    file.progress.advance(size);
    let folder = file.name.rsplit('/').nth(1).map(str::to_owned);
    let row = decode(&bytes, file.source.encoding).and_then(|text| {
        let label = folder.ok_or_else(|| Reject::new("no-label", "the file is in no folder"))?;
        let id = Some(file.name.to_owned());
        Ok(Row { text, label: Some(label), id, origin: origin.clone(), ..Row::default() })
    });
    sink(row.map_err(|reject| reject.at(origin, &bytes)))
}
