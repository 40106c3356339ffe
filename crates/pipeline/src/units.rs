use mesh_compile::{Compile, LANGUAGE_ROLE};
use mesh_core::{
    Digest, Step, StepName,
    manifest::{ProjectManifest, TaskName},
};
use mesh_prepare::Prepare;
use mesh_train::Train;

/// One piece of work of a project: a step, or one target of it.
pub(crate) struct Unit {
    pub(crate) step: Box<dyn Step + Send + Sync>,
    /// The target of a compile, else empty.
    pub(crate) name: String,
    /// What it takes from outside.
    pub(crate) sources: Vec<UnitSource>,
    /// The artifacts that it takes: the role, and the step that leaves them.
    pub(crate) takes: Vec<(&'static str, StepName)>,
}

/// Something from outside that a piece of work takes.
#[derive(Debug, Clone)]
pub(crate) struct UnitSource {
    /// What it is to the step.
    pub(crate) role: &'static str,
    pub(crate) url: String,
    pub(crate) sha256: Option<Digest>,
}

/// What a pre-trained model is to the steps that take it.
pub(crate) const fn pretrained_role(task: TaskName) -> &'static str {
    match task {
        TaskName::Language => LANGUAGE_ROLE,
        _ => "encoder",
    }
}

/// The work of a project, in order.
pub(crate) fn units(manifest: &ProjectManifest) -> Vec<Unit> {
    let mut units = Vec::new();
    let role = pretrained_role(manifest.project.task);
    let encoder = || {
        let model = manifest.model.as_ref()?;
        Some(UnitSource { role, url: model.url.clone(), sha256: model.sha256 })
    };
    let source = manifest.source.as_ref().map(|source| UnitSource {
        role: "source",
        url: source.url.clone(),
        sha256: source.sha256,
    });
    let prepared = manifest.prepare.is_some();
    if let Some(step) = Prepare::new(manifest) {
        units.push(Unit {
            step: Box::new(step),
            name: String::new(),
            sources: source.into_iter().collect(),
            takes: Vec::new(),
        });
    }
    let train = Train::new(manifest);
    let (trained, heads) = (train.is_some(), train.as_ref().is_some_and(Train::takes_encoder));
    if let Some(step) = train {
        units.push(Unit {
            step: Box::new(step),
            name: String::new(),
            sources: encoder().filter(|_| heads).into_iter().collect(),
            takes: vec![("dataset", StepName::Prepare)],
        });
    }
    for step in Compile::new(manifest) {
        let name = step.target().to_owned();
        let mut sources: Vec<UnitSource> =
            encoder().filter(|_| heads || !trained).into_iter().collect();
        let mut takes = Vec::new();
        if prepared {
            takes.push(("dataset", StepName::Prepare));
        } else if let Some(texts) = manifest.compile.as_ref().and_then(|table| table.texts.as_ref())
        {
            let (url, sha256) = (texts.url.clone(), texts.sha256);
            sources.push(UnitSource { role: "texts", url, sha256 });
        }
        if let Some(language) = &manifest.language {
            let (url, sha256) = (language.url.clone(), language.sha256);
            sources.push(UnitSource { role: LANGUAGE_ROLE, url, sha256 });
        }
        if trained {
            takes.push(("model", StepName::Train));
        }
        units.push(Unit { step: Box::new(step), name, sources, takes });
    }
    units
}
