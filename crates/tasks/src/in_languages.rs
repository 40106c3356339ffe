use mesh_core::{
    Answer, Contract, Example, FieldError, LoadError, ModelFiles, Panel, Project, Refusal,
};
use mesh_engine::MappedFile;
use mesh_text::{LANGUAGE_FILE, LanguageCheck, LanguageIdentifier};

/// A project that refuses texts in languages which its manifest does not name, where the manifest
/// brings a model that tells them: the `[language]` table.
pub struct InLanguages<P> {
    project: P,
    check: Option<LanguageCheck<MappedFile>>,
}

/// Attributes that are asked about texts.
pub trait HasTexts {
    /// The texts.
    fn texts(&self) -> impl Iterator<Item = &str>;
}

impl<P: Project> InLanguages<P>
where
    P::Attributes: HasTexts,
{
    fn check(&self, attributes: &P::Attributes) -> Result<(), Refusal> {
        let Some(check) = &self.check else { return Ok(()) };
        attributes.texts().try_for_each(|text| check.check(text))
    }
}

impl<P: Project> Project for InLanguages<P>
where
    P::Attributes: HasTexts,
{
    type Attributes = P::Attributes;
    type Parameters = P::Parameters;
    type Prediction = P::Prediction;

    const PANELS: &'static [&'static str] = P::PANELS;

    fn load(model: &ModelFiles) -> Result<Self, LoadError> {
        let project = P::load(model)?;
        let about = &model.manifest.project;
        let Some(table) = &model.manifest.language else {
            return Ok(Self { project, check: None });
        };
        let path = model.compiled.clone().unwrap_or_default().join(LANGUAGE_FILE);
        let map = MappedFile::open(&path).map_err(|error| LoadError::new(&about.name, error))?;
        let identifier =
            LanguageIdentifier::open(map).map_err(|error| LoadError::new(&about.name, error))?;
        let check = LanguageCheck::new(identifier, about.languages.clone(), table);
        Ok(Self { project, check: Some(check) })
    }

    fn sample() -> Self::Attributes {
        P::sample()
    }

    fn contract(&self) -> Option<Contract<Self::Attributes>> {
        self.project.contract()
    }

    fn check(&self, attributes: &Self::Attributes) -> Vec<FieldError> {
        self.project.check(attributes)
    }

    fn predict(
        &self,
        batch: &[Example<Self::Attributes, Self::Parameters>],
    ) -> Vec<Result<Answer<Self::Prediction>, Refusal>> {
        if self.check.is_none() {
            return self.project.predict(batch);
        }
        let checks: Vec<_> = batch.iter().map(|example| self.check(&example.attributes)).collect();
        let mut answers = Vec::with_capacity(batch.len());
        let mut rest = batch;
        // What is refused is not computed; what lies between two of those is a batch.
        for alike in checks.chunk_by(|one, next| one.is_ok() == next.is_ok()) {
            let (run, after) = rest.split_at(alike.len());
            rest = after;
            match alike.iter().all(Result::is_ok) {
                true => answers.extend(self.project.predict(run)),
                false => {
                    answers.extend(alike.iter().filter_map(|check| check.clone().err()).map(Err));
                }
            }
        }
        answers
    }

    fn panels(
        &self,
        example: &Example<Self::Attributes, Self::Parameters>,
        prediction: &Self::Prediction,
    ) -> Vec<Panel> {
        self.project.panels(example, prediction)
    }
}
