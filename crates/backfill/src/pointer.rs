//! Which generations are an archive's enrichments: one small file, changed in one move.

use std::collections::BTreeMap;

use bytes::Bytes;
use mesh_core::ProjectName;
use serde::{Deserialize, Serialize};

use crate::{
    BackfillError, BackfillErrorKind,
    place::{Place, Versioned},
};

/// What an archive's enrichments are: `current.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Current {
    /// The version of this format.
    pub format: u32,
    /// By project, its generation.
    pub projects: BTreeMap<ProjectName, LiveGeneration>,
}

/// The generation of a project that readers see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveGeneration {
    /// Its name: its folder is `<project>/<generation>`.
    pub generation: String,
    /// The one before it, to which a rollback leads; null if there was none.
    pub previous: Option<Box<LiveGeneration>>,
    /// Whether there was one that is not kept any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forgotten: bool,
    /// The number of the cutover that made it live: what came by one goes back by one. 0 where it was
    /// not noted.
    #[serde(default)]
    pub cutover: u64,
}

/// The file that tells it.
pub(crate) const CURRENT: &str = "current.json";
const FORMAT: u32 = 1;
/// How often a move is tried when others move too.
const TRIES: usize = 10;
/// Generations to which one can roll back, one after another.
const HISTORY: usize = 10;

impl Current {
    /// What the enrichments in a place are.
    pub(crate) fn read(place: &Place) -> Result<Self, BackfillError> {
        Ok(Self::versioned(place)?.0)
    }

    /// That there are no enrichments.
    pub(crate) fn none() -> Self {
        Self { format: FORMAT, ..Self::default() }
    }

    /// What is written in a place of that name.
    pub(crate) fn parse(json: &[u8], shown: &str) -> Result<Self, BackfillError> {
        let action = "read which enrichments are live";
        if is_newer(json, FORMAT) {
            return Err(BackfillError::newer(action, shown));
        }
        let kind = || BackfillErrorKind::Damaged(shown.to_owned());
        let current: Result<Self, _> = serde_json::from_slice(json);
        let damaged = match current {
            Ok(current) if current.format == FORMAT => return Ok(current),
            Ok(_) => BackfillError::new(action, kind()),
            Err(error) => BackfillError::new(action, kind()).because(error),
        };
        let generation = "{\"generation\": \"g-...\", \"previous\": null}";
        Err(damaged.help(format!(
            "put it back from a backup, or write it anew: {{\"format\": {FORMAT}, \"projects\": \
             {{\"<project>\": {generation}}}}}, with the generations of the backfills that `mesh \
             backfill status --json` calls live; nothing else is lost"
        )))
    }

    fn versioned(place: &Place) -> Result<(Self, Option<Versioned>), BackfillError> {
        let Some(found) = place.get_versioned(CURRENT)? else { return Ok((Self::none(), None)) };
        Ok((Self::parse(&found.bytes, &place.shown(CURRENT))?, Some(found)))
    }

    /// The generation of a project that readers see.
    #[must_use]
    pub fn generation(&self, project: &str) -> Option<&str> {
        let found = self.projects.iter().find(|(name, _)| name.as_str() == project);
        found.map(|(_, live)| live.generation.as_str())
    }

    /// Whether a generation is seen, or a rollback leads to it.
    pub(crate) fn needs(&self, project: &str, generation: &str) -> bool {
        let found = self.projects.iter().find(|(name, _)| name.as_str() == project);
        let mut next = found.map(|(_, live)| live);
        while let Some(live) = next {
            if live.generation == generation {
                return true;
            }
            next = live.previous.as_deref();
        }
        false
    }

    /// Changes it in one move, all or nothing, for all projects together.
    pub(crate) fn change(
        place: &Place,
        change: &dyn Fn(&mut Self) -> Result<(), BackfillError>,
    ) -> Result<Self, BackfillError> {
        for _ in 0..TRIES {
            let (mut current, found) = Self::versioned(place)?;
            change(&mut current)?;
            let bytes = serde_json::to_vec_pretty(&current).unwrap_or_default();
            if place.swap(CURRENT, Bytes::from(bytes), found.as_ref())? {
                return Ok(current);
            }
        }
        let what = "others change what is live at the same time";
        let kind = BackfillErrorKind::InTheWay(what.into());
        Err(BackfillError::new("change which enrichments are live", kind).help("try again"))
    }

    /// The number of a cutover after all of these.
    pub(crate) fn next_cutover(&self) -> u64 {
        self.projects.values().map(|live| live.cutover).max().unwrap_or_default() + 1
    }

    /// The projects of the last cutover, as far as none of them went back since.
    pub(crate) fn of_last_cutover(&self) -> Vec<ProjectName> {
        let last = self.projects.values().map(|live| live.cutover).max();
        let of_it = self.projects.iter().filter(|(_, live)| Some(live.cutover) == last);
        of_it.map(|(name, _)| name.clone()).collect()
    }

    /// Makes a generation a project's, by the cutover of that number.
    pub(crate) fn set(&mut self, project: &ProjectName, generation: &str, cutover: u64) {
        let previous = self.projects.remove(project).map(Box::new);
        let generation = generation.to_owned();
        let mut live = LiveGeneration { generation, previous, forgotten: false, cutover };
        live.shorten(HISTORY);
        self.projects.insert(project.clone(), live);
    }

    /// Forgets generations that lie further back than so many.
    pub(crate) fn forget(&mut self, keep: usize) {
        self.projects.values_mut().for_each(|live| live.shorten(keep));
    }

    /// Whether there is no way back from what is live, as the one before is not kept any more.
    pub(crate) fn is_last(&self, project: &ProjectName) -> bool {
        self.projects.get(project).is_some_and(|live| live.previous.is_none() && live.forgotten)
    }

    /// Goes back to the generation before; says which one is left, and which one it is now.
    pub(crate) fn back(&mut self, project: &ProjectName) -> Option<(String, Option<String>)> {
        let live = self.projects.remove(project)?;
        let before = live.previous.as_ref().map(|previous| previous.generation.clone());
        if let Some(previous) = live.previous {
            self.projects.insert(project.clone(), *previous);
        }
        Some((live.generation, before))
    }
}

/// Whether what is written says that it is of a later format than the one that is known.
pub(crate) fn is_newer(json: &[u8], known: u32) -> bool {
    #[derive(Deserialize)]
    struct Versioned {
        format: u32,
    }
    serde_json::from_slice(json).is_ok_and(|Versioned { format }| format > known)
}

impl LiveGeneration {
    fn shorten(&mut self, most: usize) {
        match (most, &mut self.previous) {
            (0, previous) => self.forgotten |= previous.take().is_some(),
            (_, Some(previous)) => previous.shorten(most - 1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use miette::Diagnostic;

    use super::*;

    #[test]
    fn what_is_half_written_is_not_taken_for_newer() {
        let whole = serde_json::to_string(&Current::none()).unwrap();
        assert_eq!(Current::parse(whole.as_bytes(), "current.json").unwrap(), Current::none());
        let refused = |json: &str| {
            let error = Current::parse(json.as_bytes(), "current.json").unwrap_err();
            format!("{error} {}", Diagnostic::help(&error).unwrap())
        };
        for json in [&whole[..whole.len() / 2], "", "[]", "{\"format\": 0, \"projects\": {}}"] {
            let told = refused(json);
            assert!(told.contains("current.json is damaged"), "{json}: {told}");
            assert!(told.contains("write it anew: {\"format\": 1,"), "{json}: {told}");
        }
        let told = refused("{\"format\": 2, \"projects\": {}, \"more\": 1}");
        assert!(told.contains("a newer `mesh` wrote current.json") && told.contains("update"));
    }
}
