//! Builds the page with `scripts/web.sh` and writes a table of its files, which are embedded.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What the page is made from. `node_modules` is not: the lock file pins what is in it.
const SOURCES: [&str; 7] = [
    "web/src",
    "web/index.html",
    "web/package.json",
    "web/package-lock.json",
    "web/tsconfig.json",
    "web/vite.config.ts",
    "scripts/web.sh",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../..").canonicalize()?;
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let built = out.join("web");
    let ran = Command::new(root.join("scripts/web.sh"))
        .arg("build")
        .arg(&built)
        .env("NO_COLOR", "1")
        .output();
    let ran = ran.map_err(|error| format!("scripts/web.sh cannot be run: {error}"))?;
    if !ran.status.success() {
        println!("cargo::error=the page in web/ was not built by scripts/web.sh:");
        for line in String::from_utf8_lossy(&ran.stderr).lines() {
            println!("cargo::error={line}");
        }
        return Ok(());
    }
    let mut names = Vec::new();
    list(&built, &built, &mut names)?;
    names.sort();
    let mut table = String::from("&[\n");
    // What pages that are taken away hold is not served.
    let served = |name: &&String| !name.ends_with(".br") && !name.starts_with("export/");
    for name in names.iter().filter(served) {
        let file = |name: &str| built.join(name).display().to_string();
        table.push_str(&format!(
            "    ({name:?}, include_bytes!({:?}), include_bytes!({:?})),\n",
            file(name),
            file(&format!("{name}.br"))
        ));
    }
    table.push(']');
    fs::write(out.join("assets.rs"), table)?;
    Ok(())
}

/// The files below a folder, by their paths in it.
fn list(folder: &Path, base: &Path, names: &mut Vec<String>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, base, names)?;
        } else {
            let name = path.strip_prefix(base)?.to_str().ok_or("a file's name is not Unicode")?;
            names.push(name.to_owned());
        }
    }
    Ok(())
}
