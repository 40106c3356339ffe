//! From sources to service, as a graph.

use std::collections::{BTreeMap, VecDeque};

use mesh_core::{Digest, ModelVersion, manifest::ProjectManifest};
use mesh_pipeline::{code_version, served};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    error::Fault,
    state::{Shown, State},
    versions,
};

/// Something on the way from a source to an answer.
#[derive(Debug, Serialize)]
struct Node {
    id: String,
    /// `source`, `dataset`, `model`, `compiled` or `service`.
    kind: String,
    /// What it is in a word or two.
    label: String,
    /// More of it: where it is from, which target it is for.
    detail: String,
    /// Whether the artifact can be opened.
    opens: bool,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Edge {
    from: String,
    to: String,
}

/// The graph of a version.
pub(crate) async fn lineage(
    state: &State,
    shown: &Shown,
    version: ModelVersion,
) -> Result<Value, Fault> {
    let manifest = shown.folder.manifest();
    let service = Node {
        id: "service".into(),
        kind: "service".into(),
        label: format!("/{}/v{}", manifest.project.name, manifest.project.api),
        detail: format!("version {version}"),
        opens: false,
    };
    let mut nodes = vec![service];
    let mut edges = Vec::new();
    if code_version(&shown.folder) == Some(version) {
        return Ok(json!({ "nodes": nodes, "edges": edges }));
    }
    let record = versions::record(state, shown, version).await?;
    // What answers on this machine is what the service is made of.
    if let Some(best) = served(&record) {
        edges.push(Edge { from: best.digest.to_string(), to: "service".into() });
    }
    let targets: BTreeMap<Digest, &str> =
        record.compiled.iter().map(|known| (known.digest, known.target.as_str())).collect();
    let mut ahead: VecDeque<(Digest, String)> =
        record.compiled.iter().map(|known| (known.digest, "compiled".to_owned())).collect();
    ahead.push_back((record.model, "model".into()));
    let mut seen = BTreeMap::new();
    while let Some((digest, role)) = ahead.pop_front() {
        if seen.insert(digest, ()).is_some() {
            continue;
        }
        let id = digest.to_string();
        if !state.workspace.store().contains(digest).await {
            nodes.push(source(manifest, &role, digest));
            continue;
        }
        let artifact = state.artifact(digest).await?;
        let about = artifact.manifest();
        let size: u64 = about.files.iter().map(|file| file.size).sum();
        let kind = about.kind.as_str();
        nodes.push(Node {
            id: id.clone(),
            kind: kind.to_owned(),
            label: targets.get(&digest).map_or_else(|| kind.to_owned(), |t| (*t).to_owned()),
            detail: size.to_string(),
            opens: true,
        });
        for input in &about.inputs {
            edges.push(Edge { from: input.digest.to_string(), to: id.clone() });
            ahead.push_back((input.digest, input.role.clone()));
        }
    }
    edges.sort();
    edges.dedup();
    Ok(json!({ "nodes": nodes, "edges": edges }))
}

/// A source by the role that it had. Where it is from is what the manifest says today: the digest
/// tells whether that is still the same.
fn source(manifest: &ProjectManifest, role: &str, digest: Digest) -> Node {
    let url = match role {
        "source" => manifest.source.as_ref().map(|source| &source.url),
        "language-model" if manifest.language.is_some() => {
            manifest.language.as_ref().map(|language| &language.url)
        }
        "texts" => {
            let texts = manifest.compile.as_ref().and_then(|compile| compile.texts.as_ref());
            texts.map(|texts| &texts.url)
        }
        _ => manifest.model.as_ref().map(|model| &model.url),
    };
    Node {
        id: digest.to_string(),
        kind: "source".into(),
        label: role.replace('-', " "),
        detail: url.cloned().unwrap_or_default(),
        opens: false,
    }
}
