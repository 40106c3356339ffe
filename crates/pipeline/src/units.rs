use mesh_compile::Compile;
use mesh_core::{Step, StepName, manifest::ProjectManifest};
use mesh_prepare::Prepare;
use mesh_train::Train;

/// One piece of work of a project: a step, or one target of it.
pub(crate) struct Unit {
    pub(crate) step: Box<dyn Step + Send + Sync>,
    /// The target of a compile, else empty.
    pub(crate) name: String,
    /// The artifacts that it takes: the role, and the step that leaves them.
    pub(crate) takes: &'static [(&'static str, StepName)],
}

/// The work of a project, in order.
pub(crate) fn units(manifest: &ProjectManifest) -> Vec<Unit> {
    let mut units = Vec::new();
    if let Some(step) = Prepare::new(manifest) {
        units.push(Unit { step: Box::new(step), name: String::new(), takes: &[] });
    }
    if let Some(step) = Train::new(manifest) {
        let takes = &[("dataset", StepName::Prepare)];
        units.push(Unit { step: Box::new(step), name: String::new(), takes });
    }
    for step in Compile::new(manifest) {
        let name = step.target().to_owned();
        let takes = &[("dataset", StepName::Prepare), ("model", StepName::Train)];
        units.push(Unit { step: Box::new(step), name, takes });
    }
    units
}
