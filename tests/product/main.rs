//! The product from outside: the real binary in temporary workspaces.

mod support;

mod bad_data;
mod bad_http;
mod bad_manifests;
mod commands;
mod faults;
mod life;
mod readme;
mod sources;
