//! Runs the steps of a project that are stale, and says why they are.
