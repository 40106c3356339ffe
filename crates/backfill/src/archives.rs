//! The archives of a workspace: their manifests, their documents, their enrichments.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use mesh_archive::{ArchiveError, ArchiveErrorKind, Format, Location, Table};
use mesh_core::{
    Cancel, ProjectName, did_you_mean,
    manifest::{ArchiveManifest, ManifestError, RowFormat},
};
use mesh_postgres::{Address, Database, is_address};
use mesh_store::open_objects;
use tokio::runtime::Handle;

use crate::{
    BackfillError, BackfillErrorKind,
    follow::{Followed, Keep},
    generation::Generation,
    keys::FileStamp,
    owner::Owner,
    place::Place,
    pointer::Current,
    publication::Publication,
};

/// An archive of a workspace, by its manifest.
#[derive(Debug, Clone)]
pub struct ArchiveFile {
    root: PathBuf,
    manifest: ArchiveManifest,
}

/// An archive whose documents and enrichments can be read.
#[derive(Debug, Clone)]
pub struct OpenArchive {
    pub(crate) manifest: ArchiveManifest,
    pub(crate) table: Table,
    pub(crate) place: Place,
    /// Where readers look for enrichments, if the documents are a table in a database: in it.
    pub(crate) publication: Option<Publication>,
}

impl ArchiveFile {
    /// The archives of the workspace at a folder, sorted by name; those whose manifests cannot be
    /// used are errors.
    ///
    /// # Errors
    /// When the folder of archives cannot be read.
    pub fn all(root: &Path) -> Result<Vec<Result<Self, ManifestError>>, BackfillError> {
        let folder = root.join(ArchiveManifest::FOLDER);
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let unreadable = |path: &Path, error: std::io::Error| {
            let kind = BackfillErrorKind::Read(path.display().to_string());
            BackfillError::new("read the archives", kind).because(error)
        };
        let entries = fs::read_dir(&folder).map_err(|error| unreadable(&folder, error))?;
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| unreadable(&folder, error))?.path();
            if path.extension().is_some_and(|ending| ending == "toml") {
                paths.push(path);
            }
        }
        paths.sort();
        let read = |path: &PathBuf| {
            let text = fs::read_to_string(path).map_err(|error| unreadable(path, error))?;
            let shown = path.strip_prefix(root).unwrap_or(path).display().to_string();
            let manifest = ArchiveManifest::parse(&shown, &text).and_then(|manifest| {
                let expected = path.file_stem().unwrap_or_default().to_string_lossy();
                if manifest.archive.name.as_str() == expected {
                    return Ok(manifest);
                }
                let message = format!("`name` is not the name of the file, `{expected}`");
                let help = "rename the one or the other".to_owned();
                Err(ManifestError::conflict(&shown, &text, "archive.name", message, help))
            });
            Ok(manifest.map(|manifest| Self { root: root.to_owned(), manifest }))
        };
        paths.iter().map(read).collect()
    }

    /// An archive of the workspace at a folder, by a manifest that is not written yet.
    #[must_use]
    pub fn new(root: &Path, manifest: ArchiveManifest) -> Self {
        Self { root: root.to_owned(), manifest }
    }

    /// The archive of that name.
    ///
    /// # Errors
    /// When there is none, or its manifest cannot be used.
    pub fn find(root: &Path, name: &str) -> Result<Self, BackfillError> {
        let mut known = Vec::new();
        for archive in Self::all(root)? {
            match archive {
                Ok(archive) if archive.name().as_str() == name => return Ok(archive),
                Ok(archive) => known.push(archive.name().to_string()),
                Err(error) if root.join(Self::file(name)).exists() => return Err(error.into()),
                Err(_) => {}
            }
        }
        let help = match known.is_empty() {
            true => "this workspace has no archives: `mesh new archive --help` makes one".into(),
            false => {
                let hint = did_you_mean(name, known.iter().map(String::as_str));
                format!("{hint}This workspace has: {}", known.join(", "))
            }
        };
        let kind = BackfillErrorKind::Unknown(format!("archive `{name}`"));
        Err(BackfillError::new("find the archive", kind).help(help))
    }

    /// The file of an archive's manifest, in its workspace.
    #[must_use]
    pub fn file(name: &str) -> PathBuf {
        Path::new(ArchiveManifest::FOLDER).join(format!("{name}.toml"))
    }

    /// What its manifest says.
    #[must_use]
    pub const fn manifest(&self) -> &ArchiveManifest {
        &self.manifest
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &ProjectName {
        &self.manifest.archive.name
    }

    /// Opens its documents, and the place of its enrichments. Whoever raises `cancel` is not made
    /// to wait for a database that went away.
    ///
    /// # Errors
    /// When one or the other cannot be reached.
    pub fn open(&self, runtime: &Handle, cancel: &Cancel) -> Result<OpenArchive, BackfillError> {
        self.open_with(runtime, cancel, |location| Ok(Table::open(location, self.format())?))
    }

    fn open_with(
        &self,
        runtime: &Handle,
        cancel: &Cancel,
        table: impl Fn(&Location) -> Result<Table, BackfillError>,
    ) -> Result<OpenArchive, BackfillError> {
        let about = &self.manifest.archive;
        let location = match is_address(&about.url) {
            true => {
                let address: Address = about.url.parse()?;
                let database = Database::connect(&address, runtime.clone(), cancel.clone())?;
                Location::Relation { database, key: about.key.clone() }
            }
            false => self.location(&about.url, runtime)?,
        };
        // First the documents: where there are none, no folder is made for their enrichments.
        let table = table(&location)?;
        let place = self.place(&location, runtime)?;
        Owner::of(&self.manifest).check(&place)?;
        if let (Location::Local(documents), Some(folder)) = (&location, place.local())
            && documents.is_dir()
            && folder.starts_with(documents)
        {
            let what = "enrichments among the documents would be taken for documents";
            let help = "name a folder beside them by `enrichments` in [archive]";
            return Err(BackfillError::usage("open the archive", what, help));
        }
        let publication = match location {
            Location::Relation { database, key } => Some(Publication::new(database, &key)?),
            _ => None,
        };
        Ok(OpenArchive { manifest: self.manifest.clone(), table, place, publication })
    }

    /// Where its enrichments are kept.
    fn place(&self, documents: &Location, runtime: &Handle) -> Result<Place, BackfillError> {
        let named = self.manifest.archive.enrichments.as_ref();
        let named = named.map(|url| self.location(url, runtime)).transpose()?;
        // Only the endings of files are dropped: `mail.2025` and `mail.2026` are two folders.
        let beside = |path: &Path| match Format::of(path) {
            Some(_) => path.with_extension("enriched"),
            None => {
                let mut name = path.as_os_str().to_owned();
                name.push(".enriched");
                PathBuf::from(name)
            }
        };
        match (named, documents) {
            (Some(Location::Objects { store, path, runtime }), _) => {
                Ok(Place::objects(store, path, runtime))
            }
            (Some(Location::Local(folder)), _) => Place::folder(&folder, runtime.clone()),
            (_, Location::Local(path)) => Place::folder(&beside(path), runtime.clone()),
            (_, Location::Objects { store, path, runtime }) => {
                let beside = beside(Path::new(path.as_ref())).to_string_lossy().into_owned();
                Ok(Place::objects(store.clone(), beside.into(), runtime.clone()))
            }
            // Nothing lies beside a table: it is the workspace that they are of.
            (_, Location::Relation { .. }) => {
                Place::folder(&beside(&self.root.join(self.name().as_str())), runtime.clone())
            }
        }
    }

    /// Whether a file of this machine is among its documents, or would be.
    #[must_use]
    pub fn holds(&self, file: &Path) -> bool {
        let Some(path) = self.manifest.archive.url.strip_prefix("file:") else { return false };
        let documents = self.root.join(path.strip_prefix("//").unwrap_or(path));
        let Ok(documents) = documents.canonicalize() else { return false };
        // The file need not be there yet, its folder is.
        let real = file.canonicalize().or_else(|_| {
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new(".")).canonicalize()?;
            Ok::<_, std::io::Error>(folder.join(file.file_name().unwrap_or_default()))
        });
        real.is_ok_and(|real| real.starts_with(documents))
    }

    /// Opens it to be followed into: its documents, which may be none yet, and where new ones are
    /// kept, if they are.
    pub(crate) fn open_to_follow(
        &self,
        keep: Keep,
        runtime: &Handle,
        cancel: &Cancel,
    ) -> Result<(OpenArchive, Option<Place>), BackfillError> {
        let url = &self.manifest.archive.url;
        if is_address(url) {
            if keep == Keep::Documents {
                let what = "the archive is a table of PostgreSQL, which only its owner writes to";
                let help = "have documents published only (--publish-only), and let what fills the \
                            table insert them; `mesh backfill run` tells of them there";
                return Err(BackfillError::usage("follow the stream", what, help));
            }
            return Ok((self.open(runtime, cancel)?, None));
        }
        let location = self.location(url, runtime)?;
        let is_file = match &location {
            Location::Local(path) => path.is_file() || !path.is_dir() && Format::of(path).is_some(),
            Location::Objects { path, .. } => Format::of(Path::new(path.as_ref())).is_some(),
            Location::Relation { .. } => false,
        };
        let kept = match keep {
            Keep::Keys => None,
            Keep::Documents if is_file => {
                let what = format!("{url} is a single file, and documents are never changed");
                let help = "let `url` in [archive] name the folder that it is in: files come \
                            beside it";
                return Err(BackfillError::usage("follow the stream", what, help));
            }
            Keep::Documents => Some(match location {
                Location::Local(folder) => Place::folder(&folder, runtime.clone())?,
                Location::Objects { store, path, runtime } => Place::objects(store, path, runtime),
                Location::Relation { .. } => self.place(&location, runtime)?,
            }),
        };
        let archive = match self.open(runtime, cancel) {
            // It has no documents yet.
            Err(BackfillError::Archive(error)) if !is_file && is_empty(&error) => {
                let format = self.format().unwrap_or(Format::Jsonl);
                self.open_with(runtime, cancel, |_| Ok(Table::empty(format)))?
            }
            opened => opened?,
        };
        Ok((archive, kept))
    }

    /// The projects that have an enrichment in it.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn live(
        &self,
        runtime: &Handle,
        cancel: &Cancel,
    ) -> Result<Vec<ProjectName>, BackfillError> {
        let (archive, _) = self.open_to_follow(Keep::Keys, runtime, cancel)?;
        Ok(archive.current()?.projects.into_keys().collect())
    }

    /// What was followed into it, with at most so many of what was refused and rejected; nothing
    /// if nothing was.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn followed(
        &self,
        runtime: &Handle,
        cancel: &Cancel,
        most: usize,
    ) -> Result<Option<Followed>, BackfillError> {
        self.open_to_follow(Keep::Keys, runtime, cancel)?.0.followed(most)
    }

    fn format(&self) -> Option<Format> {
        self.manifest.archive.format.map(|format| match format {
            RowFormat::Jsonl => Format::Jsonl,
            RowFormat::Csv => Format::Csv,
            RowFormat::Tsv => Format::Tsv,
            _ => Format::Parquet,
        })
    }

    fn location(&self, url: &str, runtime: &Handle) -> Result<Location, BackfillError> {
        if let Some(path) = url.strip_prefix("file:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return Ok(Location::Local(self.root.join(path)));
        }
        let found = open_objects(url)?;
        let runtime = runtime.clone();
        Ok(Location::Objects { store: found.store, path: found.path, runtime })
    }
}

/// Whether an archive cannot be read as there is nothing in it.
fn is_empty(error: &ArchiveError) -> bool {
    use std::error::Error;
    let gone = |cause: &(dyn Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind)
            == Some(std::io::ErrorKind::NotFound)
    };
    matches!(error.kind, ArchiveErrorKind::Empty(_)) || error.source().is_some_and(gone)
}

impl OpenArchive {
    /// The names of its columns.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn columns(&self) -> Result<Vec<String>, BackfillError> {
        let schema = self.table.schema()?;
        Ok(schema.fields().iter().map(|field| field.name().clone()).collect())
    }

    /// Its files, as they are now. What a table in a database holds is not known before it is read:
    /// it never is what it was.
    pub(crate) fn stamps(&self) -> Vec<FileStamp> {
        let stamp = |file: &mesh_archive::TableFile| FileStamp {
            name: file.name.clone(),
            bytes: file.bytes,
            stamp: file.stamp.clone(),
        };
        self.table.files().iter().map(stamp).collect()
    }

    /// Which generations its readers see.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn current(&self) -> Result<Current, BackfillError> {
        match &self.publication {
            Some(publication) => publication.current(),
            None => Current::read(&self.place),
        }
    }

    /// Changes which generations its readers see, in one move.
    pub(crate) fn change(
        &self,
        change: &dyn Fn(&mut Current) -> Result<(), BackfillError>,
    ) -> Result<Current, BackfillError> {
        match &self.publication {
            Some(publication) => publication.change(change),
            None => Current::change(&self.place, change),
        }
    }

    /// Puts a generation where readers will look for it, if that is elsewhere and it is not there.
    pub(crate) fn publish(&self, project: &str, generation: &str) -> Result<(), BackfillError> {
        let Some(publication) = &self.publication else { return Ok(()) };
        // Its parts may be in the place of whoever made it.
        if publication.has(project, generation)? {
            return Ok(());
        }
        let place = self.generation(project, generation);
        let shown = place.shown("");
        let found = Generation::open(place)?.ok_or_else(|| {
            let kind = BackfillErrorKind::Damaged(shown);
            BackfillError::new("load an enrichment", kind).help("run the backfill again")
        })?;
        publication.load(project, generation, &found)
    }

    /// All generations that there are, by project and name, with their bytes in a database.
    pub(crate) fn generations(&self) -> Result<BTreeMap<(String, String), u64>, BackfillError> {
        let mut all = BTreeMap::new();
        for project in self.place.folders()? {
            for generation in self.place.below(&project).folders()? {
                all.insert((project.clone(), generation), 0);
            }
        }
        if let Some(publication) = &self.publication {
            for (project, generation, bytes) in publication.generations()? {
                all.insert((project, generation), bytes);
            }
        }
        Ok(all)
    }

    /// Removes a generation, wherever it is; says how many bytes its files had.
    pub(crate) fn discard(&self, project: &str, generation: &str) -> Result<u64, BackfillError> {
        // The table first: what is left of a kill in between is found by its files.
        if let Some(publication) = &self.publication {
            publication.remove(project, generation)?;
        }
        self.generation(project, generation).remove()
    }

    /// Says beside its enrichments whose they are.
    pub(crate) fn claim(&self) -> Result<(), BackfillError> {
        Owner::of(&self.manifest).claim(&self.place)
    }

    /// Where a generation of a project is kept.
    pub(crate) fn generation(&self, project: &str, generation: &str) -> Place {
        self.place.below(project).below(generation)
    }
}
