//! The `mesh` command.
