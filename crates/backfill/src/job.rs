//! A backfill that is ready to be measured or run: its plan, and all that its chunks need.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use arrow_schema::{Field, SchemaRef};
use mesh_archive::{Format, Span, Watch};
use mesh_core::{
    Digest, Predictor, ProjectSchema, did_you_mean,
    manifest::{BackfillTable, ProjectManifest},
};
use mesh_filter::Filter;
use tokio::runtime::Handle;

use crate::{
    BackfillError, BackfillErrorKind, Enricher, OpenArchive,
    columns::PredictionColumns,
    follow::{Tail, is_arrival},
    generation::Generation,
    keys::FileStamp,
    place::Place,
    plan::{Only, PLAN_FORMAT, Plan, ProjectPlan},
    pointer::Current,
    rejects::Rejects,
    remote::{Remote, Service},
    survey::Survey,
    takes::{columns_of, in_order, read_live, taken, tells},
};

/// Which rows of an archive are to be done.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Which ones at all.
    pub only: Only,
    /// What selects among them: a WHERE of SQL.
    pub filter: Option<String>,
    /// The generation that another backfill left, whose rows stay where nothing is to be done; else
    /// what is live.
    pub onto: Option<String>,
    /// Backfills of the archive that are not finished: if its documents are a table in a database,
    /// it is gone on with the chunks of one that is the same, whatever came to the table since.
    pub begun: Vec<Plan>,
    /// The files of a backfill that was begun: what was followed since is not of it.
    pub among: Option<Vec<FileStamp>>,
}

/// A backfill that can be measured and run.
pub struct Job {
    pub(crate) archive: OpenArchive,
    pub(crate) plan: Plan,
    pub(crate) key: Digest,
    pub(crate) files: Vec<FileStamp>,
    pub(crate) spans: Vec<Span>,
    pub(crate) survey: Survey,
    pub(crate) filter: Option<Filter>,
    /// The columns of the documents that are read.
    pub(crate) columns: Vec<String>,
    /// Those of them that are inputs of models.
    pub(crate) inputs: Vec<String>,
    pub(crate) projects: Vec<ProjectJob>,
    /// By project, the answers that are taken and not made anew.
    pub(crate) reads: BTreeMap<String, Generation>,
}

/// A job of which it is not known yet how many documents there are.
struct Draft {
    archive: OpenArchive,
    key_column: String,
    filter: Option<Filter>,
    columns: Vec<String>,
    inputs: Vec<String>,
    projects: Vec<ProjectJob>,
    reads: BTreeMap<String, Generation>,
    /// The names of those that are read.
    generations: BTreeMap<String, String>,
}

/// What a project does in a backfill.
pub(crate) struct ProjectJob {
    pub(crate) plan: ProjectPlan,
    pub(crate) manifest: Arc<ProjectManifest>,
    pub(crate) contracts: Arc<BTreeMap<String, ProjectSchema>>,
    pub(crate) schema: ProjectSchema,
    pub(crate) predictor: Arc<dyn Predictor>,
    /// A service that answers in the predictor's place.
    pub(crate) remote: Option<Remote>,
    pub(crate) columns: PredictionColumns,
    /// The columns of its parts.
    pub(crate) table: SchemaRef,
    pub(crate) base: Option<Generation>,
    /// The projects whose answers it takes.
    pub(crate) takes: BTreeSet<String>,
    /// The fields that it does without, each with what it would take: nothing is told of that here.
    pub(crate) without: BTreeMap<String, String>,
    /// What the base rejected.
    pub(crate) failed: Rejects,
    /// Where its generation is kept.
    pub(crate) place: Place,
    pub(crate) limits: BackfillTable,
}

/// Chunks that an archive is cut into, at least: so little is lost with one, and so little time goes
/// into files.
const CHUNKS: u64 = 256;
/// Documents of a chunk.
const MIN_ROWS: u64 = 128;
const MAX_ROWS: u64 = 16_384;
/// Bytes of the inputs of a chunk.
const MAX_BYTES: u64 = 32 << 20;

impl Job {
    /// Looks at all documents, and decides what is to be done.
    ///
    /// # Errors
    /// When the archive cannot be read, or does not have what the projects need.
    pub fn new(
        archive: OpenArchive,
        enrichers: Vec<Enricher>,
        selection: &Selection,
        watch: Watch<'_>,
    ) -> Result<Self, BackfillError> {
        let draft = Draft::new(archive, enrichers, selection)?;
        let table = &draft.archive.table;
        let survey = Survey::of(table, &draft.key_column, &draft.inputs, watch)?;
        let mut files = draft.archive.stamps();
        let chunk_rows = chunk_rows(&survey);
        let mut spans = survey.marks.spans(chunk_rows);
        if let Some(moment) = survey.moment() {
            files.iter_mut().for_each(|file| file.at_moment(moment));
        }
        let mut plan = Plan {
            format: PLAN_FORMAT,
            archive: draft.archive.manifest.archive.name.clone(),
            url: draft.archive.manifest.archive.url.clone(),
            files: files.clone(),
            key_column: draft.key_column.clone(),
            projects: draft.projects.iter().map(|project| project.plan.clone()).collect(),
            reads: draft.generations.clone(),
            only: selection.only,
            filter: draft.filter.as_ref().map(|filter| filter.sql().to_owned()),
            rows: survey.rows,
            chunk_rows,
            spans: if table.is_live() { spans.clone() } else { Vec::new() },
        };
        if let Some(begun) = selection.begun.iter().find(|begun| plan.goes_on_with(begun)) {
            plan = begun.clone();
            (files, spans) = (plan.files.clone(), plan.spans.clone());
        }
        Ok(draft.finish(plan, files, spans, survey))
    }

    /// The job of a plan that was made elsewhere, with what was found there when all documents
    /// were looked at.
    ///
    /// # Errors
    /// When the archive is not here what it was there.
    pub(crate) fn shared(
        archive: OpenArchive,
        enrichers: Vec<Enricher>,
        plan: Plan,
        spans: Vec<Span>,
        survey: Survey,
    ) -> Result<Self, BackfillError> {
        let onto = plan.onto();
        let (only, filter) = (plan.only, plan.filter.clone());
        let among = Some(plan.files.clone());
        let selection = Selection { only, filter, onto, among, begun: Vec::new() };
        let draft = Draft::new(archive, enrichers, &selection)?;
        let lasting = |mut files: Vec<FileStamp>| {
            files.iter_mut().for_each(FileStamp::forget_moment);
            files
        };
        let parts = [
            ("its files", lasting(draft.archive.stamps()) == lasting(plan.files.clone())),
            ("the projects", draft.projects.iter().map(|project| &project.plan).eq(&plan.projects)),
            ("what other projects told", draft.generations == plan.reads),
        ];
        let differs: Vec<&str> = parts.iter().filter(|(_, same)| !same).map(|(w, _)| *w).collect();
        if !differs.is_empty() {
            let what = format!(
                "the archive {} is not here what it was where the backfill was planned: {} differ",
                plan.archive,
                differs.join(" and ")
            );
            let help = "an archive in files has to be on S3 or in a folder that all machines have \
                        under one path";
            return Err(BackfillError::usage("join the backfill", what, help));
        }
        let files = plan.files.clone();
        Ok(draft.finish(plan, files, spans, survey))
    }

    /// What is to be done.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Lets a running service answer, in the place of the models in this process. What is left is
    /// the same.
    ///
    /// # Errors
    /// When it does not answer, or with another version.
    pub fn through(&mut self, service: &Service, runtime: &Handle) -> Result<(), BackfillError> {
        for project in &mut self.projects {
            let ProjectPlan { project: name, version, digest, .. } = &project.plan;
            let api = format!("v{}", project.manifest.project.api);
            let remote = Remote::connect(service, name.as_str(), &api, *version, digest, runtime)?;
            project.remote = Some(remote);
        }
        Ok(())
    }

    /// The files of the archive's folder that are no documents of it, as their names tell another
    /// format or none.
    #[must_use]
    pub fn passed_over(&self) -> &[String] {
        self.archive.table.passed_over()
    }

    /// How many documents there are.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.plan.rows
    }

    /// How many chunks they are cut into.
    #[must_use]
    pub const fn chunks(&self) -> usize {
        self.spans.len()
    }

    /// Whether a project is asked the same of two documents only if the survey has them as repeated.
    pub(crate) fn tells_repeated(&self, project: &ProjectJob) -> bool {
        self.survey.knows_repeated() && columns_of(&project.plan).iter().eq(&self.inputs)
    }

    /// Whether values are texts whatever they say.
    pub(crate) fn untyped(&self) -> bool {
        matches!(self.archive.table.format(), Format::Csv | Format::Tsv)
    }
}

impl Draft {
    fn new(
        mut archive: OpenArchive,
        enrichers: Vec<Enricher>,
        selection: &Selection,
    ) -> Result<Self, BackfillError> {
        if let Some(begun) = &selection.among {
            let begun = |name: &str| begun.iter().any(|file| file.name == name);
            archive.table = archive.table.only(|file| !is_arrival(&file.name) || begun(&file.name));
        }
        let current = archive.current()?;
        let enrichers = in_order(&archive, enrichers)?;
        let schema = archive.table.schema()?;
        let key_column = archive.manifest.archive.key.clone();
        let key = schema.field_with_name(&key_column).ok();
        let key = key.ok_or_else(|| no_column(&archive, &schema, &key_column, "its key"))?.clone();
        let filter = selection.filter.as_deref().map(Filter::parse).transpose()?;
        let filter = filter.map(|filter| filter.with_texts(|name| archive.table.is_typed(name)));
        if let Some(filter) = &filter {
            filter.check(&schema)?;
        }
        let mut projects: Vec<ProjectJob> = Vec::new();
        let mut reads = BTreeMap::new();
        let mut inputs = BTreeSet::new();
        let some = filter.is_some() || selection.only == Only::Rejected;
        for enricher in &enrichers {
            let mut project = ProjectJob::new(&archive, enricher, &current, selection, &key)?;
            if some && project.base.is_none() && project.plan.base.is_some() {
                let what = format!(
                    "the columns of {} are not what they were, so all rows are to be done",
                    project.plan.project
                );
                let help = "leave out --where; what is live has the old columns until the cutover";
                return Err(BackfillError::usage("plan the backfill", what, help));
            }
            let doing = |name: &str| enrichers.iter().any(|e| e.name().as_str() == name);
            let silent = |name: &str| !doing(name) && current.generation(name).is_none();
            project.do_without(enricher, &schema, &silent)?;
            for column in columns_of(&project.plan) {
                let taken = taken(&schema, &column);
                project.takes.extend(taken.map(|(other, _)| other.to_owned()));
                match taken {
                    None if schema.field_with_name(&column).is_ok() => {
                        inputs.insert(column);
                    }
                    None => {
                        let what = format!("an input of {}", project.plan.project);
                        return Err(no_column(&archive, &schema, &column, &what));
                    }
                    Some((other, field)) if doing(other) => {
                        let told = projects.iter().find(|told| told.plan.project.as_str() == other);
                        told.map_or(Ok(()), |told| tells(other, &told.plan.columns, field))?;
                    }
                    Some((other, field)) => {
                        let live = read_live(&archive, &current, (other, field), enricher)?;
                        reads.insert(other.to_owned(), live);
                    }
                }
            }
            projects.push(project);
        }
        let inputs: Vec<String> = inputs.into_iter().collect();
        let mut columns = vec![key_column.clone()];
        let filtered = filter.iter().flat_map(|filter| filter.columns().to_vec());
        for column in inputs.iter().cloned().chain(filtered) {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        let generations = reads
            .keys()
            .filter_map(|name| Some((name.clone(), current.generation(name)?.to_owned())))
            .collect();
        Ok(Self { archive, key_column, filter, columns, inputs, projects, reads, generations })
    }

    /// The job, once it is known what is to be done.
    fn finish(
        mut self,
        plan: Plan,
        files: Vec<FileStamp>,
        spans: Vec<Span>,
        survey: Survey,
    ) -> Job {
        let generation = plan.generation();
        for project in &mut self.projects {
            project.place = self.archive.generation(project.plan.project.as_str(), &generation);
        }
        Job {
            key: plan.key(),
            files,
            spans,
            survey,
            filter: self.filter,
            columns: self.columns,
            inputs: self.inputs,
            projects: self.projects,
            reads: self.reads,
            archive: self.archive,
            plan,
        }
    }
}

impl ProjectJob {
    pub(crate) fn new(
        archive: &OpenArchive,
        enricher: &Enricher,
        current: &Current,
        selection: &Selection,
        key: &Field,
    ) -> Result<Self, BackfillError> {
        let name = enricher.name();
        let schema = enricher.predictor.schema();
        let (input, parameters) = (enricher.input(archive), enricher.parameters(archive));
        if input.is_empty() {
            let what = format!("nothing says which columns {name} takes");
            let help = format!(
                "add to its manifest: [backfill] with input = {{ content = \"text\" }}, or to \
                 {}: [input.{name}]",
                crate::ArchiveFile::file(archive.manifest.archive.name.as_str()).display()
            );
            return Err(BackfillError::usage("plan the backfill", what, help));
        }
        for (table, mapping, schema) in
            [("input", &input, &schema.attributes), ("parameters", &parameters, &schema.parameters)]
        {
            let known = schema.as_value().get("properties").and_then(serde_json::Value::as_object);
            let Some(known) = known else { continue };
            if let Some(field) = mapping.keys().find(|field| !known.contains_key(*field)) {
                let what = format!("{name} has no field `{field}` for `{table}` of [backfill]");
                let hint = did_you_mean(field, known.keys().map(String::as_str));
                let all: Vec<&str> = known.keys().map(String::as_str).collect();
                let help = format!("{hint}It has: {}", all.join(", "));
                return Err(BackfillError::usage("plan the backfill", what, help));
            }
        }
        let limits = enricher.manifest.backfill.clone().unwrap_or_default();
        let columns = PredictionColumns::of(name.as_str(), &schema, &limits.columns, key.name())?;
        let told: Vec<(String, String)> =
            columns.fields().map(|(field, name)| (field.to_owned(), name.to_owned())).collect();
        let live = current.generation(name.as_str()).map(ToOwned::to_owned);
        let begun = selection.onto.clone().or_else(|| live.clone());
        // Where all rows are done anew, it only tells why.
        let needless = selection.only == Only::All && selection.filter.is_none();
        let base = match &begun {
            Some(begun) if needless => {
                open_live(archive, name.as_str(), begun).ok().map(Generation::forgiving)
            }
            Some(begun) => Some(open_live(archive, name.as_str(), begun)?),
            None => None,
        };
        // Rows with other columns cannot stay beside new ones: all are done anew.
        let base = base.filter(|base| {
            base.manifest().columns == told && base.manifest().key_column == *key.name()
        });
        let failed = match base.as_ref().map(Rejects::of).transpose() {
            Err(_) if needless => Rejects::default(),
            failed => failed?.unwrap_or_default(),
        };
        let plan = ProjectPlan {
            project: name.clone(),
            task: enricher.manifest.project.task,
            version: enricher.version,
            digest: enricher.digest.clone(),
            input,
            parameters,
            columns: told,
            live,
            base: begun,
        };
        Ok(Self {
            plan,
            manifest: Arc::clone(&enricher.manifest),
            contracts: Arc::clone(&enricher.contracts),
            schema,
            predictor: Arc::clone(&enricher.predictor),
            remote: None,
            table: columns.schema(key),
            columns,
            base,
            takes: BTreeSet::new(),
            without: BTreeMap::new(),
            failed,
            place: archive.place.clone(),
            limits,
        })
    }
}

/// Documents of a chunk: few enough that little is lost with one, and that they fit in memory.
fn chunk_rows(survey: &Survey) -> u64 {
    let mean = survey.bytes / survey.rows.max(1);
    let fitting = MAX_BYTES / mean.max(1);
    (survey.rows / CHUNKS).clamp(MIN_ROWS, MAX_ROWS).min(fitting).max(1)
}

/// The generation that readers see of a project.
pub(crate) fn open_live(
    archive: &OpenArchive,
    project: &str,
    generation: &str,
) -> Result<Generation, BackfillError> {
    let place = archive.generation(project, generation);
    let shown = place.shown("");
    let found = Generation::open(place)?.ok_or_else(|| {
        let name = &archive.manifest.archive.name;
        let action = "read the live enrichment";
        if archive.publication.is_none() {
            let kind = BackfillErrorKind::Damaged(shown.clone());
            return BackfillError::new(action, kind)
                .help(format!("`mesh backfill rollback {name}` goes back to the one before"));
        }
        // Readers have it, in the database.
        let what = format!("what is live of {project} was made elsewhere: {shown} is not there");
        let help = format!(
            "another workspace or archive enriches this table: let `enrichments` in [archive] of {} \
             name its folder; or do all rows anew, which needs nothing of it: `mesh backfill run \
             {name} {project} --all-rows`",
            crate::ArchiveFile::file(name.as_str()).display()
        );
        BackfillError::usage(action, what, help)
    })?;
    Ok(match Tail::read(archive, project)? {
        Some(tail) => found.with_tail(tail, &archive.stamps()),
        None => found,
    })
}

fn no_column(archive: &OpenArchive, schema: &SchemaRef, column: &str, what: &str) -> BackfillError {
    let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let hint = did_you_mean(column, known.iter().copied());
    let name = &archive.manifest.archive.name;
    let told = format!("the archive {name} has no column `{column}`, {what}");
    let help = format!(
        "{hint}It has: {}. Name another in [input.<project>] of {}",
        known.join(", "),
        crate::ArchiveFile::file(name.as_str()).display()
    );
    BackfillError::usage("plan the backfill", told, mesh_core::printable(&help))
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("plan", &self.plan).finish_non_exhaustive()
    }
}
