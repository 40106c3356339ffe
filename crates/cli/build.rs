//! How the program is linked. Functions that are the same to the byte are kept once, and addresses that
//! are filled in as it is loaded are kept as one bit each: a tenth of the file, and less memory from the
//! start.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");
    // It takes the linker longer, which nobody wants of a build for tests.
    if !is("PROFILE", "release") || !links_with_lld() {
        return;
    }
    println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
    if knows_packed_relocations() {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

fn is(key: &str, value: &str) -> bool {
    std::env::var(key).is_ok_and(|found| found == value)
}

/// Whether Rust links with the LLD that comes with it, as it does here unless told otherwise.
fn links_with_lld() -> bool {
    is("TARGET", "x86_64-unknown-linux-gnu")
        && is("HOST", "x86_64-unknown-linux-gnu")
        && std::env::var_os("RUSTC_LINKER").is_none()
        && !std::env::var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("link"))
}

/// Whether this machine's loader reads packed addresses, as glibc does since 2.36. The program is linked
/// to this glibc, so that whatever it runs on has one that is as new.
fn knows_packed_relocations() -> bool {
    let Ok(told) = Command::new("getconf").arg("GNU_LIBC_VERSION").output() else { return false };
    let told = String::from_utf8_lossy(&told.stdout).trim().to_owned();
    let Some((major, minor)) = told.strip_prefix("glibc ").and_then(|told| told.split_once('.'))
    else {
        return false;
    };
    let number = |text: &str| text.parse::<u32>().unwrap_or(0);
    (number(major), number(minor)) >= (2, 36)
}
