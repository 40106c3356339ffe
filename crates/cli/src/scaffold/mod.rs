//! Makes new workspaces, projects and archives.

mod template;

use std::{fs, path::Path, process::ExitCode};

use mesh_backfill::ArchiveFile;
use mesh_core::manifest::{ArchiveManifest, ProjectManifest, WorkspaceManifest};
use mesh_pipeline::Workspace;
use serde_json::json;

use self::template::{Place, Template};
use crate::{
    args::{NewArchive, NewProject},
    context::Context,
    output,
    report::CliError,
};

const MESH_TOML: &str = r#"# A workspace of ML Mesh. `mesh schema workspace` describes every key.

[workspace]
name = "{name}"
projects = "projects"

[store]
url = ".mesh/store"             # or s3://bucket/path

[http]
host = "127.0.0.1"
port = 8080
"#;

/// Makes a workspace in a folder.
pub(crate) fn init(context: &Context, folder: &Path) -> Result<ExitCode, CliError> {
    let manifest = folder.join(WorkspaceManifest::FILE);
    let io = |path: &Path| {
        let place = path.display().to_string();
        move |error| CliError::io("write", place, error)
    };
    if manifest.exists() {
        let action = format!("make a workspace in {}: there is one already", folder.display());
        return Err(CliError::usage(action, "name another folder, or use the one that is there"));
    }
    fs::create_dir_all(folder.join("projects")).map_err(io(folder))?;
    let name = fs::canonicalize(folder).ok();
    let name = name.as_deref().and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned());
    let name = name.unwrap_or_else(|| "workspace".into()).replace(['"', '\\'], "");
    fs::write(&manifest, MESH_TOML.replace("{name}", &name)).map_err(io(&manifest))?;
    let ignore = folder.join(".gitignore");
    if !ignore.exists() {
        fs::write(&ignore, "/.mesh/\n").map_err(io(&ignore))?;
    }
    if context.global.json {
        output::json(&json!({ "workspace": folder }));
    } else {
        output::line(format!("made {}", manifest.display()));
        output::line(format!(
            "next: cd {} && mesh new project <name> --data <file> --text <column> --label <column>",
            folder.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Where a project's folder will be.
fn place_of(workspace: &Workspace) -> Place {
    let root = workspace.root();
    let depth = Path::new(&workspace.manifest().workspace.projects).components().count() + 1;
    Place { root: fs::canonicalize(root).unwrap_or_else(|_| root.to_owned()), depth }
}

/// Makes a project from data.
pub(crate) async fn new_project(
    context: &Context,
    options: &NewProject,
) -> Result<ExitCode, CliError> {
    let workspace = context.workspace().await?;
    let projects = workspace.root().join(&workspace.manifest().workspace.projects);
    let folder = projects.join(options.name.as_str());
    if folder.exists() {
        let action =
            format!("make the project {}: {} is there already", options.name, folder.display());
        return Err(CliError::usage(action, "choose another name"));
    }
    let Template { manifest, notes } = template::template(options, &place_of(&workspace))?;
    // Whatever is written must be readable: what is checked is what is written.
    let shown = format!("projects/{}/{}", options.name, ProjectManifest::FILE);
    ProjectManifest::parse(&shown, &manifest)?;
    let path = folder.join(ProjectManifest::FILE);
    let io = |error| CliError::io("write", path.display(), error);
    fs::create_dir_all(&folder).map_err(io)?;
    fs::write(&path, manifest).map_err(io)?;
    if context.global.json {
        output::json(&json!({ "project": options.name, "manifest": path, "notes": notes }));
    } else {
        output::line(format!("made {}", path.display()));
        notes.iter().for_each(|note| output::line(format!("note: {note}")));
        output::line(format!("next: {}", template::next(options)));
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes an archive of documents that are there.
pub(crate) async fn new_archive(
    context: &Context,
    options: &NewArchive,
) -> Result<ExitCode, CliError> {
    let workspace = context.workspace().await?;
    let root = fs::canonicalize(workspace.root()).unwrap_or_else(|_| workspace.root().to_owned());
    let file = ArchiveFile::file(options.name.as_str());
    let path = root.join(&file);
    let action = || format!("make the archive {}", options.name);
    if path.exists() {
        let action = format!("{}: {} is there already", action(), file.display());
        return Err(CliError::usage(action, "choose another name"));
    }
    let url = match options.data.contains("://") {
        true => options.data.clone(),
        false => {
            let data = fs::canonicalize(&options.data)
                .map_err(|error| CliError::io("read", &options.data, error))?;
            format!("file:{}", data.strip_prefix(&root).unwrap_or(&data).display())
        }
    };
    let text = archive_manifest(options, &url);
    // Whatever is written must be readable: what is checked is what is written.
    let manifest = ArchiveManifest::parse(&file.display().to_string(), &text)?;
    let archive = ArchiveFile::new(&root, manifest);
    let columns = tokio::task::block_in_place(|| {
        archive.open(&tokio::runtime::Handle::current(), &context.cancel)?.columns()
    })?;
    let named = [Some(&options.key), options.text.as_ref()].into_iter().flatten();
    let named = named.chain(options.slices.iter().chain(&options.truth).map(|(_, column)| column));
    for column in named {
        if !columns.contains(column) {
            let hint = mesh_core::did_you_mean(column, columns.iter().map(String::as_str));
            let action = format!("{}: it has no column `{column}`", action());
            return Err(CliError::usage(action, format!("{hint}It has: {}", columns.join(", "))));
        }
    }
    for (project, _) in &options.truth {
        let known = || workspace.projects().iter().map(|project| project.name().as_str());
        if !known().any(|name| name == project) {
            let hint = mesh_core::did_you_mean(project, known());
            let action = format!("{}: there is no project `{project}`", action());
            let help = format!("{hint}write --truth <project>=<column>");
            return Err(CliError::usage(action, help));
        }
    }
    let io = |error| CliError::io("write", path.display(), error);
    fs::create_dir_all(root.join(ArchiveManifest::FOLDER)).map_err(io)?;
    fs::write(&path, text).map_err(io)?;
    if context.global.json {
        output::json(&json!({ "archive": options.name, "manifest": path, "columns": columns }));
    } else {
        output::line(format!("made {}", file.display()));
        output::line(format!("next: mesh backfill plan {} <project>", options.name));
    }
    Ok(ExitCode::SUCCESS)
}

fn archive_manifest(options: &NewArchive, url: &str) -> String {
    let quote = |text: &str| toml::Value::from(text).to_string();
    let mut text = format!(
        "# Documents that projects enrich. `mesh schema archive` describes every key.\n\n[archive]\n\
         name = \"{}\"\nurl = {}\nkey = {}\n",
        options.name,
        quote(url),
        quote(&options.key)
    );
    if let Some(description) = &options.description {
        text.push_str(&format!("description = {}\n", quote(description)));
    }
    if let Some(column) = options.text.as_ref().filter(|column| *column != "text") {
        text.push_str(&format!("columns = {{ text = {} }}\n", quote(column)));
    }
    let pairs = |pairs: &[(String, String)]| {
        let pairs =
            pairs.iter().map(|(name, column)| format!("{} = {}", quote(name), quote(column)));
        pairs.collect::<Vec<_>>().join(", ")
    };
    if !options.slices.is_empty() {
        text.push_str(&format!("slices = {{ {} }}\n", pairs(&options.slices)));
    }
    if !options.truth.is_empty() {
        text.push_str("\n[truth]\n");
        for (project, column) in &options.truth {
            text.push_str(&format!("{} = {}\n", quote(project), quote(column)));
        }
    }
    text
}
