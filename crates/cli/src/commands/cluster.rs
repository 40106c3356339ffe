//! `mesh cluster`: a program of its own, beside this one.

use std::{
    env,
    ffi::OsString,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{self, ExitCode},
};

use crate::report::CliError;

/// The name of the program.
const PROGRAM: &str = "mesh-cluster";

/// Becomes the program.
pub(crate) fn cluster(arguments: &[OsString]) -> Result<ExitCode, CliError> {
    let program = program()?;
    let arguments = match arguments.is_empty() {
        true => &["--help".into()],
        false => arguments,
    };
    let error = process::Command::new(&program).args(arguments).exec();
    Err(CliError::io("start", program.display(), error))
}

/// Where the program is: beside this one, else on the path.
pub(crate) fn program() -> Result<PathBuf, CliError> {
    let own = env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent).map(Path::to_owned);
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = beside.into_iter().chain(env::split_paths(&path));
    let found = folders.find_map(|folder| Some(folder.join(PROGRAM)).filter(|file| file.is_file()));
    found.ok_or_else(|| {
        let help = "in the repository of mesh, `make cluster` builds it beside mesh (some minutes); \
                    put both in one folder, or it on PATH";
        CliError::usage(format!("find {PROGRAM}, which clusters need"), help)
    })
}
