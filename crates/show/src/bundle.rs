//! The files that Vite made of `web/`: which ones a page needs, and what is written into it.

use std::{collections::BTreeMap, sync::OnceLock};

use axum::http::HeaderValue;
use base64::{Engine, engine::general_purpose::STANDARD};
use mesh_core::Digest;
use serde::Deserialize;

use crate::{assets, form::TYPED};

/// What is run before anything is drawn: a theme that somebody chose must not flash.
pub(crate) const THEME: &str = "try{const t=localStorage.getItem('mesh-theme');if(t==='light'||\
     t==='dark')document.documentElement.dataset.theme=t}catch{}";
/// The style of every page, by the document that Vite links it into.
const STYLE: &str = "index.html";
/// What runs first, and what every whole page is made of: groups of `web/vite.config.ts`.
const FIRST: &str = "first";
const WHOLE: &str = "shared";
const ICON: &str = "src/icon.svg";

/// A file as Vite tells of it, by its source.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Chunk {
    file: String,
    name: String,
    imports: Vec<String>,
    css: Vec<String>,
}

/// What every page needs, and the policy that allows it and nothing else.
#[derive(Debug)]
pub(crate) struct Bundle {
    chunks: BTreeMap<String, Chunk>,
    /// The style of what the server draws.
    pub(crate) style: &'static str,
    pub(crate) icon: String,
    pub(crate) entry: String,
    pub(crate) policy: HeaderValue,
}

/// Files that a page loads.
#[derive(Debug, Default)]
pub(crate) struct Files<'a> {
    pub(crate) scripts: Vec<&'a str>,
    pub(crate) styles: Vec<&'a str>,
}

impl Bundle {
    pub(crate) fn get() -> &'static Self {
        static BUNDLE: OnceLock<Bundle> = OnceLock::new();
        BUNDLE.get_or_init(Self::read)
    }

    fn read() -> Self {
        let text = |name: &str| {
            assets::plain(name).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or("")
        };
        // A build without it has no page, which tests see.
        let chunks: BTreeMap<String, Chunk> =
            serde_json::from_str(text("manifest.json")).unwrap_or_default();
        let file =
            |source: &str| chunks.get(source).map(|chunk| chunk.file.clone()).unwrap_or_default();
        let style = text(&file(STYLE));
        let policy = format!(
            "default-src 'self'; script-src 'self' 'sha256-{}' 'sha256-{}'; style-src 'self' 'sha256-{}'; \
             img-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'",
            hash(THEME),
            hash(TYPED),
            hash(style)
        );
        let policy = HeaderValue::try_from(policy)
            .unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"));
        let first = chunks.values().find(|chunk| chunk.name == FIRST);
        let entry = first.map(|chunk| chunk.file.clone()).unwrap_or_default();
        Self { style, icon: file(ICON), entry, policy, chunks }
    }

    /// What some whole pages load beside the entry, by their sources.
    pub(crate) fn files(&self, sources: &[&str]) -> Files<'_> {
        let mut files = Files::default();
        let whole = self.chunks.iter().find(|(_, chunk)| chunk.name == WHOLE);
        for source in whole.iter().map(|(key, _)| key.as_str()).chain(sources.iter().copied()) {
            self.add(source, &mut files);
        }
        files.scripts.retain(|file| *file != self.entry);
        files
    }

    fn add<'a>(&'a self, source: &str, files: &mut Files<'a>) {
        let Some(chunk) = self.chunks.get(source) else { return };
        if files.scripts.contains(&chunk.file.as_str()) {
            return;
        }
        files.scripts.push(&chunk.file);
        for import in &chunk.imports {
            self.add(import, files);
        }
        for style in &chunk.css {
            if !files.styles.contains(&style.as_str()) {
                files.styles.push(style);
            }
        }
    }
}

fn hash(text: &str) -> String {
    STANDARD.encode(Digest::of(text.as_bytes()).as_bytes())
}
