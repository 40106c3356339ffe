//! Where artifacts live, and what the registry knows of runs, versions and aliases.
