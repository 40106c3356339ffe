//! The product from outside: the real binary in temporary workspaces.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail like tests"
)]

mod support;

mod advice;
mod apart;
mod archives;
mod backfill;
mod bad_data;
mod bad_http;
mod bad_manifests;
mod changed;
mod cluster;
mod commands;
mod database;
mod dedup;
mod encoders;
mod entities;
mod export;
mod faults;
mod follow;
mod language;
mod life;
mod ner;
mod outages;
mod postgres;
mod readme;
mod refused;
mod regression;
mod retried;
mod s3;
mod secured;
mod shared;
mod show;
mod show_backfills;
mod show_projects;
mod sources;
mod users;
