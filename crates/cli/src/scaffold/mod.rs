//! Makes new workspaces and projects.

mod template;

use std::{fs, path::Path, process::ExitCode};

use mesh_core::manifest::{ProjectManifest, WorkspaceManifest};
use mesh_pipeline::Workspace;
use serde_json::json;

use self::template::{Place, Template};
use crate::{args::NewProject, context::Context, output, report::CliError};

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
