use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    thread,
};

use mesh_engine::Target;
use serde::Serialize;

use crate::{context::Context, output, report::CliError};

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    state: State,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// Something works less well, or not for everything.
    Note,
    Bad,
}

/// Below this much free space a run is likely to fail.
const LITTLE_SPACE: u64 = 2_000_000_000;

pub(crate) async fn doctor(context: &Context) -> Result<ExitCode, CliError> {
    let root = context.root().ok();
    let mut findings = vec![cpu(), targets(), memory(), disk(root.as_deref()), pip()];
    findings.push(credentials("hub token", hub_token(), "HF_TOKEN", "hf:// sources that need it"));
    findings.push(credentials("S3 credentials", s3(), "AWS_ACCESS_KEY_ID or ~/.aws", "s3://"));
    findings.push(workspace(context).await);
    let bad = findings.iter().any(|finding| finding.state == State::Bad);
    if context.global.json {
        output::json(&findings);
    } else {
        for finding in &findings {
            let mark = match finding.state {
                State::Ok => "ok  ",
                State::Note => "note",
                State::Bad => "BAD ",
            };
            output::line(format!("{mark}  {:<16} {}", finding.what, finding.detail));
            if let Some(advice) = &finding.advice {
                output::line(format!("{:24}{advice}", ""));
            }
        }
    }
    Ok(ExitCode::from(u8::from(bad)))
}

fn cpu() -> Finding {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let features = cpu_features();
    let detail = format!(
        "{} cores, {}",
        cores,
        if features.is_empty() { "no vector units known here".into() } else { features.join(" ") }
    );
    Finding { what: "cpu", state: State::Ok, detail, advice: None }
}

/// What encoders can be compiled for here, and whether the best of it is held back.
fn targets() -> Finding {
    let names: Vec<_> = Target::available().into_iter().map(Target::as_str).collect();
    let detail = format!("{} (the fastest first)", names.join(", "));
    let finding = |state, detail, advice| Finding { what: "targets", state, detail, advice };
    match Target::forced() {
        Ok(None) => finding(State::Ok, detail, None),
        Ok(Some(forced)) => {
            let advice =
                format!("{} = {forced} forces it: unset it to use the best", Target::VARIABLE);
            finding(State::Note, detail, Some(advice))
        }
        Err(error) => {
            finding(State::Bad, error.to_string(), Some(format!("unset {}", Target::VARIABLE)))
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn cpu_features() -> Vec<&'static str> {
    let mut features = Vec::new();
    let mut add = |name, has| {
        if has {
            features.push(name);
        }
    };
    add("avx2", is_x86_feature_detected!("avx2"));
    add("fma", is_x86_feature_detected!("fma"));
    add("f16c", is_x86_feature_detected!("f16c"));
    add("avx512f", is_x86_feature_detected!("avx512f"));
    add("avx512vnni", is_x86_feature_detected!("avx512vnni"));
    add("avx512bf16", is_x86_feature_detected!("avx512bf16"));
    features
}

#[cfg(not(target_arch = "x86_64"))]
fn cpu_features() -> Vec<&'static str> {
    Vec::new()
}

fn memory() -> Finding {
    let kilobytes = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    let (state, detail) = match kilobytes {
        Some(kilobytes) => (State::Ok, format!("{} available", output::bytes(kilobytes * 1024))),
        None => (State::Note, "not known on this system".into()),
    };
    Finding { what: "memory", state, detail, advice: None }
}

fn disk(root: Option<&Path>) -> Finding {
    let here = root.unwrap_or(Path::new("."));
    let free = rustix::fs::statvfs(here).map(|found| found.f_bavail * found.f_frsize);
    let (state, detail) = match free {
        Ok(free) if free < LITTLE_SPACE => (State::Bad, format!("{} free", output::bytes(free))),
        Ok(free) => (State::Ok, format!("{} free", output::bytes(free))),
        Err(error) => (State::Note, format!("free space is not known: {error}")),
    };
    let advice = (state == State::Bad).then(|| "`mesh gc` shows what may go".into());
    Finding { what: "disk", state, detail, advice }
}

fn pip() -> Finding {
    let asked = Command::new("python3").args(["-m", "pip", "--version"]).output();
    let version = asked.ok().filter(|output| output.status.success()).map(|output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split(" from ").next().unwrap_or_default().trim().to_owned()
    });
    let what = "pip";
    match version {
        Some(detail) => Finding { what, state: State::Ok, detail, advice: None },
        None => Finding {
            what,
            state: State::Note,
            detail: "missing: pypi:// sources cannot be fetched".into(),
            advice: Some("on Debian: apt-get install python3-pip".into()),
        },
    }
}

fn credentials(what: &'static str, found: bool, how: &str, needs: &str) -> Finding {
    match found {
        true => Finding { what, state: State::Ok, detail: "set".into(), advice: None },
        false => Finding {
            what,
            state: State::Note,
            detail: format!("not set; only {needs} would need it"),
            advice: Some(format!("set {how}")),
        },
    }
}

fn hub_token() -> bool {
    env::var_os("HF_TOKEN").is_some()
        || home().is_some_and(|home| home.join(".cache/huggingface/token").is_file())
}

fn s3() -> bool {
    env::var_os("AWS_ACCESS_KEY_ID").is_some()
        || home().is_some_and(|home| home.join(".aws/credentials").is_file())
}

fn home() -> Option<PathBuf> {
    env::var_os("HOME").map(PathBuf::from)
}

async fn workspace(context: &Context) -> Finding {
    let what = "workspace";
    match context.workspace().await {
        Ok(workspace) if workspace.broken().is_empty() => {
            let detail =
                format!("{}, {} projects", workspace.root().display(), workspace.projects().len());
            Finding { what, state: State::Ok, detail, advice: None }
        }
        Ok(workspace) => {
            let detail = format!("{} manifests cannot be read", workspace.broken().len());
            Finding {
                what,
                state: State::Bad,
                detail,
                advice: Some("`mesh check` tells why".into()),
            }
        }
        Err(error) => {
            let advice = miette::Diagnostic::help(&error).map(|help| help.to_string());
            let state =
                if error.exit_code() == crate::report::USAGE { State::Note } else { State::Bad };
            Finding { what, state, detail: error.to_string(), advice }
        }
    }
}
