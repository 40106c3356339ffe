use std::path::{Path, PathBuf};

use futures::TryStreamExt;
use object_store::{ObjectStoreExt, path::Path as ObjectPath};
use percent_encoding::percent_decode_str;

use super::place::{Bucket, Identity, Object, Place};
use crate::{ArchiveError, ArchiveErrorKind, Format, TableFile};

/// What was found of a table.
pub(super) struct Listed {
    /// Its files, in the order of their names.
    pub(super) files: Vec<(TableFile, Place)>,
    /// The format of all.
    pub(super) format: Format,
    /// The names of other files that lie among them.
    pub(super) passed: Vec<String>,
}

/// A file that was found, with its name below the table's folder.
struct Found {
    name: String,
    identity: Identity,
    place: Place,
}

/// What is told of another archive is not a part of this one.
const ENRICHED: &str = ".enriched";
/// How other programs write that a row has no value in a column that is a folder.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// Finds the files of a table that lie on this machine.
pub(super) fn local(path: &Path, format: Option<Format>) -> Result<Listed, ArchiveError> {
    let about = path.metadata().map_err(|error| ArchiveError::open(path, error))?;
    if about.is_dir() {
        let mut files = Vec::new();
        let above = [path.canonicalize().map_err(|error| ArchiveError::open(path, error))?];
        walk(path, "", &above, &mut files)?;
        return choose(files, path, format);
    }
    let identity = Identity::of_file(&about);
    single(path, identity, Place::Local(path.to_owned()), format)
}

/// Finds the files of a table that are objects.
pub(super) fn objects(
    bucket: &Bucket,
    path: &ObjectPath,
    format: Option<Format>,
) -> Result<Listed, ArchiveError> {
    let told = Path::new(path.as_ref());
    let Bucket { store, runtime } = bucket;
    let prefix = (!path.as_ref().is_empty()).then_some(path);
    let all = runtime.block_on(store.list(prefix).try_collect::<Vec<_>>());
    let all = all.map_err(|error| ArchiveError::store(told, error))?;
    // Asked second, as some servers answer badly when a folder is asked for as an object.
    if all.is_empty() && !path.as_ref().is_empty() {
        match runtime.block_on(store.head(path)) {
            Ok(about) => {
                let identity = Identity::of_object(&about);
                return single(told, identity, Place::Object(Object::new(bucket, about)), format);
            }
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(ArchiveError::store(told, error)),
        }
    }
    // Some servers tell less of an object in a list than when it is asked for.
    let whole = all.into_iter().map(|about| match about.e_tag {
        Some(_) => Ok(about),
        None => runtime.block_on(store.head(&about.location)),
    });
    let all = whole.collect::<Result<Vec<_>, _>>();
    let all = all.map_err(|error| ArchiveError::store(told, error))?;
    let files = all.into_iter().filter_map(|about| {
        let whole = about.location.as_ref();
        let below = whole.strip_prefix(path.as_ref())?.trim_start_matches('/');
        let name = below.to_owned();
        let aside = name.is_empty() || name.split('/').any(is_aside);
        let identity = Identity::of_object(&about);
        (!aside).then(|| Found { name, identity, place: Place::Object(Object::new(bucket, about)) })
    });
    choose(files.collect(), told, format)
}

/// Finds the files below a folder. `above` are the folders that it lies in, and itself: a link to
/// one of them would be followed without end.
fn walk(
    folder: &Path,
    name: &str,
    above: &[PathBuf],
    files: &mut Vec<Found>,
) -> Result<(), ArchiveError> {
    let fail = |error| ArchiveError::open(folder, error);
    for entry in folder.read_dir().map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let own = entry.file_name().to_string_lossy().into_owned();
        if is_aside(&own) {
            continue;
        }
        let path = entry.path();
        let name = if name.is_empty() { own } else { format!("{name}/{own}") };
        // A link to nowhere is no file.
        let Ok(about) = path.metadata() else { continue };
        if about.is_dir() {
            let real = path.canonicalize().map_err(|error| ArchiveError::open(&path, error))?;
            if !above.contains(&real) {
                let above: Vec<PathBuf> = above.iter().cloned().chain([real]).collect();
                walk(&path, &name, &above, files)?;
            }
        } else if about.is_file() {
            let identity = Identity::of_file(&about);
            files.push(Found { name, identity, place: Place::Local(path) });
        }
    }
    Ok(())
}

fn single(
    told: &Path,
    identity: Identity,
    place: Place,
    format: Option<Format>,
) -> Result<Listed, ArchiveError> {
    let format = format.or_else(|| Format::of(told));
    let format = format.ok_or_else(|| ArchiveError::format(told))?;
    let name = told.file_name().map(|name| name.to_string_lossy().into_owned());
    let found = Found { name: name.unwrap_or_default(), identity, place };
    Ok(Listed { files: vec![found.into_file()], format, passed: Vec::new() })
}

/// The files of one format among all of a folder, in the order of their names.
fn choose(
    files: Vec<Found>,
    folder: &Path,
    format: Option<Format>,
) -> Result<Listed, ArchiveError> {
    let told = || folder.display().to_string();
    let named = |file: &Found| Format::of(Path::new(&file.name));
    let mut formats = files.iter().filter_map(named);
    let empty = || ArchiveError::new(ArchiveErrorKind::Empty(told()));
    let chosen = format.or_else(|| formats.next()).ok_or_else(empty)?;
    if format.is_none() && formats.any(|other| other != chosen) {
        return Err(ArchiveError::new(ArchiveErrorKind::Mixed(told())));
    }
    let (mut files, others): (Vec<Found>, Vec<Found>) =
        files.into_iter().partition(|file| named(file) == Some(chosen));
    if files.is_empty() {
        return Err(empty());
    }
    files.sort_by(|one, two| one.name.cmp(&two.name));
    let mut passed: Vec<String> = others.into_iter().map(|file| file.name).collect();
    passed.sort();
    let files = files.into_iter().map(Found::into_file).collect();
    Ok(Listed { files, format: chosen, passed })
}

impl Found {
    fn into_file(self) -> (TableFile, Place) {
        let Self { name, identity: Identity { bytes, stamp }, place } = self;
        let partitions = partitions(&name);
        (TableFile { name, bytes, stamp, partitions }, place)
    }
}

/// The columns that the folders of a file are: `lang=en/` is one.
fn partitions(name: &str) -> Vec<(String, String)> {
    let decode = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let Some((folders, _)) = name.rsplit_once('/') else { return Vec::new() };
    let folders = folders.split('/').filter_map(|folder| folder.split_once('='));
    let folders = folders.filter(|(column, value)| !column.is_empty() && *value != NULL);
    folders.map(|(column, value)| (decode(column), decode(value))).collect()
}

/// Whether a file or folder is hidden, or a mark of another program.
fn is_aside(name: &str) -> bool {
    name.starts_with(['.', '_']) || name.ends_with(ENRICHED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_columns() {
        let cases: [(&str, &[(&str, &str)]); 6] = [
            ("a.csv", &[]),
            ("lang=en/a.csv", &[("lang", "en")]),
            ("x/lang=en/y=/b=c=d.csv", &[("lang", "en"), ("y", "")]),
            ("a=b=c/=d/e.csv", &[("a", "b=c")]),
            ("a%20b=%C3%A9%2F/x.csv", &[("a b", "é/")]),
            ("lang=__HIVE_DEFAULT_PARTITION__/a.csv", &[]),
        ];
        for (name, expected) in cases {
            let found = partitions(name);
            let found: Vec<_> = found.iter().map(|(c, v)| (c.as_str(), v.as_str())).collect();
            assert_eq!(found, expected, "{name}");
        }
    }
}
