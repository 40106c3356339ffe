//! The project from outside, with an embedder that needs no model.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests"
)]

mod answers;
mod contract;
mod properties;
mod support;
