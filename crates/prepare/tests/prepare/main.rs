//! The step from outside: sources in, datasets out.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod bad_input;
mod faults;
mod formats;
mod splits;
mod support;
