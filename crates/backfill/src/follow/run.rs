//! Following a stream: batch after batch, each whole or not at all.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::{Duration, Instant},
};

use arrow_schema::Field;
use bytes::Bytes;
use mesh_archive::Watch;
use mesh_core::{Digest, ProgressTask, ProjectName, Unit};
use mesh_stream::{Message, Outgoing, Position, Sink, Source, Want};

use crate::{
    ArchiveFile, BackfillError, BackfillErrorKind, Enricher, Ledger, OpenArchive,
    answers::AnswerLog,
    chunk::Made,
    follow::{
        ASIDE, FOLDER, FollowReport, FollowedProject,
        arrivals::{Arrivals, Form, Refused},
        begin::{begin, missed, tellers},
        documents,
        head::{Batch, Head, Target, Told, keys_name, refused_name},
        lately::Lately,
        made::make,
        outbox,
        seen::{self, Seen},
    },
    generation::{self, Part},
    job::Job,
    keys::FileStamp,
    place::Place,
};

/// Gives what answers from now on, if that is not what answered before.
pub type Newer<'a> = &'a mut dyn FnMut() -> Option<Vec<Enricher>>;

/// What is followed, into what, and by whom documents are enriched.
pub struct Follow<'a> {
    /// The archive.
    pub archive: &'a ArchiveFile,
    /// What is read.
    pub source: Box<dyn Source>,
    /// What is published to.
    pub sink: Option<Box<dyn Sink>>,
    /// What is left in the archive.
    pub keep: Keep,
    /// What answers at first.
    pub enrichers: Vec<Enricher>,
    /// What answers later: it is asked before each batch.
    pub newer: Newer<'a>,
    /// How it is followed.
    pub limits: FollowLimits,
    /// Who is told how far it is, and may ask it to end.
    pub watch: Watch<'a>,
}

/// What is left of documents in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The documents, and what is told of them.
    Documents,
    /// Nothing: they are published only. Their keys are kept, as each is published once.
    Keys,
}

/// How a stream is followed; none of it changes what becomes of a message.
#[derive(Debug, Clone, Copy)]
pub struct FollowLimits {
    /// Messages of a batch, at most.
    pub batch: usize,
    /// How long a batch waits for them.
    pub linger: Duration,
    /// Ends when no message came for so long.
    pub until_idle: Option<Duration>,
    /// Ends after so many messages.
    pub count: Option<u64>,
    /// Threads that answer.
    pub threads: usize,
    /// The share of the messages that came last that may be refused; without it what the manifests
    /// say. The batch that brings it above that is left in the stream.
    pub max_rejected: Option<f64>,
    /// Begins with the first message, though the stream or another was followed already.
    pub anew: bool,
}

/// How often is asked how much is left.
const GLANCE: Duration = Duration::from_secs(1);

/// What follows a stream.
struct Follower<'a> {
    ledger: &'a Ledger,
    follow: Follow<'a>,
    archive: OpenArchive,
    /// Whether each project has an enrichment beside which readers see what it tells, or is to have
    /// none.
    has_room: bool,
    /// The projects that told of documents before this follower.
    tellers: BTreeSet<ProjectName>,
    /// Where documents are kept; nowhere if only their keys are.
    kept: Option<Place>,
    form: Form,
    key: Field,
    job: Job,
    answers: AnswerLog,
    seen: Seen,
    head: Head,
    /// What begins the ids of messages that are published.
    prefix: String,
    /// The ids of what was published by a follower whose position is lost.
    known: HashSet<String>,
    lately: Lately,
    report: FollowReport,
}

/// What becomes of a batch, before it is committed.
struct Plan {
    batch: Batch,
    position: Position,
    messages: u64,
    documents: u64,
    outgoing: Vec<Outgoing>,
    /// Messages before the last one that the stream dropped before they were read, at most.
    missed: u64,
}

impl Ledger {
    /// Follows a stream until it is asked to end, or a limit says so. A batch that is begun is
    /// finished.
    ///
    /// Waits for the network and the disk: to be called from a thread of one's own.
    ///
    /// # Errors
    /// When another process follows into the same archive, or something stops it. What is done
    /// stays done: the next one goes on behind it.
    pub fn follow<'a>(&'a self, follow: Follow<'a>) -> Result<FollowReport, BackfillError> {
        let name = follow.archive.name().as_str();
        let lock = self.locks.try_work(&format!("follow-{name}"))?;
        let _alone = lock.ok_or_else(|| {
            let what = format!("another process follows a stream into the archive {name}");
            BackfillError::new("follow the stream", BackfillErrorKind::InTheWay(what))
                .help("end that one first: each document is told of by one of them")
        })?;
        let mut follower = Follower::new(self, follow)?;
        follower.mend()?;
        follower.run()
    }
}

impl<'a> Follower<'a> {
    fn new(ledger: &'a Ledger, mut follow: Follow<'a>) -> Result<Self, BackfillError> {
        let started = Instant::now();
        let (archive, kept) =
            follow.archive.open_to_follow(follow.keep, &ledger.runtime, follow.watch.cancel)?;
        let (head, gone) = begin(&archive, &mut follow)?;
        let form = if kept.is_some() { Form::of(&archive.table)? } else { Form::Jsonl };
        let key = form.key(&archive.manifest.archive.key)?;
        let enrichers = std::mem::take(&mut follow.enrichers);
        let job = Job::of_arrivals(archive.clone(), enrichers, &key)?;
        if kept.is_some() {
            ledger.fits(&archive, &job)?;
        }
        let batches = head.batches(&archive.place)?;
        let place = archive.place.below(FOLDER);
        let mut files = Vec::new();
        for batch in batches.iter().filter(|batch| batch.keys) {
            files.extend(place.get(&keys_name(batch.number))?);
        }
        let seen = Seen::of(&archive.table, key.name(), &files, follow.watch)?;
        let name = archive.manifest.archive.name.to_string();
        let answers = AnswerLog::open(&ledger.scratch.join(format!("follow-{name}.answers")))?;
        let source = Digest::of(head.source.as_bytes());
        let prefix = format!("mesh:{name}:{}", source.short());
        let report = FollowReport { archive: name, missed: gone, ..FollowReport::default() };
        tracing::debug!(seconds = started.elapsed().as_secs_f64(), "ready to follow");
        Ok(Self {
            ledger,
            follow,
            archive,
            has_room: kept.is_none(),
            tellers: tellers(&batches),
            kept,
            form,
            key,
            job,
            answers,
            seen,
            head,
            prefix,
            known: HashSet::new(),
            lately: Lately::default(),
            report,
        })
    }

    /// Does what a process that was killed behind its last commit had left to do.
    fn mend(&mut self) -> Result<(), BackfillError> {
        let last = self.head.recent.last().cloned();
        if let Some(file) = last.as_ref().and_then(|last| last.file.as_ref()) {
            let (runtime, cancel) = (&self.ledger.runtime, self.follow.watch.cancel);
            let (_, place) =
                self.follow.archive.open_to_follow(Keep::Documents, runtime, cancel)?;
            if let Some(place) = place {
                place.rename(&format!("{ASIDE}/{file}"), file)?;
            }
        }
        if let Some(kept) = &self.kept {
            // What was written for a batch that did not come to its commit.
            kept.below(ASIDE).remove()?;
        }
        let Some(last) = last else { return self.aim() };
        let same = self.head.target.as_ref().map(|target| target.name.as_str())
            == self.follow.sink.as_ref().map(|sink| sink.name());
        match (&mut self.follow.sink, &mut self.head.target) {
            (Some(sink), Some(target)) if same => {
                let mut left = outbox::read(&self.archive.place.below(FOLDER), last.number)?;
                let published = sink.published(target.mark)?;
                left.retain(|message| !published.ids.contains(&message.id));
                self.report.published += left.len() as u64;
                target.mark = sink.publish(&left, published.mark)?;
                Ok(())
            }
            // It is published elsewhere from now on.
            _ => self.aim(),
        }
    }

    /// Finds the mark of a place that nothing was published to yet, as far as we know: who has no
    /// position at all may have lost it, and looks through what is there.
    fn aim(&mut self) -> Result<(), BackfillError> {
        self.head.target = None;
        let Some(sink) = &mut self.follow.sink else { return Ok(()) };
        let mark = match self.head.batch {
            0 => {
                let published = sink.published(0)?;
                self.known = published.ids;
                let prefix = &self.prefix;
                self.known.retain(|id| id.starts_with(prefix));
                published.mark
            }
            _ => sink.end()?,
        };
        self.head.target = Some(Target { name: sink.name().to_owned(), mark });
        Ok(())
    }

    fn run(mut self) -> Result<FollowReport, BackfillError> {
        let started = Instant::now();
        let task = self.follow.watch.progress.begin("follow", None, Unit::Items);
        let (mut came, mut glanced) = (Instant::now(), None::<Instant>);
        while !self.follow.watch.cancel.is_cancelled() {
            let Some(want) = self.want() else { break };
            let messages = self.follow.source.fetch(&self.head.position, want)?;
            if !messages.is_empty() {
                came = Instant::now();
                self.batch(&messages)?;
                task.advance(messages.len() as u64);
            } else if self.follow.limits.until_idle.is_some_and(|idle| came.elapsed() >= idle) {
                break;
            }
            if glanced.is_none_or(|at| at.elapsed() >= GLANCE) {
                self.glance(task.as_ref())?;
                glanced = Some(Instant::now());
            }
        }
        self.glance(task.as_ref())?;
        drop(task);
        self.tell_projects()?;
        self.report.seconds = started.elapsed().as_secs_f64();
        Ok(self.report)
    }

    /// How much is fetched next; nothing if it was enough.
    fn want(&self) -> Option<Want> {
        let FollowLimits { batch, linger, count, .. } = self.follow.limits;
        let left = count.map_or(u64::MAX, |count| count.saturating_sub(self.report.messages));
        let most = batch.max(1).min(usize::try_from(left).unwrap_or(usize::MAX));
        (most > 0).then_some(Want { most, wait: linger })
    }

    fn glance(&mut self, task: &dyn ProgressTask) -> Result<(), BackfillError> {
        self.report.behind = self.follow.source.ahead(&self.head.position)?.messages;
        let rejected: u64 = self.head_rejected();
        let refused = self.report.refused;
        task.note(&format!("{} behind, {} rejected", self.report.behind, refused + rejected));
        Ok(())
    }

    fn head_rejected(&self) -> u64 {
        self.report.projects.values().map(|project| project.counts.rejected).sum()
    }

    /// Takes a batch of messages from the stream to where they belong.
    fn batch(&mut self, messages: &[Message]) -> Result<(), BackfillError> {
        if let Some(enrichers) = (self.follow.newer)() {
            self.replace(enrichers)?;
        }
        let mut arrivals = Arrivals::of(messages, &self.form, &self.job.columns, &mut self.seen)?;
        let number = self.head.batch + 1;
        let file = documents(number, self.form.ending());
        self.job.files = vec![FileStamp { name: file, bytes: 0, stamp: String::new() }];
        let made = make(&self.job, &self.answers, &arrivals, self.follow.limits.threads)?;
        let mut outgoing = Vec::new();
        if let Some(sink) = &self.follow.sink {
            outgoing = outbox::messages(&self.job, &arrivals, &made, &self.prefix);
            let refused = outbox::too_long(&mut outgoing, &arrivals, messages, sink.limit());
            arrivals.refused.extend(refused);
            outgoing.retain(|message| !self.known.contains(&message.id));
        }
        let max_rejected = self.follow.limits.max_rejected;
        self.lately.check(&self.job, messages.len(), &arrivals.refused, &made, max_rejected)?;
        let missed = missed(self.follow.source.as_mut(), &self.head.position, messages)?;
        if !self.has_room && arrivals.rows() > 0 {
            self.ledger.make_room(&self.archive, &self.job, &self.tellers)?;
            self.has_room = true;
        }
        let plan = self.write(number, messages, &arrivals, &made, outgoing)?;
        self.commit(Plan { missed, ..plan })
    }

    /// Writes all of a batch that the commit makes seen.
    fn write(
        &self,
        number: u64,
        messages: &[Message],
        arrivals: &Arrivals,
        made: &[Made],
        outgoing: Vec<Outgoing>,
    ) -> Result<Plan, BackfillError> {
        let place = self.archive.place.below(FOLDER);
        let documents = arrivals.rows() as u64;
        let some = documents > 0;
        let mut batch = Batch {
            number,
            file: None,
            keys: some && self.kept.is_none(),
            refused: arrivals.refused.len() as u64,
            told: BTreeMap::new(),
        };
        if some {
            batch.told = self.parts(&place, number, made)?;
        }
        if batch.keys {
            let keys = seen::file_of(arrivals.keys.iter().map(String::as_str));
            place.replace(&keys_name(number), keys)?;
        }
        if let Some(kept) = self.kept.as_ref().filter(|_| some) {
            let file = super::documents(number, self.form.ending());
            kept.replace(&format!("{ASIDE}/{file}"), self.form.file(arrivals)?)?;
            kept.sync()?;
            batch.file = Some(file);
        }
        if batch.refused > 0 {
            place.replace(&refused_name(number), lines(&arrivals.refused))?;
        }
        if !outgoing.is_empty() {
            place.replace(&outbox::name(number), outbox::file(&outgoing))?;
        }
        place.sync()?;
        let mut position = self.head.position.clone();
        messages.iter().for_each(|message| position.reach(message));
        let messages = messages.len() as u64;
        Ok(Plan { batch, position, messages, documents, outgoing, missed: 0 })
    }

    /// The parts of a batch; of documents that are not kept, only what became of them is told.
    fn parts(
        &self,
        place: &Place,
        number: u64,
        made: &[Made],
    ) -> Result<BTreeMap<ProjectName, Told>, BackfillError> {
        let chunk = usize::try_from(number).unwrap_or(usize::MAX);
        let mut all = BTreeMap::new();
        for (project, made) in self.job.projects.iter().zip(made) {
            let plan = &project.plan;
            let own = place.below(plan.project.as_str());
            if let Some(rejects) = &made.rejects {
                let bytes = generation::encode(rejects, self.job.key, &made.counts)?;
                own.replace(&Part::rejects(chunk), bytes)?;
            }
            let bytes = generation::encode(&made.batch, self.job.key, &made.counts)?;
            let rows = made.counts.rows;
            let part = Part {
                chunk,
                span: mesh_archive::Span { file: 0, first: 0, rows, offset: 0, keys: None },
                counts: made.counts,
                bytes: bytes.len() as u64,
                digest: Digest::of(&bytes),
            };
            if self.kept.is_some() {
                own.replace(&Part::file(chunk), bytes)?;
            }
            let told = Told {
                version: plan.version,
                digest: plan.digest.clone(),
                key_column: self.key.name().clone(),
                columns: plan.columns.clone(),
                part,
            };
            all.insert(plan.project.clone(), told);
        }
        Ok(all)
    }

    /// Makes a batch done, and does what follows from that.
    fn commit(&mut self, plan: Plan) -> Result<(), BackfillError> {
        let Plan { batch, position, messages, documents, outgoing, missed } = plan;
        let before = self.head.batch;
        for (project, told, counts) in batch.counts() {
            let all = self.report.projects.entry(project.clone()).or_insert(FollowedProject {
                version: told.version,
                counts: generation::Counts::default(),
            });
            all.version = told.version;
            all.counts += counts;
        }
        if self.report.batches == 0 {
            // What it began with is told of the first batch.
            self.report.missed = 0;
        }
        self.report.missed += missed;
        self.report.messages += messages;
        self.report.documents += documents;
        self.report.refused += batch.refused;
        self.report.batches += 1;
        self.head.totals.messages += messages;
        self.head.totals.missed += missed;
        self.head.totals.documents += documents;
        self.head.totals.refused += batch.refused;
        self.head.position = position;
        let file = batch.file.clone();
        self.head.push(&self.archive.place, batch)?;
        self.head.commit(&self.archive.place, before)?;
        if let (Some(kept), Some(file)) = (&self.kept, file) {
            kept.rename(&format!("{ASIDE}/{file}"), &file)?;
        }
        if let (Some(sink), Some(target)) = (&mut self.follow.sink, &mut self.head.target) {
            target.mark = sink.publish(&outgoing, target.mark)?;
            self.report.published += outgoing.len() as u64;
            // What is published for sure need not be kept.
            self.archive.place.below(FOLDER).delete(&outbox::name(before))?;
        }
        tracing::info!(batch = self.head.batch, messages, documents, "followed");
        Ok(())
    }

    /// Lets others answer from now on.
    fn replace(&mut self, enrichers: Vec<Enricher>) -> Result<(), BackfillError> {
        let job = Job::of_arrivals(self.archive.clone(), enrichers, &self.key)?;
        if self.kept.is_some() {
            self.ledger.fits(&self.archive, &job)?;
        }
        for project in &job.projects {
            let (project, version) = (&project.plan.project, project.plan.version);
            tracing::info!(%project, %version, "answers from now on");
        }
        self.job = job;
        Ok(())
    }

    fn tell_projects(&mut self) -> Result<(), BackfillError> {
        let live = self.archive.current()?;
        for project in &self.job.projects {
            let plan = &project.plan;
            let told = self.report.projects.entry(plan.project.clone());
            let counts = generation::Counts::default();
            told.or_insert(FollowedProject { version: plan.version, counts });
            let told = self.has_room || self.tellers.contains(&plan.project);
            if self.kept.is_some() && told && live.generation(plan.project.as_str()).is_none() {
                self.report.unseen.insert(plan.project.clone());
            }
        }
        Ok(())
    }
}

fn lines(refused: &[Refused]) -> Bytes {
    let line = |refused: &Refused| serde_json::to_string(refused).unwrap_or_default() + "\n";
    refused.iter().map(line).collect::<String>().into()
}
